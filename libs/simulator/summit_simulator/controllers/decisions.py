"""The next steps of the controllers: pure functions of the objects, without clock or store.

A decision names one step and how long KubeVirt takes until it happens. The controllers ask again after every
write, so that whatever a user does meanwhile (patch, delete, stop) is taken into account.
"""

from typing import Literal, NamedTuple

from summit_simulator.objects.guests import guest_of
from summit_simulator.objects.manifest import Manifest, conditions, metadata, owners, part
from summit_simulator.objects.virtual_machine import run_strategy
from summit_simulator.objects.virtual_machine_instance import FINAL_PHASES

Action = Literal[
    "import volumes",
    "create instance",
    "schedule",
    "place",
    "boot",
    "connect agent",
    "delete instance",
    "finish instance",
    "remove instance",
    "release machine",
    "advance migration",
    "abort migration",
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
MIGRATION_PHASE = 3.0  # each phase before the copy
COPYING = 15.0

MAX_PARALLEL_MIGRATIONS = 5  # pkg/virt-config/virt-config.go, parallelMigrationsPerCluster

# CDI writes a progress every second or so; an import of PROVISIONING seconds has this many.
IMPORT_STEPS = 20

# Shown by a VM whose DataVolumes keep it from starting: nothing happens until somebody changes it.
HELD_STATUSES = ("DataVolumeError", "WaitingForVolumeBinding")
# Finalizers of KubeVirt's own controllers; those of others keep an object as long as they like.
OWN_FINALIZERS = frozenset(
    {
        "kubevirt.io/virtualMachineControllerFinalize",
        "kubevirt.io/foregroundDeleteVirtualMachine",
        "kubevirt.io/migrationJobFinalize",
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
        return _next_removal(vmi) if vmi else _next_release("release machine", vm)
    if vmi is None:
        return _next_start(vm)
    if metadata(vmi).get("deletionTimestamp"):
        return _next_removal(vmi)
    if run_strategy(vm) == "Halted" or _requested(vm) == "Stop":
        return Step("delete instance", uid=_uid(vmi))
    if phase_of(vmi) in FINAL_PHASES:
        return Step("delete instance", CLEANUP, _uid(vmi)) if _restarts(vm, vmi) else None
    return _next_boot(vmi)


def wants_instance(vm: Manifest) -> bool:
    """Should there be a VMI?"""
    strategy, status = run_strategy(vm), vm.get("status") or {}
    match strategy:
        case "Always":
            return True
        case "RerunOnFailure":
            return _requested(vm) == "Start" or "runStrategy" not in status or "startFailure" in status
        case "Once":
            return "runStrategy" not in status
        case "Manual":
            return _requested(vm) == "Start"
        case _:
            return False


def is_stuck(vmi: Manifest) -> bool:
    """A VMI that cannot start: unschedulable, a missing claim, an image that cannot be pulled."""
    found = conditions(vmi)
    return any(found.get(kind, {}).get("status") == "False" for kind in ("PodScheduled", "Synchronized"))


def phase_of(manifest: Manifest) -> str:
    """status.phase, "" before there is one."""
    return str((manifest.get("status") or {}).get("phase") or "")


def next_migration_step(  # noqa: PLR0911 - rules in order, the first that holds
    migration: Manifest, vmi: Manifest | None, *, active_migrations: int
) -> Step | None:
    """The next step of the migration controller. A migration whose VMI is gone is deleted (MIG:execute)."""
    phase, uid = phase_of(migration), _uid(migration)
    if metadata(migration).get("deletionTimestamp"):
        if phase in FINAL_PHASES:
            return _next_release("release migration", migration)
        return Step("abort migration", CLEANUP, uid)
    if phase in FINAL_PHASES:
        return None
    if vmi is None or phase_of(vmi) in FINAL_PHASES:
        return Step("abort migration", uid=uid)
    if phase == "":
        return Step("advance migration", uid=uid)
    if phase == "Pending" and active_migrations >= MAX_PARALLEL_MIGRATIONS:
        return None
    return Step("advance migration", COPYING if phase == "Running" else MIGRATION_PHASE, f"{uid}/{phase}")


# Phases of a local migration in order (MIG:processMigrationPhase).
NEXT_MIGRATION_PHASE = {
    "": "Pending",
    "Pending": "Scheduling",
    "Scheduling": "Scheduled",
    "Scheduled": "PreparingTarget",
    "PreparingTarget": "TargetReady",
    "TargetReady": "Running",
    "Running": "Succeeded",
}


def _uid(manifest: Manifest) -> str:
    return str(metadata(manifest)["uid"])


def _requested(vm: Manifest) -> str | None:
    requests = (vm.get("status") or {}).get("stateChangeRequests") or ()
    return str(requests[0]["action"]) if requests else None


def _restarts(vm: Manifest, vmi: Manifest) -> bool:
    strategy = run_strategy(vm)
    return strategy == "Always" or (strategy == "RerunOnFailure" and phase_of(vmi) == "Failed")


def _next_for_instance_alone(vmi: Manifest) -> Step | None:
    if metadata(vmi).get("deletionTimestamp"):
        return _next_removal(vmi)
    if any(owner["kind"] == "VirtualMachine" for owner in owners(vmi)):
        return Step("delete instance", uid=_uid(vmi))  # garbage collection: its VM is gone
    return None if phase_of(vmi) in FINAL_PHASES else _next_boot(vmi)


def _next_release(action: Action, manifest: Manifest, after_seconds: float = 0.0) -> Step | None:
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
        return _next_release("remove instance", vmi, CLEANUP)
    return Step("finish instance", SHUTDOWN, _uid(vmi))


def _next_start(vm: Manifest) -> Step | None:
    status, uid = vm.get("status") or {}, _uid(vm)
    if not wants_instance(vm) or status.get("printableStatus") in HELD_STATUSES:
        return None
    if conditions(vm).get("Failure", {}).get("status") == "True":
        return None  # until the VM is edited
    if not part(vm, "spec", "template", "spec"):
        return None  # nothing to run; older than its webhook
    if part(vm, "spec").get("dataVolumeTemplates") and "volumeSnapshotStatuses" not in status:
        return Step("import volumes", PROVISIONING / IMPORT_STEPS, uid)
    if run_strategy(vm) in _RESTARTING and "startFailure" in status:
        return Step("create instance", RESTART_BACKOFF, uid)
    return Step("create instance", uid=uid)


def _next_boot(vmi: Manifest) -> Step | None:
    uid = _uid(vmi)
    if is_stuck(vmi):
        return None
    match phase_of(vmi):
        case "" | "Pending":
            return Step("schedule", SCHEDULING, uid)
        case "Scheduling":
            return Step("place", PLACING, uid)
        case "Scheduled":
            return Step("boot", BOOTING, uid)
        case "Running" if "AgentConnected" not in conditions(vmi) and guest_of(vmi).has_agent:
            return Step("connect agent", AGENT, uid)
        case _:
            return None
