"""A projector that hangs, is away or is far behind is shown by every answer: clusters and VMs are stale."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from support.feeding import FeedStack, Listener, api, listening
from support.program import frozen, program
from support.projecting import Readings, publish, publisher, put
from support.published import CLUSTER, DATACENTER, cluster_event, datacenter_event, unmanaged_event, vm_event
from support.tcp_proxy import tcp_proxy
from support.waiting import until

from summit_api.settings import ApiTimes
from summit_models.cluster import ConnectionState, Heartbeat
from summit_models.subject import STREAM, subject_of
from summit_runtime.nats.streams import heartbeats
from summit_runtime.nats.streams.stream import ensure_stream
from summit_runtime.nats.streams.unapplied import Unapplied, unapplied

TIMES = ApiTimes(staleness_seconds=0.05, lag_look_seconds=0.05, late_seconds=1.5)
PATHS = ("/api/v1/datacenters", "/api/v1/status", "/api/v1/vms", "/api/v1/clusters")


def environment(nats_url: str, database_url: str) -> dict[str, str]:
    return {"NATS_URL": nats_url, "DATABASE_URL": database_url}


@asynccontextmanager
async def watched(nats_url: str, database_url: str) -> AsyncIterator[FeedStack]:
    """An api, and a watcher's reports: cluster vulcan is synced, and one other is unreachable."""
    async with publisher(nats_url) as client, api(nats_url, database_url, times=TIMES) as (http, _):
        await report(FeedStack(client, http))
        yield FeedStack(client, http)


async def report(stack: FeedStack) -> None:
    now = datetime.now(UTC)
    down = {"state": ConnectionState.UNREACHABLE, "reason": "connection refused"}
    for name, more in ((CLUSTER, {"state": ConnectionState.SYNCED}), ("romulus", down)):
        health = {"name": name, "datacenter": DATACENTER, "since": now - timedelta(hours=1), "last_contact": now}
        await heartbeats.write(stack.client, Heartbeat(**health, **more))


class Seen(NamedTuple):
    """The staleness of the VM in three answers and of its cluster, and how many VMs are counted as stale."""

    vm: bool
    original: bool
    one: bool
    cluster: bool
    count: int


async def seen(stack: FeedStack) -> Seen:
    """What a reader sees now."""
    (vm,) = (await stack.get("/api/v1/vms", cluster=CLUSTER))["items"]
    (datacenter,) = (await stack.get("/api/v1/datacenters"))["datacenters"]
    (original,) = [shown for shown in datacenter["vms"] if shown["id"] == vm["id"]]
    one = await stack.get(f"/api/v1/vms/{vm['id']}")
    cluster = await stack.get(f"/api/v1/clusters/{CLUSTER}")
    count = (await stack.get("/api/v1/status"))["stale"]
    return Seen(vm["stale"], original.get("stale", False), one["stale"], cluster["stale"], count)


async def clusters(stack: FeedStack) -> Mapping[str, Any]:
    return {item["name"]: item for item in (await stack.get("/api/v1/clusters"))["items"]}


async def state(stack: FeedStack) -> str:
    found = (await clusters(stack)).get(CLUSTER)
    return str(found and found["state"])


FRESH, STALE = Seen(False, False, False, False, 0), Seen(True, True, True, True, 1)


