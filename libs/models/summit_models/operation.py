"""One operation: what somebody asked to be done to a VM, how far it is, and how it ended.

Each step is an event on the operation's own subject, and is stored only if the step that it was made from is still the
newest one there. So there is one order of steps and one winner of each. This module says which steps there are; it is
pure, and the api and the watchers take them from here.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import AwareDatetime, Field, JsonValue

from summit_models.contract import ClusterName, Contract, DatacenterId, Uid


class Action(StrEnum):
    START = "start"
    STOP = "stop"
    RESTART = "restart"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    SOFTREBOOT = "softreboot"
    RESET = "reset"
    MIGRATE = "migrate"
    RESIZE = "resize"
    DELETE = "delete"


NEVER_REPEATED = frozenset({Action.RESTART, Action.SOFTREBOOT, Action.RESET})
"""Twice is more than once: the request for one of these goes out at most once. The others name the goal, or are guarded
by a name or a uid, so that Kubernetes itself makes a second request harmless."""


MIGRATION_PREFIX = "summit-"
"""With the id of its operation it is the name of a VirtualMachineInstanceMigration."""

ROLES: Mapping[Action, str] = {
    Action.START: "operator-power",
    Action.STOP: "operator-power",
    Action.RESTART: "operator-power",
    Action.PAUSE: "operator-guests",
    Action.UNPAUSE: "operator-guests",
    Action.SOFTREBOOT: "operator-guests",
    Action.RESET: "operator-guests",
    Action.MIGRATE: "operator-migrations",
    Action.RESIZE: "operator-sizes",
    Action.DELETE: "operator-deletes",
}
"""The ClusterRole of config/rbac/operator.yaml that allows each action to a watcher, without `summit-connect:`."""


def remedy(action: Action) -> str:
    """What to do where a watcher's credentials do not allow an action."""
    return (
        "let an administrator of the cluster apply the part "
        f"summit-connect:{ROLES[action]} of config/rbac/operator.yaml"
    )


class OperationState(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    CANCELING = "canceling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"
    SKIPPED = "skipped"
    """A part of an operation on many VMs that was never asked for: the VM, at its turn, did not allow it."""


_S = OperationState
NEXT: Mapping[OperationState, frozenset[OperationState]] = {
    _S.PENDING: frozenset({_S.RUNNING, _S.CANCELED, _S.EXPIRED, _S.FAILED}),
    _S.RUNNING: frozenset({_S.RUNNING, _S.CANCELING, _S.SUCCEEDED, _S.FAILED}),
    _S.CANCELING: frozenset({_S.CANCELING, _S.CANCELED, _S.SUCCEEDED, _S.FAILED}),
    _S.SUCCEEDED: frozenset(),
    _S.FAILED: frozenset(),
    _S.CANCELED: frozenset(),
    _S.EXPIRED: frozenset(),
    _S.SKIPPED: frozenset(),
}
"""The states that may follow each state. A state without any has ended, for ever."""


NOT_BEGUN = "no watcher began it in time"
"""The message of an operation that has expired."""


class Operation(Contract):
    id: Uid = Field(
        description="A UUID; made of the caller and their Idempotency-Key where there is one",
        examples=["0f8fad5b-d9cb-569f-a165-70867728950e"],
    )
    action: Action = Field(examples=[Action.MIGRATE])
    vm_id: Uid = Field(examples=["0b2f6f0e-5c0d-4b8e-9f63-0d1c8f1b2a77"])
    vm_name: str = Field(examples=["erp-db-01"])
    namespace: str = Field(examples=["prod-finance"])
    cluster: ClusterName = Field(examples=["vulcan"])
    datacenter: DatacenterId = Field(examples=["dc-solna"])
    parameters: dict[str, JsonValue] = Field(default={}, description="What the caller gave beside the action")
    dry_run: bool = Field(default=False, description="Kubernetes checks the request and does nothing")
    by: str | None = Field(
        default=None, description="Who asked: the name of the token or person; null on a server without any"
    )
    parent: Uid | None = Field(default=None, description="The operation on many VMs that this one is a part of")

    state: OperationState = Field(default=OperationState.PENDING, examples=[OperationState.RUNNING])
    accepted: bool = Field(default=False, description="Kubernetes has accepted the request")
    progress: str | None = Field(default=None, description="Where it is, while it runs", examples=["Running: copying"])
    message: str = Field(
        default="", description="The newest message about it, the cluster's own once the cluster has answered"
    )
    executor: str | None = Field(default=None, description="The watcher that does it")
    instance: Uid | None = Field(
        default=None, description="uid of the VM's instance when the request was made: whether another one runs later"
    )

    requested_at: AwareDatetime
    deadline: AwareDatetime = Field(description="It fails if it has not ended by then, and expires if nobody began it")
    started_at: AwareDatetime | None = None
    ended_at: AwareDatetime | None = None

    @property
    def has_ended(self) -> bool:
        return not NEXT[self.state]

    @property
    def cannot_be_taken_back(self) -> bool:
        """Kubernetes has accepted it, and only a migration can be aborted then."""
        return self.accepted and self.action is not Action.MIGRATE


def claimed(operation: Operation, executor: str, instance: Uid | None, now: datetime) -> Operation:
    """A watcher takes it: a pending one to begin it, one that runs to finish what another watcher began.

    `instance` counts at the beginning only: after a take-over, the instance that runs may be the outcome.
    """
    begins = operation.state is OperationState.PENDING
    return _next(
        operation,
        OperationState.RUNNING if begins else operation.state,
        executor=executor,
        instance=instance if begins else operation.instance,
        started_at=operation.started_at or now,
    )


def accepted(operation: Operation, message: str) -> Operation:
    """Kubernetes has accepted the request. Whether it is done is not observed yet."""
    return _next(operation, operation.state, accepted=True, message=message)


def progressed(operation: Operation, progress: str) -> Operation:
    return _next(operation, operation.state, progress=progress)


def canceling(operation: Operation, message: str) -> Operation:
    """Somebody wants it stopped, and its watcher has to see whether that is still possible."""
    return _next(operation, OperationState.CANCELING, message=message)


def ended(operation: Operation, state: OperationState, message: str, now: datetime) -> Operation:
    return _next(operation, state, message=message, progress=None, ended_at=now)


def _next(operation: Operation, state: OperationState, **values: object) -> Operation:
    """Raises ValueError for a step that the state does not allow."""
    if state not in NEXT[operation.state]:
        raise ValueError(f"operation {operation.id} is {operation.state}: it cannot become {state}")
    return operation.model_copy(update={"state": state, **values})


def overdue(operation: Operation, now: datetime, patience: timedelta) -> Operation | None:
    """The end of an operation that nobody has ended; None while there is time.

    A pending one expires at its deadline. One that runs is left to its watcher for `patience` longer.
    """
    if operation.state is OperationState.PENDING and operation.deadline <= now:
        return ended(operation, OperationState.EXPIRED, NOT_BEGUN, now)
    if not operation.has_ended and operation.deadline <= now - patience:  # a deadline may be that of the year 9999
        what = "the cluster had accepted it" if operation.accepted else "whether the cluster was asked is not known"
        return ended(operation, OperationState.FAILED, f"its watcher is gone: {what}, and nobody saw its end", now)
    return None
