"""What is known beforehand: why an action on a VM, as it is, would be refused or would have no effect. Pure.

The rules are those of KubeVirt's virt-api (`pkg/virt-api/rest/lifecycle.go`) as far as the normalized VM shows what
they depend on. What it does not show is left to the cluster, whose refusal is the outcome of the operation then.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from pydantic import JsonValue

from summit_api.operations.errors import Reason
from summit_models.operation import Action
from summit_models.vm import Vm, VmStatus


class Refusal(NamedTuple):
    reason: Reason
    """For machines."""
    detail: str
    """For people: why, and what to do."""


Parameters = Mapping[str, JsonValue]
_S = VmStatus

_RUNS = frozenset({_S.RUNNING, _S.PAUSED, _S.MIGRATING})
_NO_INSTANCE = frozenset({_S.STOPPED, _S.PROVISIONING, _S.WAITING_FOR_VOLUME_BINDING})
_OF_A_VIRTUAL_MACHINE = frozenset({Action.START, Action.STOP, Action.RESTART, Action.RESIZE, Action.DELETE})
_OF_AN_INSTANCE = frozenset({Action.PAUSE, Action.UNPAUSE, Action.SOFTREBOOT, Action.RESET, Action.MIGRATE})
_RECEIVER = "WaitAsReceiver"
_STARTS_ITSELF = frozenset({"Always", "Once"})
_STOPS_BY_ITSELF = frozenset({"Halted", "Manual", "RerunOnFailure"})


def refusal(action: Action, vm: Vm, parameters: Parameters) -> Refusal | None:
    """Why the action on this VM is refused; None if nothing is known against it."""
    return _of_any(action, vm) or _RULES.get(action, _nothing)(vm, parameters)


def _of_any(action: Action, vm: Vm) -> Refusal | None:
    if not vm.managed:
        return Refusal(
            "unmanaged", f"VM {vm.name} was added by hand: no cluster runs it, so there is nothing to act on"
        )
    if vm.kind != "VirtualMachine" and action in _OF_A_VIRTUAL_MACHINE:
        return Refusal(
            "noVirtualMachine", f"{vm.name} is an instance that no VirtualMachine owns: it cannot be {_DONE[action]}"
        )
    if vm.status is _S.TERMINATING:
        return Refusal("terminating", f"VM {vm.name} is being deleted")
    if vm.run_strategy == _RECEIVER and action is not Action.DELETE:
        return Refusal(
            "waitsAsReceiver", f"VM {vm.name} waits for a migration from another cluster, so a {action} has no effect"
        )
    if action in _OF_AN_INSTANCE and vm.status not in {*_RUNS, _S.UNKNOWN, _S.ERROR}:
        return Refusal("notRunning", f"VM {vm.name} does not run: it is {vm.status}")
    return None


_DONE: Mapping[Action, str] = {
    Action.START: "started",
    Action.STOP: "stopped",
    Action.RESTART: "restarted",
    Action.RESIZE: "resized",
    Action.DELETE: "deleted here",
}


def _nothing(_: Vm, __: Parameters) -> Refusal | None:
    return None


def _start(vm: Vm, _: Parameters) -> Refusal | None:
    if vm.status in _RUNS:
        return Refusal("alreadyRunning", f"VM {vm.name} runs already: it is {vm.status}")
    if vm.status is _S.STARTING:
        return Refusal("alreadyStarting", f"VM {vm.name} is starting already")
    if vm.status is _S.STOPPING:
        return Refusal("stopping", f"VM {vm.name} is still stopping: start it when it has stopped")
    if vm.run_strategy in _STARTS_ITSELF:
        return Refusal(
            "runStrategy",
            f"VM {vm.name} has the run strategy {vm.run_strategy}, with which only KubeVirt starts it",
        )
    return None


def names_grace_period(parameters: Parameters) -> bool:
    """Whether a stop has a grace period of its own: KubeVirt takes such a one also while the VM is stopping."""
    return bool(parameters.get("force")) or "gracePeriodSeconds" in parameters


def _stop(vm: Vm, parameters: Parameters) -> Refusal | None:
    if vm.status is _S.STOPPED:
        return Refusal("notRunning", f"VM {vm.name} does not run: it is stopped already")
    if vm.status is _S.STOPPING and not names_grace_period(parameters):
        return Refusal(
            "alreadyStopping", f"VM {vm.name} is stopping already; only a shorter gracePeriodSeconds, or force, helps"
        )
    if vm.status in _NO_INSTANCE and vm.run_strategy in _STOPS_BY_ITSELF:
        return Refusal("notRunning", f"VM {vm.name} does not run: it is {vm.status}")
    return None


def _restart(vm: Vm, _: Parameters) -> Refusal | None:
    if vm.status in _NO_INSTANCE:
        return Refusal("notRunning", f"VM {vm.name} does not run: it is {vm.status}; start it")
    if vm.status is _S.STOPPING:
        return Refusal("stopping", f"VM {vm.name} is stopping: start it when it has stopped")
    if vm.run_strategy in ("Halted", "Once"):
        return Refusal(
            "runStrategy",
            f"VM {vm.name} has the run strategy {vm.run_strategy}, with which KubeVirt does not restart it",
        )
    return None


def _pause(vm: Vm, _: Parameters) -> Refusal | None:
    return Refusal("alreadyPaused", f"VM {vm.name} is paused already") if vm.status is _S.PAUSED else None


def _unpause(vm: Vm, _: Parameters) -> Refusal | None:
    if vm.status is _S.RUNNING:
        return Refusal("notPaused", f"VM {vm.name} is not paused: it runs")
    return None


def _reboot(vm: Vm, _: Parameters) -> Refusal | None:
    if vm.status is _S.PAUSED:
        return Refusal("paused", f"VM {vm.name} is paused: unpause it first")
    return None


def _migrate(vm: Vm, _: Parameters) -> Refusal | None:
    if _is_migrating(vm):
        return Refusal("migrationActive", f"VM {vm.name} is being migrated already")
    if vm.live_migratable is False:
        why = vm.live_migratable_reason or "KubeVirt's condition LiveMigratable is False"
        return Refusal("notLiveMigratable", f"VM {vm.name} cannot be migrated live: {why}")
    return None


def _resize(vm: Vm, parameters: Parameters) -> Refusal | None:
    if vm.instancetype:
        return Refusal(
            "instancetype",
            f"the size of VM {vm.name} is that of its instancetype {vm.instancetype}: choose another one",
        )
    if _is_migrating(vm):
        return Refusal("migrationActive", f"VM {vm.name} is being migrated: resize it when that has ended")
    wanted = {name: value for name, value in parameters.items() if name in ("cpu", "memory")}
    if wanted and all(getattr(vm, name) == value for name, value in wanted.items()):
        return Refusal("sameSize", f"VM {vm.name} has this size already")
    return None


def _is_migrating(vm: Vm) -> bool:
    return vm.status is _S.MIGRATING or vm.migration_status is not None


_RULES: Mapping[Action, Callable[[Vm, Parameters], Refusal | None]] = {
    Action.START: _start,
    Action.STOP: _stop,
    Action.RESTART: _restart,
    Action.PAUSE: _pause,
    Action.UNPAUSE: _unpause,
    Action.SOFTREBOOT: _reboot,
    Action.RESET: _reboot,
    Action.MIGRATE: _migrate,
    Action.RESIZE: _resize,
}