async def test_projector_that_hangs_is_shown_and_its_end_too(
    nats_url: str, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """All answers said that all was well, and only `asOf` stood still."""
    async with (
        watched(nats_url, database_url) as stack,
        program("summit_projector", **environment(nats_url, database_url)) as projector,
    ):
        last = await publish(stack.client, datacenter_event(), vm_event("erp"), unmanaged_event())
        await Readings(database_url).applied(last)
        await until(lambda: seen(stack), lambda shown: shown == FRESH)
        assert (await stack.http.get("/readyz")).text == "ok\n"
        tags = {path: (await stack.http.get(path)).headers["ETag"] for path in PATHS}
        async with listening(stack.http) as client:
            await client.joined()
            with frozen([projector.pid]):
                await publish(stack.client, vm_event("erp", versions=(2, 0)), vm_event("erp", versions=(3, 0)))
                await until(lambda: state(stack), lambda shown: shown == "stale")
                assert await seen(stack) == STALE
                await shows_why(stack)
                for path, tag in tags.items():
                    assert (await stack.http.get(path, headers={"If-None-Match": tag})).status_code == 200, path
            await until(lambda: state(stack), lambda shown: shown == "synced")
            assert await seen(stack) == FRESH
            await client.until(lambda: sent(client)[-1] == ("synced", False))
            assert ("stale", True) in sent(client)
        assert (await stack.http.get("/readyz")).text == "ok\n"
    lines = [record.getMessage() for record in caplog.records if record.name == "summit.api"]
    assert [line for line in lines if "the tables follow the log again" in line]


async def shows_why(stack: FeedStack) -> None:
    """In the clusters, and for probes. A cluster that is not well keeps its own state and reason."""
    why = "the projector has not applied 2 events since"
    shown = await clusters(stack)
    assert shown[CLUSTER]["reason"].startswith("the tables show the state of ")
    assert shown[CLUSTER]["reason"].endswith(why)
    assert (shown["romulus"]["state"], shown["romulus"]["stale"]) == ("unreachable", True)
    assert shown["romulus"]["reason"].startswith("connection refused; the tables show the state of ")
    assert [item["name"] for item in (await stack.get("/api/v1/clusters", state="stale"))["items"]] == [CLUSTER]
    for path in ("/readyz", "/readyz?verbose"):
        ready = await stack.http.get(path)
        assert (ready.status_code, "[!]tables: the tables show the state of " in ready.text) == (200, True)


def sent(client: Listener) -> list[tuple[str, bool]]:
    """The states of the cluster that the feed has sent."""
    items = [payload["cluster"] for payload in client.payloads("cluster:updated")]
    return [(item["state"], item["stale"]) for item in items if item["name"] == CLUSTER]


async def test_projector_that_never_came_is_shown(nats_url: str, database_url: str) -> None:
    """The list of VMs is empty as if there were none."""
    async with watched(nats_url, database_url) as stack:
        await until(lambda: state(stack), lambda shown: shown == "synced")
        await publish(stack.client, cluster_event(), vm_event("erp"))
        await until(lambda: state(stack), lambda shown: shown == "stale")
        async with program("summit_projector", **environment(nats_url, database_url)):
            await until(lambda: state(stack), lambda shown: shown == "synced")
            assert await seen(stack) == FRESH


async def test_projector_that_hangs_while_the_stream_is_replaced_is_shown(nats_url: str, database_url: str) -> None:
    """The end of the new stream is before the applied revision, which is one of the old stream."""
    async with (
        watched(nats_url, database_url) as stack,
        program("summit_projector", **environment(nats_url, database_url)) as projector,
    ):
        last = await publish(stack.client, *(vm_event("erp", versions=(n, 0)) for n in range(1, 6)), cluster_event())
        await Readings(database_url).applied(last)
        await until(lambda: state(stack), lambda shown: shown == "synced")
        with frozen([projector.pid]):
            await stack.client.jetstream().delete_stream(STREAM)
            await ensure_stream(stack.client)
            await report(stack)
            await publish(stack.client, cluster_event(), vm_event("erp", versions=(9, 0)))
            await until(lambda: state(stack), lambda shown: shown == "stale")
        await until(lambda: state(stack), lambda shown: shown == "synced")
        await until(Readings(database_url).revision, lambda revision: revision == 2)


async def test_open_feed_shows_that_postgres_is_away(nats_url: str, database_url: str) -> None:
    """Requests are answered 503, but the feed sent a heartbeat every 15 s, as on a quiet day."""
    async with (
        tcp_proxy(database_url) as proxy,
        watched(nats_url, proxy.url) as stack,
        program("summit_projector", **environment(nats_url, database_url)),
    ):
        await stack.applied(cluster_event(), vm_event("erp"))
        await until(lambda: state(stack), lambda shown: shown == "synced")
        async with listening(stack.http) as client:
            await client.joined()
            proxy.shut()
            await client.until(lambda: sent(client)[-1:] == [("stale", True)])
            reason = client.payloads("cluster:updated")[-1]["cluster"]["reason"]
            assert "this api has not been able to read the tables since " in reason
            await proxy.open()
            await client.until(lambda: sent(client)[-1] == ("synced", False))


async def test_dead_letters_are_applied(nats_url: str, database_url: str) -> None:
    """The checkpoint passes over what cannot be applied, so nothing waits."""
    async with publisher(nats_url) as client, program("summit_projector", **environment(nats_url, database_url)):
        await publish(client, vm_event("erp"))
        stored_as = await put(client, subject_of(vm_event("web")), b"no JSON")
        tables = Readings(database_url)
        await tables.applied(stored_as)
        (applied,) = await tables.fetch("SELECT revision, stream_created_at FROM checkpoint")
        assert await unapplied(client, **applied) == Unapplied()
        assert (await unapplied(client, 0, applied["stream_created_at"])).events == 2
        assert (await unapplied(client, 2, None)).events == 2, "of another stream"
