"""All that is known beforehand against an operation: the VM as it is, its cluster, and what acts on it already."""

from datetime import datetime

from summit_api.freshness import Freshness
from summit_api.operations.errors import ClusterUnavailableError, OperationError, RefusedError, TablesBehindError
from summit_api.operations.refusals import Parameters, names_grace_period, refusal
from summit_api.query.operations import Acting
from summit_models.contract import ClusterName
from summit_models.operation import Action, remedy
from summit_models.vm import Vm


class Objections:
    """Made from the tables, and from what watchers report of their clusters."""

    def __init__(self, freshness: Freshness) -> None:
        self._freshness = freshness

    def to(
        self, action: Action, vm: Vm, parameters: Parameters, acting: Acting, now: datetime
    ) -> OperationError | None:
        """Why the operation would be refused; None if nothing is known against it."""
        if behind := self._freshness.lag.behind:
            return TablesBehindError(f"{behind.reason}; nothing was done, try again")
        if found := refusal(action, vm, parameters):
            return RefusedError(found.detail, reason=found.reason)
        return self._of_cluster(action, vm.cluster, now) or _of_acting(action, vm, parameters, acting)

    def _of_cluster(self, action: Action, cluster: ClusterName | None, now: datetime) -> OperationError | None:
        if cluster is None or cluster not in self._freshness.fresh_clusters(now):
            return ClusterUnavailableError(
                f"cluster {cluster} is not watched at the moment, so nobody could do it; nothing was stored, try again"
            )
        health = self._freshness.health(cluster)
        if health is not None and health.may is not None and action not in health.may:
            return RefusedError(
                f"the credentials of the watcher of cluster {cluster} do not allow to {action} VMs: {remedy(action)}, "
                "which the watcher notices within a minute",
                reason="notAllowed",
            )
        return None


def _of_acting(action: Action, vm: Vm, parameters: Parameters, acting: Acting) -> OperationError | None:
    for id_, other, accepted in acting.operations:
        if accepted and other == Action.STOP and action is Action.STOP and names_grace_period(parameters):
            continue  # its guest does not shut down, and nothing else would help
        what_to_do = "wait" if accepted and other != Action.MIGRATE else "wait, or cancel it"
        detail = f"VM {vm.name} has a {other} under way, operation {id_}: {what_to_do}"
        return RefusedError(detail, reason="operationActive", operation=id_)
    if acting.migration and action in (Action.MIGRATE, Action.RESIZE):
        detail = f"VM {vm.name} is being migrated already, by {acting.migration}"
        return RefusedError(detail, reason="migrationActive")
    return None
