"""A reader who is limited to a part of the fleet finds nothing of the rest in any byte of any answer.

`test_scopes` compares what such a reader is shown. This looks for what should not be there, in every answer that the
documents list: names, uids, texts, and numbers that count things outside of the reader's part.
"""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import httpx2
import pytest
from support.api_stack import placed_vm
from support.builders import uid_of
from support.feeding import FeedStack, feed_stack, listening
from support.published import (
    OBSERVED_AT,
    bulk_steps,
    cluster_event,
    datacenter_event,
    migration_event,
    operation_steps,
    unmanaged_event,
    vm_event,
)
from support.waiting import until

from summit_api.access import tokens
from summit_api.access.identify import Access
from summit_api.access.policy import PolicyFile
from summit_api.settings import ApiTimes
from summit_models.cluster import ClusterHealth, ConnectionState, Heartbeat, ResourceHealth
from summit_models.event import Event, VmEventType, source_of
from summit_runtime.nats.streams import heartbeats

EVERYTHING, LIMITED, LIMITED_TO_DATACENTERS = (tokens.new_token() for _ in range(3))
ACCESS = f"""tokens:
- {{name: all, role: admin, sha256: {tokens.digest(EVERYTHING)}}}
- {{name: limited, role: admin, datacenters: [dc-solna], namespaces: [prod], sha256: {tokens.digest(LIMITED)}}}
- {{name: there, role: viewer, datacenters: [dc-solna], sha256: {tokens.digest(LIMITED_TO_DATACENTERS)}}}
"""
LATER = OBSERVED_AT + timedelta(hours=1)
ELSEWHERE = {"datacenter": "dc-hidden", "cluster": "hidden-cluster"}
BESIDE = {"namespace": "hidden-namespace"}
"""In the reader's own cluster."""
SHOWN = {"node_name": "hidden-node", "labels": {"hidden": "hidden"}, "problems": ["hidden problem"]}

OBJECTS, WAITING, VERSION = 7_919_773, 6_007_411, "88817841970012523"
"""Numbers that count all namespaces of a cluster, and that no answer has by chance."""
UIDS = {
    "hidden-beside": uid_of("vulcan", BESIDE["namespace"], "hidden-beside"),
    "hidden-gone": uid_of("vulcan", BESIDE["namespace"], "hidden-gone"),
    "hidden-away": uid_of("hidden-cluster", "prod", "hidden-away"),
    "hidden-migration": uid_of("prod", "hidden-migration", "migration"),
}
MINE, MY_MIGRATION = uid_of("prod", "mine"), uid_of("prod", "my-migration", "migration")
SECRETS = tuple(text.encode() for text in ("hidden", str(OBJECTS), str(WAITING), VERSION, *UIDS.values()))

PLACES = {
    "vm_id": [MINE, "moved-in", "moved-out", *UIDS.values(), "none"],
    "migration_id": [MY_MIGRATION, *UIDS.values()],
    "operation_id": [uid_of("operation", namespace, "erp") for namespace in ("prod", "hidden-namespace")],
    "bulk_operation_id": [uid_of("bulk", "prod"), uid_of("bulk", "prod", "hidden-namespace")],
    "name": ["mine", "vulcan", "hidden-beside", "hidden-cluster"],
    "vm_name": ["mine", "hidden-beside", "hidden-away"],
    "datacenter": ["dc-solna", "dc-hidden"],
    "datacenter_id": ["dc-solna", "dc-hidden"],
    "cluster": ["vulcan", "hidden-cluster"],
    "namespace": ["prod", "hidden-namespace"],
    "direction": ["unknown", "incoming"],
}
"""Values for the parameters of paths."""
QUERIES: list[dict[str, str]] = [
    {},
    {"at": (OBSERVED_AT + timedelta(minutes=30)).isoformat()},
    {"at": (OBSERVED_AT - timedelta(days=1000)).isoformat()},
    {"count": "true", "limit": "1"},
    {"cluster": "hidden-cluster"},
    {"datacenter": "dc-hidden", "q": "hidden"},
    {"revision": str(1 << 60)},
    {"dry-run": "1"},
    {"verbose": ""},
]
UNLISTED = ["/metrics", "/healthz", "/docs", "/openapi.json"]
FEED = "/api/v1/events"


def cluster_health(name: str, **more: Any) -> ClusterHealth:
    resource = ResourceHealth(
        resource="virtualmachines",
        since=OBSERVED_AT,
        last_event=LATER,
        last_sync=LATER,
        known_objects=OBJECTS,
        resource_version=VERSION,
        **{"state": ConnectionState.SYNCED, "reason": "hidden reason"} | more,
    )
    return ClusterHealth(
        name=name,
        since=OBSERVED_AT,
        identity="hidden-identity",
        waiting_events=WAITING,
        resources=[resource],
        **{"datacenter": "dc-solna", "state": ConnectionState.DEGRADED, "reason": "hidden reason"} | more,
    )


