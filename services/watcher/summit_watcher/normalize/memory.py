"""How much memory the guest has, in bytes.

Sources: pkg/defaults/defaults.go setGuestMemory; pkg/virt-handler/vm.go updateMemoryInfo.
"""

from summit_watcher.kube.manifests import Domain, Quantity, VirtualMachineInstance
from summit_watcher.normalize.facts import unreadable
from summit_watcher.normalize.figure import Figure, is_zero, measured, unknown

NOT_SPECIFIED = "memory: not specified"


def template_memory(domain: Domain | None) -> Figure:
    """Guest memory of a domain as its author wrote it.

    `memory.guest`, else the request, else the limit, else one huge page. Never the request when `guest` is set:
    overcommit makes it smaller than the guest. `maxGuest` is room for hotplug, never counted.
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
    """Guest memory of an instance: what the guest has now (0 while it boots), else what it was given."""
    if vmi.decode_problems and unreadable(
        vmi.decode_problems, "status.memory", "spec.domain.memory", "spec.domain.resources"
    ):
        return unknown("memory: unreadable")
    current = vmi.status.memory.guest_current if vmi.status and vmi.status.memory else None
    if current is not None and not is_zero(current):
        return measured("memory", current)
    return template_memory(vmi.spec.domain if vmi.spec else None)
