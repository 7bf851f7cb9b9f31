"""GET /api/v1/events against real servers: every change once, in order, when lists show it."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr
from support.api_stack import placed_vm
from support.feeding import ageless, api, feed_stack, listening
from support.projecting import put
from support.published import CLUSTER, DATACENTER, cluster_event, migration_event, vm_event
from support.waiting import until

from summit_api.feed.feed import Feed, FeedLimits
from summit_api.freshness import Freshness
from summit_api.metrics import EVENT_TO_FEED_SECONDS, FEED_CLIENTS
from summit_api.query.transaction.read_transaction import ReadModels
from summit_api.revisions import Revisions
from summit_api.settings import ApiTimes
from summit_models.cluster import ClusterHealth, ConnectionState
from summit_models.event import VmEventType
from summit_models.migration import PhaseTransition
from summit_models.subject import HEALTH_BUCKET
from summit_models.vm import VmStatus
from summit_runtime.waiting import end


async def test_each_change_is_sent_once_in_the_form_of_the_original(nats_url: str, database_url: str) -> None:
    """Added, updated with old values, removed; messages have no name, so that `onmessage` receives them."""
    async with feed_stack(nats_url, database_url) as stack, listening(stack.http) as client:
        await client.joined()
        await stack.publish(
            vm_event("a", VmEventType.CREATED),
            vm_event("a", versions=(2, 0), status=VmStatus.STOPPED, changes={"status": "running"}),
            vm_event("a", VmEventType.DELETED, versions=(3, 0), status=VmStatus.STOPPED),
        )
        await client.until(lambda: client.payloads("vm:removed"))
    assert client.events[0].event == "hello"
    assert client.events[0].json() == {"msg": "connected"}
    assert client.changes() == [("vm:added", "a"), ("vm:updated", "a"), ("vm:removed", "a")]
    added, updated, removed = (m["payload"] for m in client.messages if m["type"].startswith("vm:"))
    assert (added["datacenter"], added["vm"]["status"]) == ("dc-solna", "running")
    assert (updated["vm"]["status"], updated["changes"]) == ("stopped", {"status": "running"})
    assert (removed["datacenter"], removed["vmName"], removed["vmId"]) == ("dc-solna", "a", added["vm"]["id"])
    assert removed["deleted"] is True
    assert [event.id[:2] for event in client.events if event.event == "message"][-3:] == ["1-", "2-", "3-"]
    assert client.messages[-1]["timestamp"] == "2026-11-23T07:00:00.000Z"


async def test_head_is_answered_and_ends(nats_url: str, database_url: str) -> None:
    """With the headers that keep proxies from collecting or keeping the feed."""
    async with feed_stack(nats_url, database_url) as stack:
        answer = await stack.http.head("/api/v1/events")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["X-Accel-Buffering"] == "no"


async def test_the_age_of_changes_is_measured_when_the_feed_has_them(nats_url: str, database_url: str) -> None:
    """From the time in the event on. One of the future, by a clock that was wrong, has age 0 and no negative one."""

    def measured() -> tuple[float, float]:
        found = {sample.name: sample.value for family in EVENT_TO_FEED_SECONDS.collect() for sample in family.samples}
        return found["summit_event_to_feed_seconds_count"], found["summit_event_to_feed_seconds_sum"]

    async with feed_stack(nats_url, database_url) as stack, listening(stack.http) as client:
        await client.joined()
        count, seconds = measured()
        await stack.applied(vm_event("a", VmEventType.CREATED, time=datetime.now(UTC) - timedelta(seconds=100)))
        await until(measured, lambda now: now[0] == count + 1)
        await stack.applied(vm_event("a", versions=(2, 0), time=datetime.now(UTC) + timedelta(seconds=100)))
        _, after = await until(measured, lambda now: now[0] == count + 2)
    assert 100 <= after - seconds < 140


async def test_silent_feed_sends_a_heartbeat_and_its_position(nats_url: str, database_url: str) -> None:
    """A client whose list never changes resumes from the present, not from the last change of its list."""
    times = ApiTimes(heartbeat_seconds=0.05)
    async with (
        feed_stack(nats_url, database_url, times=times) as stack,
        listening(stack.http, cluster="no-such") as client,
    ):
        await client.joined()
        revision = await stack.applied(vm_event("a", VmEventType.CREATED))
        await client.until(lambda: client.last_revision == revision)
    assert client.messages == []
    assert client.events[-1].json() == {"revision": revision}


async def test_silent_feed_of_a_busy_log_sends_a_heartbeat(nats_url: str, database_url: str) -> None:
    """Changes outside the client's list come faster than heartbeats; a proxy would close a silent connection."""
    times = ApiTimes(heartbeat_seconds=0.5)

    async def keep_changing() -> None:
        for version in itertools.count(1):
            await stack.applied(vm_event("a", versions=(version, 0)))

    async with (
        feed_stack(nats_url, database_url, times=times) as stack,
        listening(stack.http, cluster="no-such") as client,
    ):
        await client.joined()
        busy = asyncio.create_task(keep_changing())
        await client.until(lambda: len([event for event in client.events if event.event == "bookmark"]) > 2)
        assert not busy.done()
        await end(busy)
    assert client.messages == []


