"""The next steps of the controllers: pure functions of the objects, without clock or store.

A decision names one step and how long KubeVirt takes until it happens. The controllers ask again after every
write, so that whatever a user does meanwhile (patch, delete, stop) is taken into account.
"""

from typing import Literal, NamedTuple

from summit_simulator.objects.guests import guest_of
from summit_simulator.objects.manifest import Manifest, conditions, metadata, owners, part
from summit_simulator.objects.virtual_machine import run_strategy
from summit_simulator.objects.virtual_machine_instance import FINAL_PHASES, NOT_READY

Action = Literal[
    "import volumes",
    "run always",
    "create instance",
    "wait for sync",
    "schedule",
    "place",
    "boot",
    "become ready",
    "connect agent",
    "delete instance",
    "finish instance",
    "remove instance",
    "release machine",
    "orphan instance",
    "advance migration",
    "request abort",
    "abort migration",
    "give up migration",
    "fail migration",
    "release migration",
]


class Step(NamedTuple):
    """One thing to do, `after_seconds` from when it was decided."""

    action: Action
    after_seconds: float = 0.0
    uid: str = ""  # of the object it is about: a step for a deleted object is dropped


# How long things take, in simulated seconds. A start sums up to KubeVirt's measured P50 of ~16 s.
PROVISIONING = 20.0
SCHEDULING = 1.0
PLACING = 12.0
BOOTING = 3.0
AGENT = 15.0
SHUTDOWN = 4.0
CLEANUP = 1.0
RESTART_BACKOFF = 10.0  # startFailure.retryAfterTimestamp of a first failure

# CDI writes a progress every second or so; an import of PROVISIONING seconds has this many.
IMPORT_STEPS = 20

# Shown by a VM whose DataVolumes keep it from starting: nothing happens until somebody changes it.
HELD_STATUSES = ("DataVolumeError", "WaitingForVolumeBinding")
# Finalizers of KubeVirt's controllers and of the garbage collector; others keep an object as long as they like.
OWN_FINALIZERS = frozenset(
    {
        "kubevirt.io/virtualMachineControllerFinalize",
        "kubevirt.io/foregroundDeleteVirtualMachine",
        "kubevirt.io/migrationJobFinalize",
        "foregroundDeletion",
        "orphan",
    }
)
_RESTARTING = ("Always", "RerunOnFailure")


def next_machine_step(  # noqa: PLR0911 - rules in order, the first that holds
    vm: Manifest | None, vmi: Manifest | None
) -> Step | None:
    """The next step of virt-controller and virt-handler for a VM and its VMI."""
    if vm is None:
        return _next_for_instance_alone(vmi) if vmi else None
    if metadata(vm).get("deletionTimestamp"):
        return _next_end(vm, vmi)
    if vmi is None:
        return _next_start(vm)
    if metadata(vmi).get("deletionTimestamp"):
        return _next_removal(vmi)
    if run_strategy(vm) == "Halted" or requested(vm) == "Stop":
        return Step("delete instance", uid=_uid(vmi))
    if phase_of(vmi) in FINAL_PHASES:
        return Step("delete instance", CLEANUP, _uid(vmi)) if run_strategy(vm) in _RESTARTING else None
    return _next_boot(vmi, is_receiver=run_strategy(vm) == "WaitAsReceiver")


def wants_instance(vm: Manifest) -> bool:
    """Should there be a VMI?"""
    strategy, status = run_strategy(vm), vm.get("status") or {}
    match strategy:
        case "Always" | "WaitAsReceiver":
            return True
        case "RerunOnFailure":
            return requested(vm) == "Start" or "runStrategy" not in status or "startFailure" in status
        case "Once":
            return "runStrategy" not in status
        case "Manual" | "Halted":  # Halted: a start in state paused
            return requested(vm) == "Start"
        case _:
            return False


def is_stuck(vmi: Manifest) -> bool:
    """A VMI that cannot start: unschedulable, a missing claim, an image that cannot be pulled."""
    found = conditions(vmi)
    return any(found.get(kind, {}).get("status") == "False" for kind in ("PodScheduled", "Synchronized"))


def seconds_until_ready(vmi: Manifest) -> float | None:
    """When the readiness probe of a running guest will succeed; None if it has, or never will.

    A probe that executes `false` never succeeds.
    """
    probe = part(vmi, "spec").get("readinessProbe")
    is_waiting = conditions(vmi).get("Ready", {}).get("reason") == NOT_READY
    if not probe or not is_waiting or part(probe, "exec").get("command") == ["false"]:
        return None
    return float(probe.get("initialDelaySeconds", 1))


