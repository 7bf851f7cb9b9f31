"""The next step of the migration controller, from objects alone (watch/migration/migration.go)."""

from collections.abc import Callable

from summit_simulator.controllers.decisions import CLEANUP, Step, next_release, phase_of
from summit_simulator.objects.manifest import Manifest, metadata, part
from summit_simulator.objects.virtual_machine_instance import FINAL_PHASES

MIGRATION_PHASE = 3.0  # seconds of each phase before the copy
COPYING = 15.0
PROGRESS_TIMEOUT = 150.0  # a copy without progress is given up (virt-config.go, progressTimeout)
UNSCHEDULABLE_TIMEOUT = 300.0  # a target pod that no node takes

MAX_PARALLEL = 5  # per cluster (virt-config.go, parallelMigrationsPerCluster)
MAX_OUTBOUND = 2  # per source node (parallelOutboundMigrationsPerNode)

# Phases of a local migration in order (MIG:processMigrationPhase).
NEXT_PHASE = {
    "": "Pending",
    "Pending": "Scheduling",
    "Scheduling": "Scheduled",
    "Scheduled": "PreparingTarget",
    "PreparingTarget": "TargetReady",
    "TargetReady": "Running",
    "Running": "Succeeded",
}
# In these a migration counts for the limits, and its target has a pod.
ACTIVE_PHASES = ("Scheduling", "Scheduled", "PreparingTarget", "TargetReady", "Running")
# Between the hand-off to virt-handler and the copy an abort waits.
HANDED_OFF = ("PreparingTarget", "TargetReady")


def next_migration_step(  # noqa: PLR0911 - one return per phase
    migration: Manifest,
    vmi: Manifest | None,
    *,
    may_begin: Callable[[], bool],
    has_target: Callable[[], bool],
    is_stalled: bool,
) -> Step | None:
    """The next step. The callables are asked only where the phase depends on them.

    A migration whose VMI is gone is deleted by its controller (MIG:execute).
    """
    phase, uid = phase_of(migration), str(metadata(migration)["uid"])
    if phase in FINAL_PHASES:
        is_deleted = metadata(migration).get("deletionTimestamp")
        return next_release("release migration", migration) if is_deleted else None
    if vmi is None or phase_of(vmi) in FINAL_PHASES:
        return Step("fail migration", uid=uid)
    if metadata(migration).get("deletionTimestamp") and phase not in HANDED_OFF:
        return _next_abort(phase, vmi, uid)
    match phase:
        case "":
            return Step("advance migration", uid=uid)
        case "Synchronizing" | "WaitingForSync":
            return None  # there is no other cluster that would answer
        case "Pending" if not may_begin():
            return None
        case "Scheduling" if not has_target():
            return Step("fail migration", UNSCHEDULABLE_TIMEOUT, uid)
        case "Running" if is_stalled:
            return Step("give up migration", PROGRESS_TIMEOUT, uid)
        case "Running":
            return Step("advance migration", COPYING, f"{uid}/{phase}")
        case _:
            return Step("advance migration", MIGRATION_PHASE, f"{uid}/{phase}")


def phase_after(migration: Manifest) -> str:
    """The next phase. One end of a migration between clusters waits for the other end first."""
    phase, spec = phase_of(migration), part(migration, "spec")
    if not phase and ("sendTo" in spec) != ("receive" in spec):
        return "Synchronizing" if "sendTo" in spec else "WaitingForSync"
    return NEXT_PHASE[phase]


def _next_abort(phase: str, vmi: Manifest, uid: str) -> Step:
    """Before the hand-off it just fails; a copy is asked to stop, and may end before it does."""
    state = part(vmi, "status", "migrationState")
    if phase != "Running" or state.get("migrationUid") != uid:
        return Step("fail migration", CLEANUP, uid)
    match state.get("abortStatus"):
        case None:
            return Step("request abort", uid=uid)
        case "Failed":
            return Step("advance migration", CLEANUP, f"{uid}/aborted")
        case _:
            return Step("abort migration", CLEANUP, uid)
