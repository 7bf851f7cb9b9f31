"""The past: the events of each VM, migration and cluster, and the lists as they were at some time."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from support.api_stack import NOW, Stack, api_stack, health, placed_vm
from support.builders import uid_of
from support.published import CLUSTER, OBSERVED_AT, cluster_event, migration_event

from summit_api.shapes.inventory import History
from summit_models.cluster import ConnectionState
from summit_models.event import MigrationEventType, VmEvent, VmEventType
from summit_models.vm import VmStatus

HOUR = timedelta(hours=1)
ID = uid_of(CLUSTER, "prod", "a")


def at(hours: float) -> str:
    return (OBSERVED_AT + hours * HOUR).isoformat()


def event(hours: float, type_: VmEventType = VmEventType.UPDATED, *, name: str = "a", **more: Any) -> VmEvent:
    """An event of VM a so many hours after it was first observed, with old values in `changes`."""
    changes = more.pop("changes", {})
    event = placed_vm(name, type_=type_, versions=(1 + int(10 * hours), 0), time=OBSERVED_AT + hours * HOUR, **more)
    return event.model_copy(update={"data": event.data.model_copy(update={"changes": changes})})


@pytest.fixture
async def stack(database_url: str) -> AsyncIterator[Stack]:
    """VM a was created, moved and stopped an hour later, and deleted after three hours. VM b was always there."""
    async with api_stack(database_url) as stack:
        await stack.apply(
            event(0, VmEventType.CREATED, node_name="worker-1", memory=1024, labels={"app": "web"}),
            event(0, VmEventType.CREATED, name="b", created_at=OBSERVED_AT - HOUR),
            event(
                1,
                status=VmStatus.STOPPED,
                node_name=None,
                memory=2048,
                labels={"app": "db"},
                changes={"status": "running", "nodeName": "worker-1", "memory": 1024, "labels": {"app": "web"}},
            ),
            event(3, VmEventType.DELETED, status=VmStatus.STOPPED, memory=2048, labels={"app": "db"}),
        )
        stack.report(health(CLUSTER))
        yield stack


def names(page: dict[str, Any]) -> list[str]:
    return [item["name"] for item in page["items"]]


async def test_events_show_old_and_new_values_of_each_change(stack: Stack) -> None:
    """Newest first, also for a VM that was deleted."""
    answer = await stack.get(f"/api/v1/vms/{ID}/events")
    History.model_validate(answer)
    assert [(item["type"], item["revision"]) for item in answer["items"]] == [
        ("summit.vm.deleted", 4),
        ("summit.vm.updated", 3),
        ("summit.vm.created", 1),
    ]
    assert answer["items"][1]["observedAt"] == "2026-11-23T08:00:00Z"
    assert answer["items"][1]["changes"] == [
        {"field": "labels", "from": {"app": "web"}, "to": {"app": "db"}},
        {"field": "memory", "from": 1024, "to": 2048},
        {"field": "nodeName", "from": "worker-1", "to": None},
        {"field": "status", "from": "running", "to": "stopped"},
    ]
    assert (answer["revision"], answer["next"]) == (4, None)


async def test_events_come_in_pages(stack: Stack) -> None:
    """A page continues where the one before ended, also after new events; a cursor belongs to its VM."""
    first = await stack.get(f"/api/v1/vms/{ID}/events", limit=2)
    await stack.apply(event(4, VmEventType.CREATED))
    second = await stack.get(f"/api/v1/vms/{ID}/events", limit=2, cursor=first["next"])
    assert [item["revision"] for item in first["items"] + second["items"]] == [4, 3, 1]
    other = uid_of(CLUSTER, "prod", "b")
    refused = await stack.http.get(f"/api/v1/vms/{other}/events", params={"cursor": first["next"]})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "cursor")


async def test_why_a_vm_is_in_error_is_in_list_vm_history_and_past(stack: Stack) -> None:
    """In the cluster's own words, also when it became so and after it was mended."""
    why = "status: ErrorUnschedulable: 0/6 nodes are available: 6 Insufficient memory."
    was = {"status": "running", "problems": []}
    await stack.apply(
        event(0, VmEventType.CREATED, name="c"),
        event(1, name="c", status=VmStatus.ERROR, problems=[why], changes=was),
    )
    path = f"/api/v1/vms/{uid_of(CLUSTER, 'prod', 'c')}"
    (listed,) = (await stack.get("/api/v1/vms", status="error", problems="true"))["items"]
    assert (listed["name"], listed["problems"]) == ("c", [why])
    assert (await stack.get(path))["problems"] == [why]
    became, _ = (await stack.get(f"{path}/events"))["items"]
    assert {"field": "problems", "from": [], "to": [why]} in became["changes"]
    mended = {"status": "error", "problems": [why]}
    await stack.apply(event(2, name="c", status=VmStatus.RUNNING, changes=mended))
    assert (await stack.get(path, at=at(1.5)))["problems"] == [why]
    ended, *_ = (await stack.get(f"{path}/events"))["items"]
    assert {"field": "problems", "from": [why], "to": []} in ended["changes"]


