"""A fleet in a storm: VMs that are created, changed and deleted at random, as events of a watcher."""

import random
from typing import Any

from support.api_stack import placed_vm

from summit_models.event import VmEvent, VmEventType
from summit_models.vm import VmStatus

PLACES: list[dict[str, Any]] = [
    {"datacenter": "dc-solna", "cluster": "vulcan", "namespace": "prod"},
    {"datacenter": "dc-solna", "cluster": "romulus", "namespace": "test"},
    {"datacenter": "dc-uppsala", "cluster": "kronos", "namespace": "prod"},
]
STATUSES = [VmStatus.RUNNING, VmStatus.STOPPED, VmStatus.ERROR]
MEMBERS = {"status": "status", "labels": "labels", "node_name": "nodeName"}


class Fleet:
    """The same storm for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  the same storm each time
        self._alive: dict[str, dict[str, Any]] = {}
        self._created = 0
        self._version = 0

    def next_event(self) -> VmEvent:
        self._version += 1
        deed = self._random.random()
        if len(self._alive) < 5 or deed < 0.2:
            self._created += 1
            name = f"vm-{self._created}"
            return self._event(name, VmEventType.CREATED, self._random.choice(PLACES) | self._some_state())
        name, state = self._random.choice(sorted(self._alive.items()))
        if deed < 0.3:
            return self._event(name, VmEventType.DELETED, state)
        after = state | self._some_state()
        changes = {MEMBERS[field]: old for field, old in state.items() if after[field] != old}
        return self._event(name, VmEventType.UPDATED, after, changes=changes)

    def _some_state(self) -> dict[str, Any]:
        """A random value for each field that may change."""
        return {
            "status": self._random.choice(STATUSES),
            "labels": {"tier": self._random.choice("ab")},
            "node_name": self._random.choice(["worker-1", "worker-2", None]),
        }

    def _event(self, name: str, type_: VmEventType, state: dict[str, Any], **more: Any) -> VmEvent:
        self._alive[name] = state
        if type_ is VmEventType.DELETED:
            del self._alive[name]
        return placed_vm(name, type_=type_, versions=(self._version, 0), **state, **more)