def connection(health: ClusterHealth) -> Event:
    event = cluster_event(health.name, health.state)
    more = {"data": health, "source": source_of(health.datacenter, health.name), "id": f"{health.name}/{health.reason}"}
    return event.model_copy(update=more)


def elsewhere(event: Event) -> Event:
    """A migration in the other datacenter."""
    data = event.data.model_copy(update={"datacenter_id": "dc-hidden", "cluster": "hidden-cluster"})
    return event.model_copy(update={"data": data, "source": source_of("dc-hidden", "hidden-cluster")})


def fleet() -> list[Event]:
    gone = {"versions": (2, 0), "time": LATER, "type_": VmEventType.DELETED}
    moves = {"id": "moved-in", "namespace": "prod", "name": "moved-in"}
    came = unmanaged_event("moved-in", time=LATER, namespace="prod", problems=["mine"])
    old = {"datacenter": "dc-hidden", "namespace": "hidden-namespace", "problems": ["hidden problem"]}
    return [
        datacenter_event(clusters=["vulcan"]),
        datacenter_event(id="dc-hidden", name="hidden", clusters=["hidden-cluster"]),
        connection(cluster_health("vulcan", state=ConnectionState.UNREACHABLE, reason="hidden before")),
        connection(cluster_health("vulcan")),
        connection(cluster_health("hidden-cluster", datacenter="dc-hidden")),
        vm_event("mine"),
        vm_event("mine", **ELSEWHERE, **SHOWN),
        placed_vm("hidden-beside", **BESIDE, **SHOWN),
        placed_vm("hidden-gone", **BESIDE, **SHOWN),
        placed_vm("hidden-gone", **BESIDE, **SHOWN, **gone),
        placed_vm("hidden-away", **ELSEWHERE, **SHOWN),
        migration_event("my-migration", vm_name="mine"),
        *operation_steps("prod"),
        *operation_steps("hidden-namespace", by="hidden-person"),
        *bulk_steps("prod"),
        *bulk_steps("prod", "hidden-namespace", by="hidden-person"),
        elsewhere(migration_event("hidden-migration", vm_name="hidden-away", source_node="hidden-node")),
        unmanaged_event(**{"vm_id": "moved-in"} | {k: v for k, v in moves.items() if k != "id"} | old),
        came.model_copy(update={"data": came.data.model_copy(update={"changes": old})}),
        unmanaged_event("moved-out", namespace="prod"),
        unmanaged_event("moved-out", time=LATER, **old),
    ]


@pytest.fixture
async def stack(nats_url: str, database_url: str, tmp_path: Path) -> AsyncIterator[FeedStack]:
    """The fleet, and the heartbeats of its clusters. Requests are those of the limited reader."""
    access = tmp_path / "access.yaml"
    access.write_text(ACCESS)
    options = {"access": Access(policy=PolicyFile(access)), "times": ApiTimes(applied_seconds=0.01)}
    async with feed_stack(nats_url, database_url, **options) as stack:
        stack.http.headers["Authorization"] = f"Bearer {LIMITED}"
        await applied(stack, *fleet())
        for health in (cluster_health("vulcan"), cluster_health("hidden-cluster", datacenter="dc-hidden")):
            await heartbeats.write(stack.client, Heartbeat(**dict(health.model_copy(update={"last_contact": LATER}))))
        yield stack


async def applied(stack: FeedStack, *events: Event) -> None:
    """Publish, and wait until lists show it: the api of this test waits for no revision."""
    revision = await stack.publish(*events)

    async def shown() -> bool:
        return (await stack.http.get("/api/v1/vms", params={"revision": revision})).status_code == 200

    await until(shown)


