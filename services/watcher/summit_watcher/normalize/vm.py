"""Joins a VirtualMachine, its instance, its instancetype and its DataVolumes into the normalized VM."""

from collections.abc import Sequence
from typing import NamedTuple

from summit_models.codec import unvalidated
from summit_models.contract import ClusterName, DatacenterId, Uid
from summit_models.vm import Vm, VmStatus
from summit_watcher.normalize.datavolume import DataVolumeFacts, least_progress
from summit_watcher.normalize.disks import Disk, disk_bytes
from summit_watcher.normalize.instance import VmiFacts
from summit_watcher.normalize.instancetype import InstancetypeFacts, was_edited_since
from summit_watcher.normalize.quantity import Figure, shown, unknown
from summit_watcher.normalize.status import instance_status, vm_status
from summit_watcher.normalize.virtualmachine import VmFacts

_make_vm = unvalidated(Vm)
"""Facts are known to fit."""

_MIGRATING = frozenset({VmStatus.MIGRATING, VmStatus.WAITING_FOR_RECEIVER})


class _Parts(NamedTuple):
    """The objects that a VM is joined from, and values that depend on more than one of them."""

    vm: VmFacts | None
    vmi: VmiFacts | None
    live: VmiFacts | None
    """The instance, unless it has ended."""
    answering: VmiFacts | None
    """The instance, if its node still reports it."""
    status: VmStatus
    cpu: Figure
    memory: Figure
    disk: Figure
    provisioning: Figure | None
    problems: list[str]


def join_vm(
    vm: VmFacts | None,
    vmi: VmiFacts | None,
    instancetype: InstancetypeFacts | None,
    volumes: Sequence[DataVolumeFacts] = (),
    last_disks: Sequence[Disk] = (),
    *,
    cluster: ClusterName,
    datacenter: DatacenterId,
) -> Vm:
    """Make the normalized VM. Without `vm` it is an instance that stands alone.

    `last_disks` are those of the VM's last instance, which is gone.

    An instance that has ended still has sizes: those of claims, which a stopped VirtualMachine does not know, and those
    of the instancetype as the VM used it. Nothing else of it is shown. Raises ValueError only if given neither.
    """
    subject = vm or vmi
    if subject is None:
        raise ValueError("a VM is joined from a VirtualMachine or an instance, and there is neither")
    live = vmi if vmi and not vmi.is_final else None
    answering = live if live and live.is_answering else None
    status = vm_status(vm, live) if vm else instance_status(vmi) if vmi else VmStatus.UNKNOWN
    cpu, memory = _cpu_and_memory(vm, vmi, instancetype)
    disk = _disk(vm, vmi, last_disks)
    provisioning = least_progress(volumes)
    problems = _problems(vm, vmi, (cpu, memory, disk, provisioning))
    parts = _Parts(vm, vmi, live, answering, status, cpu, memory, disk, provisioning, problems)
    return _joined(subject, parts, cluster, datacenter)


def _joined(subject: VmFacts | VmiFacts, parts: _Parts, cluster: ClusterName, datacenter: DatacenterId) -> Vm:
    vm, vmi, live, answering, status, cpu, memory, disk, provisioning, problems = parts
    migration = live.migration if live and live.is_migrating else None
    conditions = _with_conditions(vm, vmi)
    printable = vm.printable_status if vm else None
    return _make_vm(
        id=Uid(subject.uid),
        name=subject.name,
        namespace=subject.namespace or None,
        cluster=cluster,
        datacenter=datacenter,
        kind="VirtualMachine" if vm else "VirtualMachineInstance",
        status=status,
        printable_status=printable,
        phase=(vmi.phase if vmi else None) or printable,
        ready=subject.ready,
        run_strategy=vm.run_strategy if vm else None,
        provisioning_progress=provisioning.value if provisioning and status is VmStatus.PROVISIONING else None,
        cpu=cpu.value,
        memory=_half_up(memory.value, 20),
        disk=_half_up(disk.value, 30),
        memory_bytes=memory.value,
        disk_bytes=disk.value,
        ip=answering.ips[0] if answering and answering.ips else None,
        ips=list(answering.ips) if answering else [],
        node_name=live.node_name if live else None,
        guest_os=_guest_os(vm, live),
        instancetype=(vm.instancetype if vm else None) or (vmi.instancetype if vmi else None),
        machine_type=(live.machine_type if live else None) or subject.machine_type,
        firmware_uuid=(live.firmware_uuid if live else None) or subject.firmware_uuid,
        labels=subject.labels,
        live_migratable=conditions.live_migratable if conditions else None,
        live_migratable_reason=conditions.live_migratable_reason if conditions else None,
        agent_connected=conditions.agent_connected if conditions else None,
        migration_status="migrating" if status in _MIGRATING else None,
        migration_source=migration.source_node if migration else None,
        migration_target=migration.target_node if migration else None,
        last_migrated_at=vmi.migration.succeeded_at if vmi and vmi.migration else None,
        created_at=subject.created_at,
        started_at=live.created_at if live else None,
        problems=problems,
    )


