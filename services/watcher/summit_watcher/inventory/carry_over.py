"""What the log knows of a VM and the present does not tell: kept where nothing says that it has become otherwise.

An instance tells more than its VirtualMachine: where it runs, its addresses, the sizes of its claims. It ends, and the
sizes are the same; or it may not be read (403 when the watcher starts), and then it most likely runs on where it ran.
That a question is not answered is no answer.
"""

from summit_models.vm import Vm, VmStatus
from summit_watcher.normalize import VmiFacts, decoded

_NEVER_MIGRATED = b'"_lastMigratedAt":null'

_TOLD_BY_INSTANCE = (
    "phase", "ip", "ips", "node_name", "guest_os", "machine_type", "firmware_uuid", "live_migratable",
    "agent_connected", "migration_source", "migration_target", "last_migrated_at", "started_at",
    "cpu", "memory", "memory_bytes", "disk", "disk_bytes", "problems",
)  # fmt: skip
_WITHOUT_INSTANCE = frozenset({VmStatus.STOPPED, VmStatus.PROVISIONING, VmStatus.WAITING_FOR_VOLUME_BINDING})
"""A VM that says so of itself has none, or none yet."""


def carried_over(
    vm: Vm, vmi: VmiFacts | None, last: bytes, *, instances_were_read: bool, instancetypes_were_read: bool
) -> Vm:
    """The present state of a VM, made whole by the last one in the log."""
    if instances_were_read and instancetypes_were_read and not _forgets(vm, vmi, last):
        return vm
    before, kept = decoded(last), dict[str, object]()
    if vm.last_migrated_at is None:
        kept["last_migrated_at"] = before.last_migrated_at
    if vm.disk is None and vmi is None and before.disk is not None:
        kept |= {"disk": before.disk, "disk_bytes": before.disk_bytes, "problems": _without(vm.problems, "disk")}
    if not instancetypes_were_read and vm.cpu is None and vm.instancetype == before.instancetype:
        kept |= {"cpu": before.cpu, "memory": before.memory, "memory_bytes": before.memory_bytes}
        kept["problems"] = before.problems
    if not instances_were_read and before.started_at is not None and vm.status not in _WITHOUT_INSTANCE:
        kept |= {name: getattr(before, name) for name in _TOLD_BY_INSTANCE}
    return vm.model_copy(update=kept)


def _forgets(vm: Vm, vmi: VmiFacts | None, last: bytes) -> bool:
    """Does the present forget what the log still knows? Looked at in the JSON: parsing it for each change is dear."""
    return (vm.disk is None and vmi is None) or (vm.last_migrated_at is None and _NEVER_MIGRATED not in last)


def _without(problems: list[str], concept: str) -> list[str]:
    return [problem for problem in problems if not problem.startswith(f"{concept}:")]