def requests(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    """Each GET of the documents, for each of the places and queries. A path with an unknown parameter fails."""
    for path, methods in document["paths"].items():
        if "get" in methods and path != FEED:
            given = methods["get"].get("parameters", [])
            names = [parameter["name"] for parameter in given if parameter["in"] == "path"]
            for values in product(*(PLACES[name] for name in names)):
                for query in QUERIES:
                    yield path.format(**dict(zip(names, values, strict=True))), query
    yield from product(UNLISTED, [{}])


def found(answer: bytes, asked: str) -> list[bytes]:
    """The secrets in an answer, beside what the request itself has."""
    for part in sorted(asked.split("/"), key=len, reverse=True):
        answer = answer.replace(part.encode(), b"") if part else answer
    return [secret for secret in SECRETS if secret in answer]


async def test_limited_reader_finds_nothing_of_the_rest_in_any_answer(stack: FeedStack) -> None:
    """Also in headers, problems, and answers that are the same as before."""
    document = await stack.get("/openapi.json")
    statuses = set()
    for path, query in requests(document):
        answer = await stack.http.get(path, params=query)
        statuses.add(answer.status_code)
        asked = "/".join([path, *query.values()])
        assert not found(answer.content + repr(answer.headers).encode(), asked), (path, query, answer.text)
        if tag := await _tag_of_everything(stack.http, path, query):
            answer = await stack.http.get(path, params=query, headers={"If-None-Match": tag})
            assert answer.status_code != 304, (path, query)
    assert {200, 404, 409, 422} <= statuses
    assert 429 not in statuses


async def _tag_of_everything(http: httpx2.AsyncClient, path: str, query: dict[str, str]) -> str | None:
    """The tag of what an unlimited reader gets."""
    if query.get("revision"):  # it would wait for it
        return None
    answer = await http.get(path, params=query, headers={"Authorization": f"Bearer {EVERYTHING}"})
    return answer.headers.get("ETag")


async def test_limited_reader_finds_nothing_of_the_rest_in_the_feed(stack: FeedStack) -> None:
    """In the snapshot, in what a feed repeats, and in what happens meanwhile."""
    first = await stack.position(0)
    async with (
        listening(stack.http, token=LIMITED, snapshot="true") as begun,
        listening(stack.http, token=LIMITED, last_event_id=first) as resumed,
    ):
        await begun.joined()
        await applied(
            stack,
            connection(cluster_health("vulcan", state=ConnectionState.STALE, reason="hidden since")),
            placed_vm("hidden-beside", versions=(2, 0), time=LATER, **BESIDE),
            vm_event("mine", versions=(2, 0), time=LATER, **ELSEWHERE, **SHOWN),
            vm_event("mine", versions=(3, 0), time=LATER),
        )
        for client in (begun, resumed):
            await client.until(lambda client=client: len(client.payloads("vm:updated")) > 0)
            await client.until(lambda client=client: client.payloads("cluster:updated"))
            sent = "\n".join(f"{event.event} {event.id} {event.data}" for event in client.events)
            assert not found(sent.encode(), ""), sent


@pytest.mark.parametrize("others", ["duplicate", "first-removed", "one-resource"])
async def test_reader_limited_to_datacenters_finds_no_cluster_of_another_one_that_is_the_same(
    stack: FeedStack, others: str
) -> None:
    """In the list, in the histories and in the feed. What else there is of its own cluster it sees."""
    stack.http.headers["Authorization"] = f"Bearer {LIMITED_TO_DATACENTERS}"
    twice = {"reason": "it is the same cluster as 'hidden-cluster'", "state": ConnectionState.CONFIG_ERROR}
    health = cluster_health("vulcan", **twice)
    if others == "one-resource":
        degraded = {"state": ConnectionState.DEGRADED, "reason": "virtualmachines: as 'hidden-cluster'"}
        health = health.model_copy(update=degraded)
    if others != "first-removed":
        health = health.model_copy(update={"duplicate_of": "hidden-cluster"})
    after = cluster_health("vulcan", reason="Forbidden of its own", state=ConnectionState.FORBIDDEN)
    async with listening(stack.http, token=LIMITED_TO_DATACENTERS) as client:
        await client.joined()
        for published, state in ((health, health.state), (after, "forbidden")):
            later = published.model_copy(update={"since": LATER, "last_contact": LATER})
            await applied(stack, connection(later))
            answers = [await stack.http.get(f"/api/v1/clusters{path}") for path in ("", "/vulcan", "/vulcan/events")]
            assert not [answer.text for answer in answers if "hidden-cluster" in answer.text]
            assert state in answers[2].text
            await client.until(lambda state=state: any(state in sent.data for sent in client.events))
        assert not [sent.data for sent in client.events if "hidden-cluster" in sent.data]
    assert "Forbidden of its own" in answers[1].text


async def test_limited_reader_still_sees_how_each_connection_is(stack: FeedStack) -> None:
    """What it does not see is null, in the list and in the history."""
    (cluster,) = (await stack.get("/api/v1/clusters"))["items"]
    (resource,) = cluster["resources"]
    assert (cluster["name"], cluster["state"], cluster["stale"]) == ("vulcan", "degraded", True)
    assert (resource["resource"], resource["state"]) == ("virtualmachines", "synced")
    hidden = [resource["knownObjects"], resource["resourceVersion"], resource["lastEvent"]]
    assert [cluster["waitingEvents"], cluster["reason"], cluster["identity"], *hidden] == [None] * 6
    newest, *_ = (await stack.get("/api/v1/clusters/vulcan/events"))["items"]
    assert newest["changes"] == [{"field": "state", "from": "unreachable", "to": "degraded"}]
