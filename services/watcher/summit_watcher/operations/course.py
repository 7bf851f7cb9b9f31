"""What a watcher does next with an operation. Pure: the whole course of an operation is this one decision, repeated.

The log decides whose an operation is, and the rest follows from its newest step and from whether a request may have
gone out. Where a second request would do more than the first, it goes out at most once: `NEVER_REPEATED`.
"""

from datetime import datetime
from enum import Enum

from summit_models.operation import NEVER_REPEATED, Operation, OperationState


class Act(Enum):
    CLAIM = "claim it: begin a pending one, or take over one of another watcher"
    ASK = "ask the cluster"
    OBSERVE = "look at what the cluster shows"
    EXPIRE = "end it: nobody began it in time"
    CANCEL = "end it: it was canceled before the cluster was asked"
    GIVE_UP = "end it: its time is over, and the cluster could not be asked"
    NONE = "nothing: it has ended"


def next_act(operation: Operation, writer: str, now: datetime, *, may_be_done: bool) -> Act:
    """The next act of the watcher `writer`. `may_be_done`: a request may have gone out, and its answer is not known."""
    is_late = operation.deadline <= now
    match operation.state:
        case OperationState.PENDING:
            return Act.EXPIRE if is_late else Act.CLAIM
        case OperationState.RUNNING | OperationState.CANCELING if operation.executor != writer:
            return Act.CLAIM
        case OperationState.RUNNING | OperationState.CANCELING:
            return _of_own(operation, is_late=is_late, may_be_done=may_be_done)
        case _:
            return Act.NONE


def _of_own(operation: Operation, *, is_late: bool, may_be_done: bool) -> Act:
    may_have_effect = not operation.dry_run and (operation.accepted or may_be_done)
    if operation.accepted and may_have_effect:
        return Act.OBSERVE
    if operation.state is OperationState.CANCELING:
        return Act.OBSERVE if may_have_effect else Act.CANCEL
    if is_late:
        return Act.OBSERVE if may_have_effect else Act.GIVE_UP
    if may_have_effect and operation.action in NEVER_REPEATED:
        return Act.OBSERVE
    return Act.ASK
