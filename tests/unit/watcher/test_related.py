"""Objects that belong to one VM in numbers that no real cluster has."""

import time
from collections.abc import Sequence
from typing import Any

import msgspec

from summit_models.contract import ClusterName, DatacenterId
from summit_models.event import VmEventType
from summit_watcher.inventory.diff import Diff, Outgoing
from summit_watcher.inventory.lost_addresses import LostAddresses
from summit_watcher.inventory.published import Published
from summit_watcher.inventory.stuck_migrations import StuckMigrations
from summit_watcher.kube.resources import (
    MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
    WATCHED,
    Resource,
)
from summit_watcher.listwatch.events import Apply, Init, InitApply, InitDone

MANY = 20_000
MOST_SECONDS = 10.0
"""Of the processor. It takes one; with the square of their number it took a minute for the instances alone."""
OWNER = [{"kind": "VirtualMachine", "uid": "owner", "controller": True}]


def read(resource: Resource[Any], uid: str, version: int, *, spec: Any = None, phase: str = "", **more: Any) -> Any:
    metadata = {"uid": uid, "name": uid, "namespace": "n", "resourceVersion": str(version)} | more
    return msgspec.convert({"metadata": metadata, "spec": spec, "status": {"phase": phase or None}}, resource.manifest)


def listed(diff: Diff, resource: Resource[Any], objects: Sequence[Any]) -> list[Outgoing]:
    return [e for e in diff.follow(resource, [Init(), *map(InitApply, objects), InitDone("9")]) if e]


def known() -> Diff:
    diff = Diff(Published(DatacenterId("dc"), ClusterName("c"), epoch=1), LostAddresses(5), StuckMigrations(600))
    for resource in WATCHED:
        listed(diff, resource, [])
    return diff


def test_thousands_of_instances_of_one_vm_do_not_hold_up_the_other_clusters() -> None:
    """Whoever may create instances may name any owner. The one that changed last is shown."""
    diff, instances = known(), VIRTUAL_MACHINE_INSTANCES
    listed(diff, VIRTUAL_MACHINES, [read(VIRTUAL_MACHINES, "owner", 1)])
    began = time.process_time()
    many = [read(instances, f"i{n}", 2, phase="Pending", ownerReferences=OWNER) for n in range(MANY)]
    assert len(listed(diff, instances, many)) == 1
    for version in range(11, 111):
        changed = read(instances, "i7", version, phase="Running" if version % 2 else "Pending", ownerReferences=OWNER)
        (event,) = filter(None, diff.follow(instances, [Apply(changed)]))
        assert (event.type, getattr(event.model, "phase")) == (VmEventType.UPDATED, changed.status.phase)  # noqa: B009
    assert time.process_time() - began < MOST_SECONDS


def test_thousands_of_migrations_of_one_vm_do_not_hold_up_the_other_clusters() -> None:
    """Each change of the instance may change its migrations, as only it shows where they go."""
    diff, instances = known(), VIRTUAL_MACHINE_INSTANCES
    listed(diff, instances, [read(instances, "vm", 1, phase="Pending")])
    began = time.process_time()
    many = [read(MIGRATIONS, f"m{n}", 2, spec={"vmiName": "vm"}) for n in range(MANY)]
    assert len(listed(diff, MIGRATIONS, many)) == MANY
    for version in range(11, 61):
        changed = read(instances, "vm", version, phase="Running" if version % 2 else "Pending")
        assert len(list(filter(None, diff.follow(instances, [Apply(changed)])))) == 1
    assert time.process_time() - began < MOST_SECONDS
