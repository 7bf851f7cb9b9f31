"""How much the feed keeps and does at once."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FeedLimits:
    """For all clients of a process together."""

    buffer_bytes: int = 32 * 1024 * 1024
    """About eight thousand changes: those of hours on a quiet day, of a quarter of a minute at 500 a second."""
    look_back_revisions: int = 5000
    """Read at the start of a process, in half a second, so that clients which come back find what they missed."""
    replay_revisions: int = 100_000
    """A client that missed more had better list again: the list of the largest fleet is not longer."""
    replays_at_once: int = 4
    """Each is work that live clients wait for."""
    snapshots_at_once: int = 2
    """Each holds a connection of the pool and a transaction for as long as its client takes."""
