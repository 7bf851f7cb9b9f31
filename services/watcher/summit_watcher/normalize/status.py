"""The coarse status: a closed set to filter and count on, from KubeVirt's own status.

KubeVirt's order (pkg/virt-controller/watch/vm/vm.go setPrintableStatus) is first match wins; its result is
`status.printableStatus`, which is kept beside ours as it was read.
"""

from summit_models.vm import VmStatus
from summit_watcher.normalize.instance import VmiFacts
from summit_watcher.normalize.virtualmachine import VmFacts

_PRINTABLE = {
    "running": VmStatus.RUNNING,
    "stopped": VmStatus.STOPPED,
    "starting": VmStatus.STARTING,
    "stopping": VmStatus.STOPPING,
    "paused": VmStatus.PAUSED,
    "migrating": VmStatus.MIGRATING,
    "waitingforreceiver": VmStatus.WAITING_FOR_RECEIVER,
    "provisioning": VmStatus.PROVISIONING,
    "waitingforvolumebinding": VmStatus.WAITING_FOR_VOLUME_BINDING,
    "terminating": VmStatus.TERMINATING,
    "errorpvcnotfound": VmStatus.ERROR,
    "datavolumeerror": VmStatus.ERROR,
    "errorunschedulable": VmStatus.ERROR,
    "errimagepull": VmStatus.ERROR,
    "imagepullbackoff": VmStatus.ERROR,
    "crashloopbackoff": VmStatus.ERROR,
    "unknown": VmStatus.UNKNOWN,
}

_PHASES = {
    None: VmStatus.STARTING,
    "Pending": VmStatus.STARTING,
    "Scheduling": VmStatus.STARTING,
    "Scheduled": VmStatus.STARTING,
    "Running": VmStatus.RUNNING,
    "WaitingForSync": VmStatus.WAITING_FOR_RECEIVER,
    "Succeeded": VmStatus.STOPPED,
    "Failed": VmStatus.ERROR,
}

_SHOULD_RUN = frozenset({"Always", "RerunOnFailure", "Once"})
_MAY_STOP = frozenset({"Halted", "Manual", "WaitAsReceiver"})


def vm_status(vm: VmFacts, live: VmiFacts | None) -> VmStatus:
    """Status of a VirtualMachine; `live` is its instance, unless that has ended.

    A VM whose instance cannot be created (quota, missing instancetype, webhook) has status Stopped and condition
    Failure. If it should run, that is an error.
    """
    if vm.deleting:
        return VmStatus.TERMINATING
    if vm.status_unreadable:
        return VmStatus.UNKNOWN
    if vm.printable_status is None:
        status = instance_status(live) if live else _not_seen_yet(vm)
    else:
        status = _PRINTABLE.get(vm.printable_status.lower(), VmStatus.UNKNOWN)
    if status is VmStatus.STOPPED and vm.failing and vm.run_strategy in _SHOULD_RUN:
        return VmStatus.ERROR
    return status


def _not_seen_yet(vm: VmFacts) -> VmStatus:
    """Status of a VM that its controller has not seen yet: the one it will set when it finds no instance.

    It will start a VM that should run, and set any other to stopped (rows 13 and 15 of setPrintableStatus). With an
    unknown strategy, or two at once, its status cannot be predicted.
    """
    if vm.run_strategy in _SHOULD_RUN:
        return VmStatus.ERROR if vm.failing else VmStatus.STARTING
    return VmStatus.STOPPED if vm.run_strategy in _MAY_STOP else VmStatus.UNKNOWN


def instance_status(vmi: VmiFacts) -> VmStatus:
    """Status of an instance without a VirtualMachine, or of a VM before its controller has set one."""
    if vmi.deleting and not vmi.is_final:
        return VmStatus.STOPPING
    status = _PHASES.get(vmi.phase, VmStatus.UNKNOWN)
    if status is not VmStatus.RUNNING:
        return status
    if vmi.is_migrating:
        return VmStatus.MIGRATING
    return VmStatus.PAUSED if vmi.paused else VmStatus.RUNNING