async def test_unreachable_tables_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """The number of attempts does not matter: an outage of an hour would fill the log otherwise."""
    attempts = itertools.count()
    third = asyncio.Event()

    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        if next(attempts) == 3:
            third.set()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        read_models = ReadModels(SecretStr(f"postgresql://summit@127.0.0.1:{port}/x"))
        parts = {"times": ApiTimes(), "limits": FeedLimits(), "bulk_changed": asyncio.Event()}
        feed = Feed(read_models, Freshness(), Revisions(), **parts)
        following = asyncio.create_task(feed.follow())
        await asyncio.wait_for(third.wait(), 30)
        await end(following)
    assert [line for line in caplog.messages if line.startswith("the live feed")] == [
        "the live feed waits: Postgres cannot be reached at the moment; try again shortly"
    ]


async def test_rejected_event_is_not_sent(nats_url: str, database_url: str) -> None:
    """From a watcher that lost its cluster, or on a wrong subject: lists do not show it, and neither does the feed."""
    async with feed_stack(nats_url, database_url) as stack, listening(stack.http) as client:
        await client.joined()
        await stack.applied(vm_event("a", VmEventType.CREATED, epoch=7))
        await stack.applied(vm_event("a", VmEventType.DELETED, epoch=6, versions=(9, 0)))
        body = vm_event("b", VmEventType.CREATED).model_dump_json().encode()
        await put(stack.client, "summit.vms.dc-solna.vulcan.prod.c", body)
        await stack.applied(vm_event("d", VmEventType.CREATED, epoch=7))
        await client.until(lambda: len(client.changes()) == 2)
    assert client.changes() == [("vm:added", "a"), ("vm:added", "d")]


async def test_vms_and_migrations_are_sent_as_lists_show_them(nats_url: str, database_url: str) -> None:
    """Every member is equal, apart from fractions of a second and members that depend on the moment."""
    began = datetime(2026, 11, 23, 6, 59, 30, tzinfo=UTC)
    vm = placed_vm("a", cpu=2, memory_bytes=4096, ips=["10.0.0.7"], created_at=began, ready=True, problems=["x"])
    transition = PhaseTransition(phase="Running", timestamp=began)
    migration = migration_event("m", phase="Running", vm_name="a", created_at=began, phase_transitions=[transition])
    async with feed_stack(nats_url, database_url) as stack, listening(stack.http) as client:
        await client.joined()
        await stack.applied(vm, migration, migration_event("bare", version=2))
        await client.until(lambda: len(client.payloads("migration:updated")) == 2)
        (sent,) = (payload["vm"] for payload in client.payloads("vm:updated"))
        shown = await stack.get(f"/api/v1/vms/{vm.data.id}")
        migrations = await stack.get("/api/v1/migrations")
    assert ageless(sent) | {"operation": None} == ageless(shown)
    assert sorted((p["migration"] for p in client.payloads("migration:updated")), key=by_name) == sorted(
        migrations, key=by_name
    )


