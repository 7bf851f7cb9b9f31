"""The series of operations in the api, which lives also when no watcher does.

Ends are counted by `summit_runtime.operation_metrics`.
"""

from collections.abc import Mapping

from prometheus_client import Counter, Gauge

from summit_api.operations.errors import COUNTED
from summit_models.operation import NEXT, OperationState

OPERATIONS = Gauge(
    "summit_operations",
    "Operations that have not ended, by state; 'pending' for a minute: no watcher begins them",
    ("state",),
)
REFUSED = Counter(
    "summit_operations_refused",
    "Requests for operations that were refused beforehand, by reason; 'notAllowed': apply config/rbac/operator.yaml",
    ("reason",),
)
for _reason in COUNTED:
    REFUSED.labels(_reason)


def count_operations(by_state: Mapping[OperationState, int]) -> None:
    """Set the number of operations in each state that is no end."""
    for state, following in NEXT.items():
        if following:
            OPERATIONS.labels(state).set(by_state.get(state, 0))


count_operations({})
