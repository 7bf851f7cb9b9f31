"""A fleet in a storm: VMs that are created, changed and deleted at random, each event as a watcher would tell it."""

import random
from typing import Any

from api_stack import placed_vm

from summit_models.event import VmEvent, VmEventType
from summit_models.vm import VmStatus

PLACES = [
    {"datacenter": "dc-solna", "cluster": "vulcan", "namespace": "prod"},
    {"datacenter": "dc-solna", "cluster": "romulus", "namespace": "test"},
    {"datacenter": "dc-uppsala", "cluster": "kronos", "namespace": "prod"},
]
STATUSES = [VmStatus.RUNNING, VmStatus.STOPPED, VmStatus.ERROR]


class Fleet:
    """The same storm for the same seed."""

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
