"""How operations end, counted by whoever stores the end: a watcher, or an api that cancels or gives up.

Each end is stored once, so over all processes it is counted once. Dry runs are not counted, since they do nothing.
"""

from prometheus_client import Counter, Histogram

from summit_models.operation import NEXT, Action, Operation, OperationState

ENDED = Counter(
    "summit_operations_ended",
    "Operations by action and end; 'failed' has the reason in its message, 'expired' means that no watcher began it",
    labelnames=("action", "state"),
)
DURATION_SECONDS = Histogram(
    "summit_operation_duration_seconds",
    "From the request to the end of operations that a watcher began; rising: their clusters are slow",
    labelnames=("action",),
    buckets=(0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600),
)
_ENDS: tuple[OperationState, ...] = tuple(state for state, following in NEXT.items() if not following)
for _action in Action:
    DURATION_SECONDS.labels(_action)
    for _state in _ENDS:
        ENDED.labels(_action, _state)


def count_end(operation: Operation) -> None:
    """Count an operation that has ended, once its end is stored."""
    if operation.dry_run or operation.ended_at is None:
        return
    ENDED.labels(operation.action, operation.state).inc()
    if operation.started_at is not None:
        seconds = (operation.ended_at - operation.requested_at).total_seconds()
        DURATION_SECONDS.labels(operation.action).observe(max(seconds, 0.0))
