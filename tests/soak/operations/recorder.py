"""What a simulated cluster really did to each VM, and when: noted from its store, whatever watches show."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from summit_models.operation import Action, Operation
from summit_simulator.objects.manifest import Manifest, conditions, metadata, part
from summit_simulator.objects.resources import MIGRATIONS, VIRTUALMACHINEINSTANCES, VIRTUALMACHINES
from summit_simulator.objects.store import Event, Store

FINAL = ("Succeeded", "Failed")
CLOCK_SECONDS = 1.0
"""How far the clock of the log may be from ours."""


class Moment(NamedTuple):
    """A VM as it is from a time on."""

    at: float
    """Unix time."""
    exists: bool = False
    """The VirtualMachine; an instance may be there without."""
    size: tuple[int | None, str | None] = (None, None)
    """vCPUs and guest memory of its template."""
    instance: str | None = None
    phase: str = ""
    paused: bool = False

    @property
    def runs(self) -> bool:
        return self.instance is not None and self.phase == "Running"


class Recorder:
    """Notes all that happens in one cluster, from now on."""

    def __init__(self, store: Store) -> None:
        self.vms: defaultdict[str, list[Moment]] = defaultdict(list)
        self.migrations: defaultdict[str, list[tuple[float, str, str]]] = defaultdict(list)
        """Time, uid and phase, by name."""
        for resource in (VIRTUALMACHINES, VIRTUALMACHINEINSTANCES, MIGRATIONS):
            for record in store.records(resource):
                self._note(Event("ADDED", resource, record, None))
        store.listeners.append(self._note)

    def moments(self, vm_id: str, since: float, until: float) -> Iterator[Moment]:
        """How the VM was from a time on, and what happened to it until another one."""
        past = [moment for moment in self.vms[vm_id] if moment.at <= since]
        yield from past[-1:]
        yield from (moment for moment in self.vms[vm_id] if since < moment.at <= until)

    def _note(self, event: Event) -> None:
        if event.resource is MIGRATIONS:
            manifest = event.record.manifest()
            phase = str(part(manifest, "status").get("phase") or "")
            self.migrations[event.record.name].append((time.time(), event.record.uid, phase))
        elif event.resource is VIRTUALMACHINES:
            manifest, is_there = event.record.manifest(), event.type != "DELETED"
            self._add(event.record.uid, exists=is_there, size=_size(manifest))
        elif event.resource is VIRTUALMACHINEINSTANCES:
            self._note_instance(event)

    def _note_instance(self, event: Event) -> None:
        manifest = event.record.manifest()
        owners = [owner["uid"] for owner in metadata(manifest).get("ownerReferences") or ()]
        (vm_id, *_) = [*owners, event.record.uid]
        if event.type == "DELETED":
            self._add(vm_id, instance=None, phase="", paused=False)
            return
        phase = str(part(manifest, "status").get("phase") or "")
        paused = conditions(manifest).get("Paused", {}).get("status") == "True"
        self._add(vm_id, instance=event.record.uid, phase=phase, paused=paused)

    def _add(self, vm_id: str, **values: object) -> None:
        moments = self.vms[vm_id]
        before = moments[-1] if moments else Moment(0.0)
        after = before._replace(at=time.time(), **values)
        if after._replace(at=before.at) != before or not moments:
            moments.append(after)


def _size(vm: Manifest) -> tuple[int | None, str | None]:
    domain = part(part(part(part(vm, "spec"), "template"), "spec"), "domain")
    cpu = part(domain, "cpu")
    vcpus = (cpu.get("sockets") or 1) * (cpu.get("cores") or 1) * (cpu.get("threads") or 1) if cpu else None
    return vcpus, part(domain, "memory").get("guest")


def has_effect(operation: Operation, recorder: Recorder) -> bool:
    """Whether the cluster was, while the operation ran, in the state that its success claims.

    softreboot and reset change nothing that a cluster shows: their requests are counted instead.
    """
    assert operation.started_at is not None
    assert operation.ended_at is not None
    since = operation.started_at.timestamp() - CLOCK_SECONDS
    until = operation.ended_at.timestamp() + CLOCK_SECONDS
    if operation.action is Action.MIGRATE:
        course = recorder.migrations[f"summit-{operation.id}"]
        return any(phase == "Succeeded" and at <= until for at, _, phase in course)
    goal = _GOALS.get(operation.action)
    return goal is None or any(goal(operation, now) for now in recorder.moments(operation.vm_id, since, until))


def _is_resized(operation: Operation, now: Moment) -> bool:
    cpu, memory = operation.parameters.get("cpu"), operation.parameters.get("memory")
    return cpu in (None, now.size[0]) and (memory is None or now.size[1] == f"{memory}Mi")


_GOALS: dict[Action, Callable[[Operation, Moment], bool]] = {
    Action.START: lambda _, now: now.runs,
    Action.STOP: lambda _, now: now.instance is None or now.phase in FINAL,
    Action.RESTART: lambda operation, now: now.runs and now.instance != operation.instance,
    Action.PAUSE: lambda _, now: now.runs and now.paused,
    Action.UNPAUSE: lambda _, now: now.runs and not now.paused,
    Action.RESIZE: _is_resized,
    Action.DELETE: lambda _, now: not now.exists,
}