def phase_of(manifest: Manifest) -> str:
    """status.phase, "" before there is one."""
    return str((manifest.get("status") or {}).get("phase") or "")


def _uid(manifest: Manifest) -> str:
    return str(metadata(manifest)["uid"])


def requested(vm: Manifest) -> str | None:
    """The action that somebody asks for in status.stateChangeRequests; what is done is removed from there."""
    requests = (vm.get("status") or {}).get("stateChangeRequests") or ()
    return str(requests[0]["action"]) if requests else None


def shutdown_of(vmi: Manifest) -> tuple[float, bool]:
    """How long a guest takes to shut down, and whether it is killed because its grace period ends first.

    A guest without ACPI does not notice that it should shut down.
    """
    grace = float(part(vmi, "spec").get("terminationGracePeriodSeconds", 30))
    ignores = part(vmi, "spec", "domain", "features", "acpi").get("enabled") is False
    return (grace, True) if ignores or grace < SHUTDOWN else (SHUTDOWN, False)


def _next_for_instance_alone(vmi: Manifest) -> Step | None:
    if metadata(vmi).get("deletionTimestamp"):
        return _next_removal(vmi)
    if any(owner["kind"] == "VirtualMachine" for owner in owners(vmi)):
        return Step("delete instance", uid=_uid(vmi))  # garbage collection: its VM is gone
    return None if phase_of(vmi) in FINAL_PHASES else _next_boot(vmi, is_receiver=False)


def _next_end(vm: Manifest, vmi: Manifest | None) -> Step | None:
    if vmi is None:
        return next_release("release machine", vm)
    if "orphan" in (metadata(vm).get("finalizers") or ()):
        return Step("orphan instance", uid=_uid(vm))
    return _next_removal(vmi)


def next_release(action: Action, manifest: Manifest, after_seconds: float = 0.0) -> Step | None:
    """Remove the finalizers of our own, if there are any."""
    is_ours = OWN_FINALIZERS.intersection(metadata(manifest).get("finalizers") or ())
    return Step(action, after_seconds, _uid(manifest)) if is_ours else None


def without_own_finalizers(manifest: Manifest) -> Manifest:
    """The manifest, free to go as far as KubeVirt is concerned."""
    meta = metadata(manifest)
    kept = [finalizer for finalizer in meta.get("finalizers") or () if finalizer not in OWN_FINALIZERS]
    return manifest | {"metadata": meta | {"finalizers": kept}}


def _next_removal(vmi: Manifest) -> Step | None:
    if not metadata(vmi).get("deletionTimestamp"):
        return Step("delete instance", uid=_uid(vmi))
    if phase_of(vmi) in FINAL_PHASES:
        return next_release("remove instance", vmi, CLEANUP)
    return Step("finish instance", shutdown_of(vmi)[0], _uid(vmi))


def _next_start(  # noqa: PLR0911 - rules in order, the first that holds
    vm: Manifest,
) -> Step | None:
    status, uid = vm.get("status") or {}, _uid(vm)
    if not wants_instance(vm) or status.get("printableStatus") in HELD_STATUSES:
        return None
    if conditions(vm).get("Failure", {}).get("status") == "True":
        return None  # until the VM is edited
    if not part(vm, "spec", "template", "spec"):
        return None  # nothing to run; older than its webhook
    if part(vm, "spec").get("dataVolumeTemplates") and "volumeSnapshotStatuses" not in status:
        return Step("import volumes", PROVISIONING / IMPORT_STEPS, uid)
    if run_strategy(vm) == "Halted":
        return Step("run always", uid=uid)
    if run_strategy(vm) in _RESTARTING and "startFailure" in status:
        return Step("create instance", RESTART_BACKOFF, uid)
    return Step("create instance", uid=uid)


def _next_boot(  # noqa: PLR0911 - one return per phase
    vmi: Manifest, *, is_receiver: bool
) -> Step | None:
    uid = _uid(vmi)
    if is_stuck(vmi):
        return None
    match phase_of(vmi):
        case "" | "Pending" if is_receiver:
            return Step("wait for sync", uid=uid)
        case "" | "Pending":
            return Step("schedule", SCHEDULING, uid)
        case "Scheduling":
            return Step("place", PLACING, uid)
        case "Scheduled":
            return Step("boot", BOOTING, uid)
        case "Running" if (delay := seconds_until_ready(vmi)) is not None:
            return Step("become ready", delay, uid)
        case "Running" if "AgentConnected" not in conditions(vmi) and guest_of(vmi).has_agent:
            return Step("connect agent", AGENT, uid)
        case _:
            return None
