"""How an operation has ended, by what the cluster shows. Pure.

Kubernetes answers 202 to most requests, which means "accepted": that it is done shows in the objects that the watches
bring. So an outcome is only what was observed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from summit_models.operation import Action, Operation, OperationState
from summit_watcher.normalize.instance import MigrationStateFacts, VmiFacts
from summit_watcher.normalize.migration import MigrationFacts
from summit_watcher.normalize.trouble import PREFIX
from summit_watcher.normalize.virtualmachine import VmFacts

_MIB = 1 << 20
_SHOWN_BY_INSTANCES = frozenset(Action) - {Action.SOFTREBOOT, Action.RESET, Action.DELETE}
BY_INSTANCE = _SHOWN_BY_INSTANCES - {Action.MIGRATE}
"""Their outcome is a matter of the present instance. A migration has an object of its own."""
_DELETED = "the VM has been deleted meanwhile"


@dataclass(frozen=True)
class Observed:
    """What the cluster shows of the VM of an operation."""

    vm: VmFacts | None
    vmi: VmiFacts | None
    migration: MigrationFacts | None = None
    """The migration that is named after the operation, as it was seen last."""
    is_migration_gone: bool = False
    is_settled: bool = False
    """What completes the last state of a migration has had time to arrive: it comes after the final phase."""
    shows_instances: bool = True
    """False: instances cannot be read in this cluster, so one may run though `vmi` is None."""


class Outcome(NamedTuple):
    state: OperationState
    message: str


class Progress(NamedTuple):
    text: str


Seen = Outcome | Progress


def seen(operation: Operation, observed: Observed) -> Seen:
    """Whether the operation has ended, or where it is."""
    if not observed.shows_instances and operation.action in _SHOWN_BY_INSTANCES:
        return Progress("the watcher cannot read the instances of the cluster, which would show it")
    if observed.vm is None and observed.vmi is None and operation.action is not Action.DELETE:
        return _failed(_DELETED)
    return _OF[operation.action](operation, observed)


def _succeeded(message: str) -> Outcome:
    return Outcome(OperationState.SUCCEEDED, message)


def _failed(message: str) -> Outcome:
    return Outcome(OperationState.FAILED, message)


def _runs(vmi: VmiFacts | None) -> bool:
    """It runs, and answers where it has a readiness probe: without one Ready is true as soon as it runs."""
    return vmi is not None and vmi.phase == "Running" and (vmi.ready is not False or vmi.paused)


def _where(observed: Observed) -> Progress:
    """The phase and the node, and what the cluster itself says is wrong."""
    vm, vmi = observed.vm, observed.vmi
    where = (vmi.phase if vmi else None) or (vm.printable_status if vm else None) or "waiting for the instance"
    at = f" on {vmi.node_name}" if vmi and vmi.node_name else ""
    problems = [*(vm.problems if vm else ()), *(vmi.problems if vmi else ())]
    troubles = [problem.removeprefix(PREFIX) for problem in problems if problem.startswith(PREFIX)]
    return Progress(": ".join([f"{where}{at}", *troubles[-1:]]))


def _start(_: Operation, observed: Observed) -> Seen:
    vmi = observed.vmi
    if vmi and _runs(vmi):
        return _succeeded(f"it is paused on {vmi.node_name}" if vmi.paused else f"it runs on {vmi.node_name}")
    return _where(observed)


def _stop(_: Operation, observed: Observed) -> Seen:
    """A stop changes the run strategy Always first: until then the VM would start again."""
    vm, vmi = observed.vm, observed.vmi
    if (vmi is None or vmi.is_final) and vm is not None and vm.run_strategy != "Always":
        return _succeeded("its instance is gone")
    return _where(observed)


def _restart(operation: Operation, observed: Observed) -> Seen:
    vmi = observed.vmi
    if vmi and vmi.uid != operation.instance and _runs(vmi):
        return _succeeded(f"another instance runs on {vmi.node_name}")
    return _where(observed)


def _pause(_: Operation, observed: Observed) -> Seen:
    vmi = observed.vmi
    if vmi is None or vmi.is_final:
        return _failed("it does not run any more")
    return _succeeded("it is paused") if vmi.paused else _where(observed)


def _unpause(_: Operation, observed: Observed) -> Seen:
    vmi = observed.vmi
    if vmi is None or vmi.is_final:
        return _failed("it does not run any more")
    return _where(observed) if vmi.paused else _succeeded("it runs again")


def _within_the_guest(operation: Operation, _: Observed) -> Seen:
    """Kubernetes shows nothing of a reboot inside the guest: its answer is all that can be known."""
    if operation.accepted:
        return _succeeded("the cluster has done it; only the guest can show the rest")
    return _failed("whether it was done is not known: the answer of the cluster was lost")


def _migrate(operation: Operation, observed: Observed) -> Seen:
    migration = observed.migration
    if migration is None:
        if not observed.is_migration_gone:
            return Progress("the cluster does not show the migration yet")
        if operation.state is OperationState.CANCELING:
            return Outcome(OperationState.CANCELED, "there is no migration of it in the cluster")
        return _failed("its migration is gone from the cluster, and its end was not seen")
    course = _course(migration, observed.vmi)
    if migration.phase == "Succeeded" or (observed.is_migration_gone and course and course.succeeded_at):
        return _arrived(observed, course)
    if migration.phase == "Failed" or observed.is_migration_gone:
        return _not_arrived(operation, observed, course)
    to = f" to {course.target_node}" if course and course.target_node else ""
    aborting = ", to be aborted" if operation.state is OperationState.CANCELING else ""
    blocked = f": {migration.blocked}" if migration.blocked else ""
    return Progress(f"{migration.phase or 'Pending'}{to}{aborting}{blocked}")


def _course(migration: MigrationFacts, vmi: VmiFacts | None) -> MigrationStateFacts | None:
    """The state of this migration. The instance keeps that of its last one, which may be another."""
    if migration.state and (migration.state.target_node or migration.state.failure_reason):
        return migration.state
    has_it = vmi is not None and vmi.migration is not None and migration.uid in vmi.migration.uids
    return vmi.migration if has_it and vmi else migration.state


def _arrived(observed: Observed, course: MigrationStateFacts | None) -> Seen:
    vmi = observed.vmi
    if vmi is None:
        return _succeeded("the migration has succeeded; its instance has ended since")
    if course and course.target_node and vmi.node_name != course.target_node and not observed.is_settled:
        return Progress(f"arrived on {course.target_node}, which the instance does not show yet")
    return _succeeded(f"it runs on {vmi.node_name}")


def _not_arrived(operation: Operation, observed: Observed, course: MigrationStateFacts | None) -> Seen:
    """The reason comes one event after the final phase, and never if the migration failed early."""
    migration = observed.migration
    is_deleted = migration is not None and (migration.deleting or observed.is_migration_gone)
    if operation.state is OperationState.CANCELING:
        return Outcome(OperationState.CANCELED, "the migration was aborted")
    if course and course.failure_reason:
        return _failed(course.failure_reason)
    if not observed.is_settled:
        return Progress("Failed")
    if is_deleted:
        return _failed("its migration was deleted: somebody else has aborted it, or its instance has ended")
    return _failed("the migration has failed; KubeVirt gives no reason")


def _resize(operation: Operation, observed: Observed) -> Seen:
    vm, vmi = observed.vm, observed.vmi
    if vm is None:
        return _failed(_DELETED)
    if not _has_size(operation, vm):
        return Progress("the VM does not show the new size yet")
    if vmi is None or vmi.is_final:
        return _succeeded("it takes effect at the next start")
    if _has_size(operation, vmi):
        return _succeeded("the instance has the new size")
    if vm.restart_required:
        return _succeeded("it takes effect at the next restart, which the cluster says is required")
    return _where(observed)


def _has_size(operation: Operation, of: VmFacts | VmiFacts) -> bool:
    cpu, memory = operation.parameters.get("cpu"), operation.parameters.get("memory")
    has_memory = not isinstance(memory, int) or of.memory.value == memory * _MIB
    return has_memory and (cpu is None or of.cpu.value == cpu)


def _delete(_: Operation, observed: Observed) -> Seen:
    if observed.vm is None:
        return _succeeded("the VM is gone")
    return Progress("the VM is being deleted" if observed.vm.deleting else "the VM is still there")


_OF: Mapping[Action, Callable[[Operation, Observed], Seen]] = {
    Action.START: _start,
    Action.STOP: _stop,
    Action.RESTART: _restart,
    Action.PAUSE: _pause,
    Action.UNPAUSE: _unpause,
    Action.SOFTREBOOT: _within_the_guest,
    Action.RESET: _within_the_guest,
    Action.MIGRATE: _migrate,
    Action.RESIZE: _resize,
    Action.DELETE: _delete,
}
