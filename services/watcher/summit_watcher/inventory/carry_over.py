"""Carry-over: what the last published state still knows and the present objects do not show.

An instance shows more than its VirtualMachine: its node, its addresses, the sizes of its claims. When it ends, the
sizes stay the same. When instances may not be read (403 at the watcher's start), the VM most likely still runs
where it ran, so what was published of its instance stays.
"""

from summit_models.migration import Migration
from summit_models.vm import Vm, VmStatus
from summit_watcher.inventory.published import MIGRATION_CODEC, VM_CODEC
from summit_watcher.normalize.instance import VmiFacts
from summit_watcher.normalize.trouble import PREFIX, steady

_NEVER_MIGRATED = b'"_lastMigratedAt":null'
"""Looked up in the JSON of the last state: to parse that for each change is expensive."""

_SHOWN_BY_INSTANCE = (
    "phase", "ip", "ips", "node_name", "guest_os", "machine_type", "firmware_uuid", "live_migratable",
    "live_migratable_reason",
    "agent_connected", "migration_source", "migration_target", "last_migrated_at", "started_at",
    "cpu", "memory", "memory_bytes", "disk", "disk_bytes", "problems",
)  # fmt: skip
_WITHOUT_INSTANCE = frozenset({VmStatus.STOPPED, VmStatus.PROVISIONING, VmStatus.WAITING_FOR_VOLUME_BINDING})
"""A VM with such a status has no instance, or none yet."""

_SHOWN_WHILE_MIGRATING = (
    "mode", "source_node", "target_node", "source_pod", "target_pod", "start_time", "end_time", "failure_reason",
)  # fmt: skip


def carry_over_vm(
    vm: Vm,
    vmi: VmiFacts | None,
    last: bytes,
    *,
    has_same_disks: bool,
    has_same_revision: bool,
    instances_were_read: bool,
    instancetypes_were_read: bool,
) -> Vm:
    """The present state of a VM, completed by the last published one.

    A size is kept only while it is one of the same thing: the same disks, the same revision of an instancetype.
    """
    lacks_disk = vm.disk is None and vmi is None and has_same_disks
    lacks_sizes = vm.cpu is None and vmi is None and has_same_revision
    is_in_trouble = any(problem.startswith(PREFIX) for problem in vm.problems)
    may_be_later = vm.last_migrated_at is None and _NEVER_MIGRATED not in last
    if (
        instances_were_read
        and instancetypes_were_read
        and not (lacks_disk or lacks_sizes or may_be_later or is_in_trouble)
    ):
        return vm
    before, kept, problems = VM_CODEC.decode(last), dict[str, object](), vm.problems
    if vm.last_migrated_at is None:
        kept["last_migrated_at"] = before.last_migrated_at
    if lacks_disk and before.disk is not None:
        kept |= {"disk": before.disk, "disk_bytes": before.disk_bytes}
        problems = _without(problems, "disk")
    has_same_instancetype = vm.cpu is None and vm.instancetype == before.instancetype
    if has_same_instancetype and before.cpu is not None and (lacks_sizes or not instancetypes_were_read):
        kept |= {"cpu": before.cpu, "memory": before.memory, "memory_bytes": before.memory_bytes}
        problems = _without(problems, "instancetype")
    kept["problems"] = problems
    if not instances_were_read and before.started_at is not None and vm.status not in _WITHOUT_INSTANCE:
        kept |= {name: getattr(before, name) for name in _SHOWN_BY_INSTANCE}
    present = vm.model_copy(update=kept)
    if is_in_trouble:  # unless something else has changed, a counter in the cluster's sentence is no event
        steadied = present.model_copy(update={"problems": steady(present.problems, before.problems)})
        return steadied if VM_CODEC.encode(steadied) == last else present
    return present


def _without(problems: list[str], concept: str) -> list[str]:
    return [problem for problem in problems if not problem.startswith(f"{concept}:")]


def carry_over_migration(migration: Migration, last: bytes) -> Migration:
    """The present state of a migration, completed by the last published one.

    Only the instance shows where a migration goes, until it stops or its next migration starts. A migration is that of
    one VM, though another VM may have its name by now.
    """
    before = MIGRATION_CODEC.decode(last)
    kept: dict[str, object] = {
        name: old
        for name in _SHOWN_WHILE_MIGRATING
        if getattr(migration, name) is None and (old := getattr(before, name))
    }
    if before.vm_id:
        kept["vm_id"] = before.vm_id
    return migration.model_copy(update=kept) if kept else migration
