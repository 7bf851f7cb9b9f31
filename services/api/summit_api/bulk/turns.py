"""What comes next in an operation on many VMs: whose turn it is, and whether it goes on. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from summit_api.query.bulk_operations import Waiting
from summit_models.bulk_operation import BulkOperation, BulkState, ClusterTargets, ended
from summit_models.contract import ClusterName
from summit_models.operation import Operation, OperationState

Counts = Mapping[ClusterName, Counter[OperationState]]
"""Operations on single VMs, by cluster."""

_S = OperationState
UNDER_WAY = frozenset({_S.PENDING, _S.RUNNING, _S.CANCELING})
_FAILED = (_S.FAILED, _S.EXPIRED)


class Stop(NamedTuple):
    """Why no further VM gets its turn, and what becomes of those that wait."""

    state: OperationState
    message: str


def stop(operation: BulkOperation, counts: Counts, now: datetime) -> Stop | None:
    """None while it goes on, or is paused."""
    if operation.state is BulkState.CANCELING:
        return Stop(_S.CANCELED, "the bulk operation was canceled before its turn")
    failed = _number(counts, _FAILED)
    if operation.max_failures is not None and failed >= operation.max_failures:
        return Stop(_S.SKIPPED, f"the bulk operation stopped before its turn, because {failed} operations had failed")
    if operation.deadline <= now:
        return Stop(_S.EXPIRED, "the bulk operation reached its deadline before its turn")
    return None


def waits_in(counts: Counts, targets: ClusterTargets) -> int:
    """How many of its VMs in a cluster have not had their turn."""
    return targets.total - counts.get(targets.cluster, Counter()).total()


def end(operation: BulkOperation, counts: Counts, now: datetime) -> BulkOperation | None:
    """Its last step, once each of its VMs has an operation that has ended."""
    if _number(counts, UNDER_WAY) or sum(found.total() for found in counts.values()) < operation.total:
        return None
    total: Counter[OperationState] = sum(counts.values(), Counter())
    message = ", ".join(f"{total[state]} {state}" for state in OperationState if total[state])
    if operation.state is BulkState.CANCELING:
        return ended(operation, BulkState.CANCELED, message, now)
    return ended(operation, BulkState.FAILED if _number(counts, _FAILED) else BulkState.SUCCEEDED, message, now)


def lost(vm: Waiting) -> Stop | None:
    """Why a VM is not acted on although it waited for its turn; None while it is as it was confirmed."""
    if not vm.lives:
        return Stop(_S.SKIPPED, "the VM is gone")
    if not vm.is_wanted:
        return Stop(_S.SKIPPED, f"VM {vm.name} does not meet the filters of the bulk operation any more")
    return None


def chosen(operation: BulkOperation, waiting: Sequence[Waiting], nodes_in_use: Iterable[str | None]) -> list[Waiting]:
    """Whose turn it is in a cluster, in their order, within the limits. VMs that are not wanted any more take no place.

    `nodes_in_use` has the node of each VM that it acts on in the cluster; None is on no node.
    """
    on_node = Counter(nodes_in_use)
    free = operation.max_parallel_per_cluster - on_node.total()
    turns: list[Waiting] = []
    for vm in waiting:
        if lost(vm):
            turns.append(vm)
        elif free > 0 and (vm.node is None or on_node[vm.node] < operation.max_parallel_per_node):
            free -= 1
            on_node[vm.node] += 1
            turns.append(vm)
    return turns


def begun(operation: BulkOperation, targets: ClusterTargets, vm: Waiting, now: datetime) -> Operation:
    """The operation on a VM whose turn it is."""
    return Operation(
        id=operation.part_id(targets.cluster, vm.target.id),
        action=operation.action,
        vm_id=vm.target.id,
        vm_name=vm.name or "",
        namespace=vm.target.namespace,
        cluster=targets.cluster,
        datacenter=vm.datacenter or targets.datacenter,
        parameters=operation.parameters,
        by=operation.by,
        parent=operation.id,
        requested_at=now,
        deadline=now + timedelta(seconds=operation.timeout_seconds),
    )


def left_out(operation: Operation, why: Stop) -> Operation:
    """The same of a VM that is not acted on: it has ended in the moment that it is stored."""
    return operation.model_copy(update={"state": why.state, "message": why.message, "ended_at": operation.requested_at})


def _number(counts: Counts, states: Iterable[OperationState]) -> int:
    return sum(found[state] for found in counts.values() for state in states)