async def test_first_event_of_a_history_carries_the_state(stack: Stack) -> None:
    """So a history says why the VM was in error from the beginning, and what a change did not change."""
    why = "status: ErrorUnschedulable: 0/6 nodes are available: 6 Insufficient memory."
    await stack.apply(
        event(0, VmEventType.CREATED, name="c", status=VmStatus.ERROR, problems=[why], memory=512),
        event(1, name="c", status=VmStatus.RUNNING, memory=512, changes={"status": "error", "problems": [why]}),
    )
    path = f"/api/v1/vms/{uid_of(CLUSTER, 'prod', 'c')}/events"
    later, first = (await stack.get(path))["items"]
    assert (first["state"]["status"], first["state"]["problems"], first["state"]["memory"]) == ("error", [why], 512)
    assert later["state"] is None
    assert later["changes"] == [
        {"field": "problems", "from": [why], "to": []},
        {"field": "status", "from": "error", "to": "running"},
    ]
    (newest,) = (await stack.get(path, limit=1))["items"]
    assert newest["state"] is None


async def test_oldest_event_that_is_kept_carries_the_state(stack: Stack) -> None:
    """The creation was dropped with its month. A VM that a cluster shows again begins again."""
    await stack.apply(event(1, VmEventType.OBSERVED, name="c", memory=1024), event(2, name="c", memory=2048))
    path = f"/api/v1/vms/{uid_of(CLUSTER, 'prod', 'c')}/events"
    states = [item["state"] and item["state"]["memory"] for item in (await stack.get(path))["items"]]
    assert states == [None, 1024]
    in_the_last_hours = await stack.get(path, since=at(1.5))
    assert [item["state"] for item in in_the_last_hours["items"]] == [None], "there is an earlier event"
    await stack.apply(event(4, VmEventType.CREATED, memory=4096))
    again = await stack.get(f"/api/v1/vms/{ID}/events")
    assert [item["state"] and item["state"]["memory"] for item in again["items"]] == [4096, None, None, 1024]


async def test_events_of_a_migration_show_its_phases(stack: Stack) -> None:
    """In the same form as those of a VM, also after its object is gone."""
    await stack.apply(
        migration_event("m", MigrationEventType.CREATED, phase="Pending"),
        migration_event("m", version=2, phase="Running", changes={"phase": "Pending"}),
        migration_event("m", MigrationEventType.DELETED, version=3, phase="Running"),
    )
    path = f"/api/v1/migrations/{uid_of('prod', 'm', 'migration')}/events"
    answer = await stack.get(path)
    History.model_validate(answer)
    assert [item["type"].rpartition(".")[2] for item in answer["items"]] == ["deleted", "updated", "created"]
    assert answer["items"][1]["changes"] == [{"field": "phase", "from": "Pending", "to": "Running"}]
    assert [item["state"] and item["state"]["phase"] for item in answer["items"]] == [None, None, "Pending"]
    tag = (await stack.http.get(path)).headers["ETag"]
    assert (await stack.http.get(path, headers={"If-None-Match": tag})).status_code == 304