def by_name(thing: dict[str, Any]) -> str:
    return str(thing["name"])


async def test_cluster_that_becomes_stale_is_sent(nats_url: str, database_url: str) -> None:
    """Its state comes from the journal and its staleness from the clock; a client that returns receives both."""
    async with feed_stack(nats_url, database_url) as stack, listening(stack.http) as client:
        await client.joined()
        revision = await stack.applied(cluster_event("vulcan", ConnectionState.SYNCED))
        await client.until(
            lambda: [payload["cluster"]["stale"] for payload in client.payloads("cluster:updated")] == [True]
        )
        sent = ClusterHealth.model_validate(client.payloads("cluster:updated")[0]["cluster"])
        bucket = await stack.client.jetstream().key_value(HEALTH_BUCKET)
        fresh = sent.model_copy(update={"last_contact": datetime.now(UTC)})
        await bucket.put("dc-solna.vulcan", fresh.model_dump_json().encode())
        await client.until(lambda: client.payloads("cluster:updated")[-1]["cluster"]["stale"] is False)
        silent = fresh.model_copy(update={"last_contact": datetime.now(UTC) - timedelta(seconds=91)})
        await bucket.put("dc-solna.vulcan", silent.model_dump_json().encode())
        await client.until(lambda: client.payloads("cluster:updated")[-1]["cluster"]["stale"] is True)
        async with listening(stack.http, since=await stack.position(revision)) as again:
            await again.until(lambda: again.payloads("cluster:updated"))
    assert again.payloads("cluster:updated")[0]["datacenter"] == "dc-solna"


async def test_feed_of_clusters_in_a_state_has_those_that_enter_and_leave_it(nats_url: str, database_url: str) -> None:
    """As the list with the same filter: `retired` is false when a cluster only left it."""
    now = datetime.now(UTC)
    report = ClusterHealth(
        name=CLUSTER, datacenter=DATACENTER, state=ConnectionState.SYNCED, since=now, last_contact=now
    )
    async with feed_stack(nats_url, database_url) as stack:
        bucket = await stack.client.jetstream().key_value(HEALTH_BUCKET)
        await bucket.put(f"{DATACENTER}.{CLUSTER}", report.model_dump_json().encode())
        await stack.applied(cluster_event(since=now))

        async def states() -> list[str]:
            return [item["state"] for item in (await stack.get("/api/v1/clusters"))["items"]]

        await until(states, lambda found: found == ["synced"])
        async with listening(stack.http, state="unreachable", types="cluster") as client:
            await client.joined()
            for number, state in enumerate((ConnectionState.UNREACHABLE, ConnectionState.SYNCED), start=1):
                await stack.applied(cluster_event(state=state, since=now + timedelta(milliseconds=number)))
            await client.until(lambda: client.payloads("cluster:removed"))
    assert [message["type"] for message in client.messages] == ["cluster:added", "cluster:removed"]
    assert client.payloads("cluster:added")[0]["cluster"]["state"] == "unreachable"
    assert client.payloads("cluster:removed")[0] == {
        "datacenter": DATACENTER,
        "clusterName": CLUSTER,
        "retired": False,
    }


async def test_cluster_that_is_retired_is_removed(nats_url: str, database_url: str) -> None:
    """No list shows it any longer, and the feed says so."""
    async with feed_stack(nats_url, database_url) as stack, listening(stack.http) as client:
        await client.joined()
        await stack.applied(cluster_event("vulcan", ConnectionState.SYNCED))
        await stack.applied(cluster_event("vulcan", ConnectionState.RETIRED))
        await client.until(lambda: client.payloads("cluster:removed"))
        assert (await stack.get("/api/v1/clusters"))["items"] == []
    assert client.payloads("cluster:removed") == [{"datacenter": "dc-solna", "clusterName": "vulcan", "retired": True}]


