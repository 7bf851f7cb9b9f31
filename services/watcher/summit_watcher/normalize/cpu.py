"""How many vCPUs the guest has.

Sources: pkg/util/hardware/hw_utils.go GetNumberOfVCPUs; pkg/defaults/defaults.go SetDefaultGuestCPUTopology.
"""

from functools import lru_cache

from summit_watcher.kube.manifests import CpuTopology, Domain, VirtualMachineInstance
from summit_watcher.normalize.facts import unreadable
from summit_watcher.normalize.figure import Figure, known, measured, shown, unknown

MAX_FACTOR = 2**32 - 1
"""sockets, cores and threads are uint32."""

MAX_VCPUS = 2**31 - 1
"""More is an overflow of KubeVirt's own uint32 product; 512 is its limit for hotplug."""


def template_vcpus(domain: Domain | None) -> Figure:
    """VCPUs of a domain as its author wrote it.

    sockets x cores x threads if one of them is set (a zero factor is 1), and resources do not matter then. Else the
    limit, else the request, in whole cores rounded up, and at least 1. `maxSockets` is room for hotplug, never counted.
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
    """VCPUs of an instance: what the guest has now, else what it was given.

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
