"""The guest: its vCPUs, its memory in bytes, its operating system, and the machine that it sees.

Sources: pkg/util/hardware/hw_utils.go GetNumberOfVCPUs; pkg/defaults/defaults.go SetDefaultGuestCPUTopology and
setGuestMemory; pkg/virt-handler/vm.go updateMemoryInfo.
"""

from functools import lru_cache

from summit_watcher.kube.manifests.guest import CpuTopology, Domain, Quantity
from summit_watcher.kube.manifests.instance import GuestOSInfo, InstanceStatus, VirtualMachineInstance
from summit_watcher.kube.manifests.metadata import Annotations
from summit_watcher.normalize.facts import text, unreadable
from summit_watcher.normalize.quantity import Figure, is_zero, known, measured, shown, unknown

MAX_FACTOR = 2**32 - 1
"""sockets, cores and threads are uint32."""

MAX_VCPUS = 2**31 - 1
"""More is an overflow of KubeVirt's own uint32 product; 512 is its limit for hotplug."""

NOT_SPECIFIED = "memory: not specified"

# vCPUs


def template_vcpus(domain: Domain | None) -> Figure:
    """The vCPUs of a domain as its author wrote it.

    sockets x cores x threads if one of them is set (a zero factor is 1); resources do not matter then. Else the limit,
    else the request, in whole cores rounded up, and at least 1. `maxSockets` is room for hotplug and never counts.
    """
    if domain is None:  # to KubeVirt the same as an empty one
        return known(1)
    topology = domain.cpu
    if topology is not None and (vcpus := _product(topology)) is not None:
        return vcpus
    resources = domain.resources
    for source in (resources.limits, resources.requests) if resources else ():
        if source is not None and source.cpu is not None:
            cores = measured("cpu", source.cpu)
            return known(1) if cores.value == 0 else _bounded(cores)
    return known(1)


def instance_vcpus(vmi: VirtualMachineInstance) -> Figure:
    """The vCPUs of an instance: what the guest has now, else what it was given.

    During a hotplug the specification already has the new number, and the guest still the old one.
    """
    if vmi.decode_problems and unreadable(
        vmi.decode_problems, "status.currentCPUTopology", "spec.domain.cpu", "spec.domain.resources"
    ):
        return unknown("cpu: unreadable")
    current = vmi.status.current_cpu_topology if vmi.status else None
    if current is not None and (vcpus := _product(current)) is not None:
        return vcpus
    if vmi.spec is None:
        return unknown("cpu: the instance has no spec")
    return template_vcpus(vmi.spec.domain)


def _product(topology: CpuTopology) -> Figure | None:
    """None if no factor is set."""
    return _vcpus(topology.sockets or 0, topology.cores or 0, topology.threads or 0)


@lru_cache(maxsize=1024)
def _vcpus(sockets: int, cores: int, threads: int) -> Figure | None:
    for name, factor in (("sockets", sockets), ("cores", cores), ("threads", threads)):
        if not 0 <= factor <= MAX_FACTOR:
            return unknown(f"cpu: {name} {shown(factor)} is invalid")
    if sockets == cores == threads == 0:
        return None
    return _bounded(known((sockets or 1) * (cores or 1) * (threads or 1)))


def _bounded(vcpus: Figure) -> Figure:
    if vcpus.value is not None and vcpus.value > MAX_VCPUS:
        return unknown(f"cpu: {vcpus.value} vCPUs are out of range")
    return vcpus


# Memory


def template_memory(domain: Domain | None) -> Figure:
    """The guest memory of a domain as its author wrote it.

    `memory.guest`, else the request, else the limit, else one huge page. Never the request when `guest` is set:
    overcommit makes it smaller than the guest. `maxGuest` is room for hotplug and never counts.
    """
    written = _written(domain) if domain else None
    return unknown(NOT_SPECIFIED) if written is None else measured("memory", written)


def _written(domain: Domain) -> Quantity:
    if domain.memory and domain.memory.guest is not None:
        return domain.memory.guest
    resources = domain.resources
    for source in (resources.requests, resources.limits) if resources else ():
        if source and not is_zero(source.memory):
            return source.memory
    return domain.memory.hugepages.page_size if domain.memory and domain.memory.hugepages else None


def instance_memory(vmi: VirtualMachineInstance) -> Figure:
    """The guest memory of an instance: what the guest has now (0 while it boots), else what it was given."""
    if vmi.decode_problems and unreadable(
        vmi.decode_problems, "status.memory", "spec.domain.memory", "spec.domain.resources"
    ):
        return unknown("memory: unreadable")
    current = vmi.status.memory.guest_current if vmi.status and vmi.status.memory else None
    if current is not None and not is_zero(current):
        return measured("memory", current)
    return template_memory(vmi.spec.domain if vmi.spec else None)


# Operating system and machine


def guest_os(info: GuestOSInfo | None) -> str | None:
    """The operating system as the guest agent reports it; `guestOSInfo` is `{}` when there is no agent.

    KubeVirt refreshes it when `name` changes, so an upgrade within one distribution shows after the next start.
    """
    if info is None:
        return None
    return text(info.pretty_name) or text(" ".join(word for word in (info.name, info.version) if word))


def declared_os(annotations: Annotations | None, preference: str | None) -> str | None:
    """The operating system by the template, for a guest without agent.

    The annotation of the common templates, else the name of the preference.
    """
    annotated = annotations.os if annotations else None
    return text(annotated) or text(preference)


def machine_type(domain: Domain | None, status: InstanceStatus | None = None) -> str | None:
    for machine in (status.machine if status else None, domain.machine if domain else None):
        if machine is not None and machine.type:
            return text(machine.type)
    return None


def firmware_uuid(domain: Domain | None) -> str | None:
    return text(domain.firmware.uuid) if domain and domain.firmware else None
