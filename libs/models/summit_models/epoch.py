"""Which events of a cluster are void: those of a watcher that had lost it to another one.

Each watcher of a cluster begins an epoch, with an event of the cluster itself. What comes into the log after that under
an older epoch is void, whatever it says. The projector meets these beginnings as it reads on. Who reads only the last
event of each subject, as a starting watcher does, has them from the newest one of the cluster (`ClusterEvent.fences`).
"""

from collections.abc import Iterable

from pydantic import Field

from summit_models.contract import Contract


class EpochStart(Contract):
    """What comes after `revision` under an epoch below `epoch` is void."""

    epoch: int
    revision: int = Field(description="Of the first event of that epoch")


def is_stale_epoch(epoch: int, revision: int, fences: Iterable[EpochStart]) -> bool:
    """Whether an event of this epoch came, at this revision, when its cluster had a later one."""
    return any(epoch < fence.epoch and revision > fence.revision for fence in fences)