async def test_events_of_a_cluster_show_what_changed_in_its_connection(stack: Stack) -> None:
    """Each state and its reason, across pages, also after the cluster was retired and is in no list."""
    states = [
        (ConnectionState.SYNCED, None),
        (ConnectionState.UNREACHABLE, "connection refused"),
        (ConnectionState.SYNCED, None),
        (ConnectionState.RETIRED, None),
    ]
    for hours, (state, reason) in enumerate(states):
        event = cluster_event(state=state, reason=reason, since=OBSERVED_AT + hours * HOUR)
        await stack.apply(event.model_copy(update={"time": OBSERVED_AT + hours * HOUR}))
    first = await stack.get(f"/api/v1/clusters/{CLUSTER}/events", limit=3)
    History.model_validate(first)
    second = await stack.get(f"/api/v1/clusters/{CLUSTER}/events", limit=3, cursor=first["next"])
    changes = [
        [(change["field"], change["from"], change["to"]) for change in item["changes"]]
        for item in first["items"] + second["items"]
    ]
    assert changes == [
        [("state", "synced", "retired")],
        [("reason", "connection refused", None), ("state", "unreachable", "synced")],
        [("reason", None, "connection refused"), ("state", "synced", "unreachable")],
        [],
    ]
    assert [item["state"] for item in first["items"]] == [None] * 3
    begun = second["items"][0]["state"]
    assert (begun["state"], begun["reason"], begun["since"]) == ("synced", None, "2026-11-23T07:00:00Z")
    assert "resources" not in begun, "their numbers of objects are those of the whole cluster"


HISTORIES = {
    "vms": ID,
    "migrations": uid_of("prod", "m", "migration"),
    "clusters": CLUSTER,
}


@pytest.mark.parametrize("kind", HISTORIES)
async def test_history_of_a_time_has_the_events_of_that_time(stack: Stack, kind: str) -> None:
    """From `since` on and before `until`, page by page; a window without events is an empty page, not a 404."""
    for hours in range(5):
        time = OBSERVED_AT + hours * HOUR
        state = [ConnectionState.SYNCED, ConnectionState.UNREACHABLE][hours % 2]
        await stack.apply(
            event(hours + 5, name="a", epoch=1),
            migration_event("m", version=hours + 1).model_copy(update={"time": time + 5 * HOUR}),
            cluster_event(state=state, since=time).model_copy(update={"time": time + 5 * HOUR}),
        )
    path = f"/api/v1/{kind}/{HISTORIES[kind]}/events"

    async def shown(**window: str) -> list[int]:
        found: list[int] = []
        following: dict[str, str] = {}
        while True:
            page = await stack.get(path, limit=2, **window, **following)
            found += [datetime.fromisoformat(item["observedAt"]).hour for item in page["items"]]
            if page["next"] is None:
                return found
            following = {"cursor": page["next"]}

    assert await shown(since=at(6), until=at(9)) == [15, 14, 13]
    assert await shown(since=at(9)) == [16]
    assert [hour for hour in await shown(until=at(6)) if hour >= 12] == [12]
    assert await shown(since=at(20)) == []
    stack.now = OBSERVED_AT + 9.5 * HOUR
    assert await shown(since="-1h") == [16]
    assert await shown(since="-150m", until="-30m") == [15, 14]


async def test_window_of_a_history_is_checked(stack: Stack) -> None:
    """The sentence says what is wrong, and how to write it. A cursor belongs to its window."""
    path = f"/api/v1/vms/{ID}/events"
    sentences = {
        "yesterday": "must be a time as RFC 3339 has it, with its offset: 2026-11-23T12:00:00Z",
        "-1y": "a time ago is a number with s, m, h or d, as -90s, -15m, -1h or -7d, not '-1y'",
        "2026-02-30T12:00:00Z": "there is no such time: day is out of range for month",
        "0001-01-01T00:00:00+10:00": "in UTC this time is in no year from 1 to 9999",
    }
    for text, sentence in sentences.items():
        refused = await stack.http.get(path, params={"since": text})
        assert (refused.status_code, refused.json()["errors"]) == (422, [{"field": "since", "detail": sentence}])
    refused = await stack.http.get(path, params={"since": at(2), "until": at(1)})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "since")
    first = await stack.get(path, since=at(0), limit=1)
    refused = await stack.http.get(path, params={"since": at(1), "limit": 1, "cursor": first["next"]})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "cursor")


