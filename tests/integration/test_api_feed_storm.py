"""Whoever follows the feed knows at any time what a list would show: under a storm of writes, whatever it selects."""

import random
from typing import Any

from api_stack import placed_vm
from feeding import FeedStack, ageless, feed_stack, listening

from summit_models.event import VmEvent, VmEventType
from summit_models.vm import VmStatus

PLACES = [
    {"datacenter": "dc-solna", "cluster": "vulcan", "namespace": "prod"},
    {"datacenter": "dc-solna", "cluster": "romulus", "namespace": "test"},
    {"datacenter": "dc-uppsala", "cluster": "kronos", "namespace": "prod"},
]
STATUSES = [VmStatus.RUNNING, VmStatus.STOPPED, VmStatus.ERROR]
SELECTIONS: list[dict[str, Any]] = [
    {},
    {"datacenter": "dc-solna"},
    {"cluster": ["vulcan", "kronos"], "status": "running"},
    {"namespace": "prod", "status": ["stopped", "error"]},
]


class Fleet:
    """VMs that are created, changed and deleted at random, each event as a watcher would tell it."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  the same storm each time
        self._alive: dict[int, VmEvent] = {}
        self._created = 0
        self._version = 0

    def next_event(self) -> VmEvent:
        self._version += 1
        deed = self._random.random()
        if len(self._alive) < 5 or deed < 0.2:
            self._created += 1
            place = self._random.choice(PLACES)
            return self._tell(self._created, VmEventType.CREATED, place, self._random.choice(STATUSES))
        number, last = self._random.choice(sorted(self._alive.items()))
        place = {name: getattr(last.data, name) for name in PLACES[0]}
        if deed < 0.3:
            return self._tell(number, VmEventType.DELETED, place, last.data.status)
        status = self._random.choice([status for status in STATUSES if status != last.data.status])
        return self._tell(number, VmEventType.UPDATED, place, status, changes={"status": last.data.status})

    def _tell(self, number: int, type_: VmEventType, place: dict[str, str], status: VmStatus, **more: Any) -> VmEvent:
        event = placed_vm(f"vm-{number}", type_=type_, versions=(self._version, 0), status=status, **place, **more)
        self._alive[number] = event
        if type_ is VmEventType.DELETED:
            del self._alive[number]
        return event


async def listed(stack: FeedStack, revision: int, selection: dict[str, Any]) -> dict[str, Any]:
    """What a list shows."""
    page = await stack.get("/api/v1/vms", limit=500, revision=revision, **selection)
    return {vm["id"]: ageless(vm) for vm in page["items"]}


async def test_clients_that_join_in_a_storm_know_what_lists_show(nats_url: str, database_url: str) -> None:
    """Each begins with a snapshot in the midst of writes and follows its own selection: no gap, nothing twice."""
    fleet = Fleet(seed=4)
    async with feed_stack(nats_url, database_url) as stack:
        await stack.publish(*(fleet.next_event() for _ in range(100)))
        async with (
            listening(stack.http, snapshot="true", **SELECTIONS[0]) as everything,
            listening(stack.http, snapshot="true", **SELECTIONS[1]) as solna,
        ):
            await stack.publish(*(fleet.next_event() for _ in range(100)))
            async with (
                listening(stack.http, snapshot="true", **SELECTIONS[2]) as running,
                listening(stack.http, snapshot="true", **SELECTIONS[3]) as broken,
            ):
                revision = await stack.publish(*(fleet.next_event() for _ in range(200)))
                for client, selection in zip((everything, solna, running, broken), SELECTIONS, strict=True):
                    expected = await listed(stack, revision, selection)
                    await client.until(lambda client=client, expected=expected: client.known() == expected)
                    assert expected
                    assert not client.told("reset")
                    done = client.told("snapshot:done")
                    assert len(done) == 1
