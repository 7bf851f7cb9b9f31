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
        stack.freshness.note(health(CLUSTER))
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


@pytest.mark.parametrize("path", ["vms/none", "migrations/none", "clusters/none"])
async def test_events_of_an_unknown_object_are_not_found(stack: Stack, path: str) -> None:
    """As the object itself."""
    assert (await stack.http.get(f"/api/v1/{path}/events")).status_code == 404


async def test_migrations_of_a_vm_called_events_are_a_list(stack: Stack) -> None:
    """The original's path `/migrations/vm/{name}` also answers for that name."""
    assert await stack.get("/api/v1/migrations/vm/events") == []


async def test_vm_as_it_was(stack: Stack) -> None:
    """Absent before its first known event and after its end; in between in the state of the last event before."""
    path = f"/api/v1/vms/{ID}"
    answers = {hours: await stack.http.get(path, params={"at": at(hours)}) for hours in (-0.01, 0, 0.99, 1, 2.99, 3)}
    assert [answer.status_code for answer in answers.values()] == [404, 200, 200, 200, 200, 404]
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
        (-1, ""): [],
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
    answers = [await stack.get("/api/v1/status", at=at(hours)) for hours in (-1, 0.5, 1.5, 3.5)]
    assert [(a["total_vms"], a["running_vms"], a["stale"]) for a in answers] == [
        (0, 0, 0),
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


async def test_past_is_confirmed_while_nothing_is_applied(stack: Stack) -> None:
    """Its tag is the same an hour later, and different for another time."""
    first = await stack.http.get("/api/v1/vms", params={"at": at(1)})
    stack.now = NOW + HOUR
    known = {"If-None-Match": first.headers["ETag"]}
    assert (await stack.http.get("/api/v1/vms", params={"at": at(1)}, headers=known)).status_code == 304
    assert (await stack.http.get("/api/v1/vms", params={"at": at(2)}, headers=known)).status_code == 200