async def test_history_of_the_last_hour_moves_on_without_an_event(stack: Stack) -> None:
    """Its tag does not confirm it for longer than a minute."""
    stack.now = OBSERVED_AT + 1.5 * HOUR
    path = f"/api/v1/vms/{ID}/events?since=-1h"
    known = {"If-None-Match": (await stack.http.get(path)).headers["ETag"]}
    assert (await stack.http.get(path, headers=known)).status_code == 304
    stack.now += 3 * HOUR
    answer = await stack.http.get(path, headers=known)
    assert (answer.status_code, len(answer.json()["items"])) == (200, 0)


@pytest.mark.parametrize("path", ["vms/none", "migrations/none", "clusters/none"])
async def test_events_of_an_unknown_object_are_not_found(stack: Stack, path: str) -> None:
    """As the object itself."""
    assert (await stack.http.get(f"/api/v1/{path}/events")).status_code == 404


async def test_migrations_of_a_vm_called_events_are_a_list(stack: Stack) -> None:
    """The original's path `/migrations/vm/{name}` also answers for that name."""
    assert await stack.get("/api/v1/migrations/vm/events") == []


async def test_vm_as_it_was(stack: Stack) -> None:
    """Absent after its end, gone before anything was known; in between in the state of the last event before."""
    path = f"/api/v1/vms/{ID}"
    answers = {hours: await stack.http.get(path, params={"at": at(hours)}) for hours in (-0.01, 0, 0.99, 1, 2.99, 3)}
    assert [answer.status_code for answer in answers.values()] == [410, 200, 200, 200, 200, 404]
    assert [answers[hours].json()["memory"] for hours in (0, 0.99, 1, 2.99)] == [1024, 1024, 2048, 2048]
    assert answers[0.99].json() | {"status": "running", "nodeName": "worker-1", "revision": 1} == answers[0].json()
    assert "at 2026-11-23T10:00:00+00:00" in answers[3].json()["detail"]


async def test_vm_as_it_was_has_the_age_it_had(stack: Stack) -> None:
    """It is not stale, because staleness describes the present."""
    stack.now = NOW + 24 * HOUR
    vm = await stack.get(f"/api/v1/vms/{uid_of(CLUSTER, 'prod', 'b')}", at=at(0.5))
    assert (vm["age"], vm["stale"]) == ("90m", False)


async def test_list_as_it_was(stack: Stack) -> None:
    """Filters, sort, fields and count apply to the VMs of that time."""
    expected = {
        (0, ""): ["a", "b"],
        (0.5, "status=running"): ["a", "b"],
        (1.5, "status=running"): ["b"],
        (1.5, "sort=-name"): ["b", "a"],
        (3.5, ""): ["b"],
    }
    answers = {
        (hours, query): await stack.get(f"/api/v1/vms?{query}&count=true&at={at(hours)}") for hours, query in expected
    }
    assert {key: names(page) for key, page in answers.items()} == expected
    assert all(page["count"] == len(page["items"]) for page in answers.values())


async def test_counts_as_they_were(stack: Stack) -> None:
    """GET /status shows the same past. A `+` that was not escaped is a space, and means the sign of the offset."""
    assert (await stack.get("/api/v1/status?at=2026-11-23T09:00:00+01:00"))["total_vms"] == 2
    answers = [await stack.get("/api/v1/status", at=at(hours)) for hours in (0.5, 1.5, 3.5)]
    assert [(a["total_vms"], a["running_vms"], a["stale"]) for a in answers] == [
        (2, 2, 0),
        (2, 1, 0),
        (1, 1, 0),
    ]


async def test_vm_that_was_only_seen_again_is_as_it_was(stack: Stack) -> None:
    """An event that repeats the state moves the time of the row, and is no change."""
    await stack.apply(event(4, VmEventType.OBSERVED, name="b", created_at=OBSERVED_AT - HOUR))
    assert names(await stack.get("/api/v1/vms", at=at(0.5))) == ["a", "b"]


