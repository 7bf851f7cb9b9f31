"""Epochs of a cluster, and which of its events are stale: those of a watcher that had lost the cluster to another one.

Each watcher begins an epoch with an event of the cluster itself. Whatever enters the log after that under an older
epoch is stale, and readers ignore it. The projector meets the starts of the epochs as it reads on. A reader of only the
last event of each subject, such as a watcher that starts, has them from the newest event of the cluster
(`ClusterEvent.epoch_starts`).
"""

from collections.abc import Iterable

from pydantic import Field

from summit_models.contract import Contract


class EpochStart(Contract):
    """Events after `revision` under an epoch below `epoch` are stale."""

    epoch: int
    revision: int = Field(description="Revision of the first event of that epoch")


def is_stale_epoch(epoch: int, revision: int, starts: Iterable[EpochStart]) -> bool:
    """Whether a later epoch of its cluster had begun when an event of this epoch was stored at this revision."""
    return any(epoch < start.epoch and revision > start.revision for start in starts)
