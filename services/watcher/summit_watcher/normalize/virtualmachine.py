"""The facts of a VirtualMachine."""

from summit_watcher.kube.manifests.guest import Domain
from summit_watcher.kube.manifests.virtualmachine import InstancetypeMatcher, VirtualMachine, VirtualMachineSpec
from summit_watcher.normalize.disks import Disk, claims_of, template_disks
from summit_watcher.normalize.facts import Facts, conditions_of, head_of, labels_of, shared_text, text, unreadable
from summit_watcher.normalize.guest import declared_os, firmware_uuid, machine_type, template_memory, template_vcpus
from summit_watcher.normalize.instancetype import InstancetypeKey, lookup, pin_of
from summit_watcher.normalize.quantity import Figure, unknown
from summit_watcher.normalize.trouble import OF_VM, trouble_of, why_not

_WAITS_FOR_VOLUMES = frozenset({"Provisioning", "DataVolumeError"})
_TEMPLATE = "spec.template.spec.domain"


class VmFacts(Facts, frozen=True, gc=False, kw_only=True):
    labels: dict[str, str]
    printable_status: str | None = None
    status_unreadable: bool = False
    run_strategy: str | None = None
    failing: bool = False
    """Condition Failure: the controller cannot make the instance."""
    generation: int = 0
    """It rises with each change of the spec, and with no other."""
    last_modified_by: str | None = None
    """Who made that change, where KubeVirt says so: alpha, from 1.10 on (VEP 373)."""
    restart_required: bool = False
    """Its template has changes that hold from the next restart on."""
    ready: bool | None = None
    live_migratable: bool | None = None
    live_migratable_reason: str | None = None
    agent_connected: bool | None = None

    cpu: Figure
    memory: Figure
    """Sizes of the template. With an instancetype: why they are unknown while it is missing."""
    disks: tuple[Disk, ...] | None = None
    waits_for: tuple[str, ...] = ()
    """Claims whose DataVolumes say how far the VM's disks are. Empty but while KubeVirt waits for them: few VMs pay."""
    instancetype: str | None = None
    instancetype_key: InstancetypeKey | None = None
    """The instancetype that `join_vm` needs; None if the VM names none that could exist."""
    pinned: str | None = None
    """`<uid>-<generation>` of the instancetype as this VM uses it."""
    declared_os: str | None = None
    machine_type: str | None = None
    firmware_uuid: str | None = None


def vm_facts(vm: VirtualMachine) -> VmFacts:
    """Read a VirtualMachine.

    Its conditions hold while the instance exists (`status.created`). For a stopped VM only Ready and Failure hold: the
    others are copies of the last instance's and are never removed (virt-controller vm.go syncConditions).
    """
    metadata, status = vm.metadata, vm.status
    spec = vm.spec or VirtualMachineSpec()
    guest = spec.template.spec if spec.template else None
    domain = guest.domain if guest else None
    namespace = shared_text(metadata.namespace) or ""
    strategy, strategy_problem = run_strategy(vm)
    conditions = conditions_of(status.conditions) if status else {}
    trouble = trouble_of(status.conditions, OF_VM) if status else ()
    created = bool(status and status.created)
    # With an instancetype the template has no sizes, and 1 vCPU would be made up.
    matcher = spec.instancetype
    key, missing = lookup(text(matcher.name), matcher.kind, namespace) if matcher else (None, None)
    cpu, memory = (missing, missing) if missing else _sizes(vm, domain, has_template=guest is not None)
    annotations = spec.template.metadata.annotations if spec.template and spec.template.metadata else None
    return VmFacts(
        **head_of(metadata),
        labels=labels_of(metadata),
        generation=metadata.generation or 0,
        last_modified_by=text(metadata.annotations.last_modified_by) if metadata.annotations else None,
        printable_status=shared_text(status.printable_status) if status else None,
        status_unreadable=bool(vm.decode_problems) and unreadable(vm.decode_problems, "status.printableStatus"),
        run_strategy=strategy,
        failing=conditions.get("Failure", False),
        restart_required=conditions.get("RestartRequired", False) and created,
        ready=conditions.get("Ready", (status.ready or None) if status else None),
        live_migratable=conditions.get("LiveMigratable") if created else None,
        live_migratable_reason=why_not(status.conditions, "LiveMigratable") if status and created else None,
        agent_connected=conditions.get("AgentConnected", False) if created else None,
        cpu=cpu,
        memory=memory,
        disks=template_disks(vm),
        waits_for=claims_of(vm) if status and status.printable_status in _WAITS_FOR_VOLUMES else (),
        instancetype=text(matcher.name) if matcher else None,
        instancetype_key=key,
        pinned=_pinned(vm, matcher) if matcher else None,
        declared_os=declared_os(annotations, spec.preference.name if spec.preference else None),
        machine_type=machine_type(domain),
        firmware_uuid=firmware_uuid(domain),
        problems=(*vm.decode_problems, *((strategy_problem,) if strategy_problem else ()), *trouble),
    )


def run_strategy(vm: VirtualMachine) -> tuple[str | None, str | None]:
    """The run strategy, and the problem with it.

    `running` is the deprecated form of Always and Halted; without either the VM is halted. Today's webhook refuses both
    at once, but old objects may have them, and KubeVirt cannot interpret them either.
    """
    spec = vm.spec
    if spec is None or (vm.decode_problems and unreadable(vm.decode_problems, "spec.runStrategy", "spec.running")):
        return None, "runStrategy: unreadable"
    if spec.running is None:
        return text(spec.run_strategy) or "Halted", None
    if spec.run_strategy:
        return "Unknown", "runStrategy: spec.running and spec.runStrategy are both set"
    return ("Always" if spec.running else "Halted"), None


def _sizes(vm: VirtualMachine, domain: Domain | None, *, has_template: bool) -> tuple[Figure, Figure]:
    """The vCPUs and memory of a VirtualMachine without an instancetype."""
    if vm.decode_problems and unreadable(vm.decode_problems, "spec.instancetype"):
        return unknown("cpu: unreadable"), unknown("memory: unreadable")
    if not has_template:
        return unknown("cpu: the VM has no template"), unknown("memory: the VM has no template")
    return (
        unknown("cpu: unreadable") if _is_unreadable(vm, "cpu") else template_vcpus(domain),
        unknown("memory: unreadable") if _is_unreadable(vm, "memory") else template_memory(domain),
    )


def _is_unreadable(vm: VirtualMachine, member: str) -> bool:
    return bool(vm.decode_problems) and unreadable(
        vm.decode_problems, f"{_TEMPLATE}.{member}", f"{_TEMPLATE}.resources"
    )


def _pinned(vm: VirtualMachine, matcher: InstancetypeMatcher) -> str | None:
    """The revision in use: the user's choice, else the controller's if it belongs to the same instancetype."""
    if matcher.revision_name:
        return pin_of(matcher.revision_name)
    ref = vm.status.instancetype_ref if vm.status else None
    if ref is None or ref.name != matcher.name or ref.controller_revision_ref is None:
        return None
    return pin_of(ref.controller_revision_ref.name)