async def test_vm_whose_creation_had_aged_out_of_the_log_has_a_past(stack: Stack) -> None:
    """Tables made from a log that has dropped its first events know most VMs only by repetitions."""
    await stack.apply(event(1, VmEventType.OBSERVED, name="c", memory=1024), event(3, name="c", memory=2048))
    pages = [await stack.get("/api/v1/vms", at=at(hours), q="c") for hours in (0.9, 1, 2.9, 3)]
    assert [[vm["memory"] for vm in page["items"]] for page in pages] == [[], [1024], [1024], [2048]]


async def test_time_before_the_kept_history_is_gone(stack: Stack) -> None:
    """An empty list would look as if there had been no VMs."""
    since = datetime.fromisoformat(at(0.5))
    async with stack.database() as database:
        await database.execute("UPDATE checkpoint SET history_since = $1", since)
    for path in ("/api/v1/vms", f"/api/v1/vms/{ID}", "/api/v1/status"):
        answer = await stack.http.get(path, params={"at": at(0.4)})
        assert (answer.status_code, answer.json()["title"]) == (410, "History not kept")
        assert (await stack.http.get(path, params={"at": at(0.5)})).status_code == 200


async def test_time_before_anything_was_known_is_not_answered_with_zeros(stack: Stack) -> None:
    """The answer names the time since when something is known. Before that nobody knows whether there were VMs."""
    for path in ("/api/v1/vms", f"/api/v1/vms/{ID}", "/api/v1/status", "/api/v1/vms?count=true&status=error"):
        answer = await stack.http.get(path, params={"at": at(-1)})
        assert (answer.status_code, answer.json()["type"]) == (410, "/docs#history-not-kept"), path
        assert "was known before 2026-11-23T07:00:00+00:00; ask for a later time" in answer.json()["detail"]
    assert names(await stack.get("/api/v1/vms", at=at(0.5), status="error")) == []


async def test_time_before_a_place_was_known_is_not_answered_with_zeros(stack: Stack) -> None:
    """Another cluster was known by then. A place that has never been known is as empty as it is now."""
    await stack.apply(event(2, VmEventType.CREATED, name="c", cluster="romulus", datacenter="dc-uppsala"))
    for place in ({"cluster": "romulus"}, {"datacenter": "dc-uppsala"}):
        answer = await stack.http.get("/api/v1/vms", params={"at": at(1), **place})
        assert (answer.status_code, answer.json()["title"]) == (410, "History not kept")
        assert names(await stack.get("/api/v1/vms", at=at(2), **place)) == ["c"]
    assert names(await stack.get("/api/v1/vms", at=at(1), cluster="none")) == []
    await stack.apply(cluster_event("remus", state=ConnectionState.UNREACHABLE))
    answer = await stack.http.get("/api/v1/vms", params={"at": at(2), "cluster": "remus"})
    assert (answer.status_code, "no cluster of it has been read" in answer.json()["detail"]) == (410, True)


async def test_empty_cluster_is_known_once_it_was_read(stack: Stack) -> None:
    """It had no VMs then, which is an answer. While it was only starting, nobody knew."""
    for hours, state in ((-3, ConnectionState.STARTING), (-2, ConnectionState.SYNCED)):
        found = cluster_event(state=state, since=OBSERVED_AT + hours * HOUR)
        await stack.apply(found.model_copy(update={"time": OBSERVED_AT + hours * HOUR}))
    assert (await stack.get("/api/v1/status", at=at(-1)))["total_vms"] == 0
    assert names(await stack.get("/api/v1/vms", at=at(-1))) == []
    assert (await stack.http.get("/api/v1/vms", params={"at": at(-2.5)})).status_code == 410


async def test_past_is_confirmed_while_nothing_is_applied(stack: Stack) -> None:
    """Its tag is the same an hour later, and different for another time."""
    first = await stack.http.get("/api/v1/vms", params={"at": at(1)})
    stack.now = NOW + HOUR
    known = {"If-None-Match": first.headers["ETag"]}
    assert (await stack.http.get("/api/v1/vms", params={"at": at(1)}, headers=known)).status_code == 304
    assert (await stack.http.get("/api/v1/vms", params={"at": at(2)}, headers=known)).status_code == 200