async def test_end_of_a_cluster_is_sent_once(nats_url: str, database_url: str) -> None:
    """This holds when the feed reads the events before the end after the tables have the end."""
    states = (ConnectionState.SYNCED, ConnectionState.BACKOFF, ConnectionState.RETIRED)
    async with feed_stack(nats_url, database_url) as stack:
        before = await stack.applied(vm_event("a", VmEventType.CREATED))
        await stack.applied(*(cluster_event("vulcan", state) for state in states))
    async with feed_stack(nats_url, database_url) as stack:
        await stack.applied(vm_event("b", VmEventType.CREATED))
        async with listening(stack.http, since=await stack.position(before)) as client:
            await client.until(lambda: client.payloads("vm:added"))
    assert client.payloads("cluster:removed") == [{"datacenter": "dc-solna", "clusterName": "vulcan", "retired": True}]
    assert client.payloads("cluster:updated") == []


async def test_disconnected_client_is_noticed(nats_url: str, database_url: str) -> None:
    """At once, not at the next message."""
    async with feed_stack(nats_url, database_url) as stack:
        before = FEED_CLIENTS._value.get()
        async with listening(stack.http) as client:
            await client.joined()
            assert FEED_CLIENTS._value.get() == before + 1

        async def clients() -> float:
            return FEED_CLIENTS._value.get()

        await until(clients, lambda now: now == before)


async def test_slow_client_is_reset_never_skipped(nats_url: str, database_url: str) -> None:
    """It reads nothing while more changes happen than are kept; then it receives a reset and what follows."""
    async with feed_stack(nats_url, database_url, limits=FeedLimits(buffer_bytes=1 << 20)) as stack:
        port = int(stack.http.base_url.port or 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 16)
        writer.write(b"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        await reader.readuntil(b"bookmark")
        for n in range(0, 80, 8):  # 16 MB: more than the kernel keeps for a connection
            labels = {"note": "x" * 200_000}
            await stack.applied(*(vm_event(f"vm-{n + i}", VmEventType.CREATED, labels=labels) for i in range(8)))
        await stack.applied(vm_event("last", VmEventType.CREATED))
        received = b""
        async with asyncio.timeout(30):
            while b'"type":"reset"' not in received[-400_000:]:
                received += await reader.read(1 << 20)
        writer.close()
    assert b'"cause":"too_slow"' in received
    assert received.count(b'"type":"vm:added"') < 81


async def test_a_client_can_tell_two_vms_with_one_id_apart(nats_url: str, database_url: str) -> None:
    """Two clusters show it: each message names its cluster, also the one about the end."""
    async with feed_stack(nats_url, database_url) as stack, listening(stack.http, snapshot="true") as client:
        await client.joined()
        both = [vm_event("c1", VmEventType.CREATED, cluster=name, epoch=epoch) for name, epoch in (("a", 9), ("b", 1))]
        await stack.publish(*both, vm_event("c1", VmEventType.DELETED, cluster="a", epoch=9, versions=(2, 0)))
        await client.until(lambda: client.payloads("vm:removed"))
        (item,) = (await stack.get("/api/v1/vms"))["items"]
    assert [payload["vm"]["cluster"] for payload in client.payloads("vm:added")] == ["a", "b"]
    (gone,) = client.payloads("vm:removed")
    assert (gone["vmId"], gone["cluster"]) == (item["id"], "a")
    assert item["cluster"] == "b"


async def test_feed_of_tables_that_a_newer_version_made_is_refused(nats_url: str, database_url: str) -> None:
    """After a downgrade it would send heartbeats for ever, and no message."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE alembic_version SET version_num = '9999'")
    await connection.close()
    async with api(nats_url, database_url) as (http, feed):
        await until(lambda: feed.refusal)
        answer = await http.get("/api/v1/events")
        assert (answer.status_code, answer.json()["type"]) == (503, "/docs#schema-newer")