def _cpu_and_memory(
    vm: VmFacts | None, vmi: VmiFacts | None, instancetype: InstancetypeFacts | None
) -> tuple[Figure, Figure]:
    """From the instance while there is one, from the instancetype if the VM names one, else from the template.

    An instance that has ended wins over the instancetype of the same name, which may have been edited since: the VM is
    pinned to a revision, and only a ControllerRevision that we do not read has its sizes.
    """
    if vmi and (vm is None or not vmi.is_final):
        return vmi.cpu, vmi.memory
    if vm is None:
        return unknown("cpu: unknown"), unknown("memory: unknown")
    if vmi and _had_its_instancetype(vm, vmi):
        return vmi.cpu, vmi.memory
    if instancetype and was_edited_since(vm.pinned, instancetype):
        name = shown(vm.instancetype)
        edited = unknown(f"instancetype: {name} was edited after the VM took it; its sizes of then are not known")
        return edited, edited
    if instancetype and vm.instancetype_key == instancetype.key:
        return instancetype.cpu, instancetype.memory
    return vm.cpu, vm.memory


def _had_its_instancetype(vm: VmFacts, vmi: VmiFacts) -> bool:
    return vm.instancetype is not None and vmi.instancetype == vm.instancetype


def _disk(vm: VmFacts | None, vmi: VmiFacts | None, last_disks: Sequence[Disk]) -> Figure:
    """The instance's disks while it runs, else the template's; the sizes come from both."""
    of_template, of_instance = vm.disks if vm else None, vmi.disks if vmi else None
    disks = of_instance if vmi and (vm is None or not vmi.is_final) else of_template
    if disks is None:
        return unknown("disk: the volumes are not known")
    return disk_bytes(disks, of_template or (), of_instance or (), last_disks)


def _problems(vm: VmFacts | None, vmi: VmiFacts | None, figures: tuple[Figure | None, ...]) -> list[str]:
    """Each problem once, in an order that depends only on the facts."""
    problems = [*(vm.problems if vm else ()), *(vmi.problems if vmi and not vmi.is_final else ())]
    problems += [figure.problem for figure in figures if figure and figure.problem]
    if vmi and vmi.phase == "Unknown" and vmi.ips:
        problems.append("ip: the node is lost, so its last addresses are not shown")
    return list(dict.fromkeys(problems))


def _guest_os(vm: VmFacts | None, live: VmiFacts | None) -> str | None:
    """The agent's, else the one that the instance or the template declares."""
    if live and (known := live.guest_os or live.declared_os):
        return known
    return vm.declared_os if vm else None


def _with_conditions(vm: VmFacts | None, vmi: VmiFacts | None) -> VmFacts | VmiFacts | None:
    """Whose conditions hold: the instance's; the VirtualMachine's copies only if the instance cannot be seen at all."""
    if vmi:
        return vmi if vmi.is_answering else None
    return vm


def _half_up(number: int | None, power: int) -> int | None:
    """`number` in units of 2^power, rounded half up."""
    return None if number is None else (number + (1 << (power - 1))) >> power
