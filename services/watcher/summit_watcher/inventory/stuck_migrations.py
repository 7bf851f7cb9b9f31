"""Migrations that make no progress: their phase and all that is known of them have stood still for too long.

Kubernetes has no field for that. A migration waits in `Pending` without a reason while the cluster moves others, and a
condition with the reason leaves its phase as it is. So the time is that of what is observed, by our own clock, which no
clock of a cluster moves. A watcher that starts begins to count again, and keeps what its predecessor has published.
"""

import asyncio
import time
from collections.abc import Callable, Container
from dataclasses import dataclass

from summit_models.contract import Uid
from summit_models.migration import Migration
from summit_watcher.inventory.published import MIGRATION_CODEC
from summit_watcher.normalize.trouble import are_same

COPY_SECONDS_PER_GIB = 150
"""KubeVirt gives a copy so long for each GiB of memory before it gives up (`completionTimeoutPerGiB`), and nothing that
we watch changes meanwhile."""
_COPIES = "Running"
_QUEUED = "Pending"
_GIB = 1 << 30


@dataclass(slots=True)
class _Seen:
    state: Migration
    since: float
    patience_seconds: float
    stuck: str | None = None


class StuckMigrations:
    """How long the migrations under way have been as they are."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self.some = asyncio.Event()
        """Set while there are migrations under way."""
        self._clock = clock
        self._seen: dict[Uid, _Seen] = {}

    def __len__(self) -> int:
        return sum(seen.stuck is not None for seen in self._seen.values())

    def judged(
        self, migration: Migration, last: bytes | None, blocked: str | None, memory_bytes: int | None
    ) -> Migration:
        """The migration with `stuck`, if it has stood still for too long.

        `last` is its last published state, `blocked` what a condition says, `memory_bytes` what there is to copy.
        """
        if migration.completed:
            self._seen.pop(migration.id, None)
            return migration
        seen = self._seen.get(migration.id)
        if seen is None or seen.state != migration:
            seen = self._seen[migration.id] = self._begun(migration, last, memory_bytes, is_first=seen is None)
            self.some.set()
        if self._clock() < seen.since + seen.patience_seconds:
            return migration
        why = _why(migration, blocked, seen.patience_seconds)
        if seen.stuck is None or not are_same(seen.stuck, why):
            seen.stuck = why
        return migration.model_copy(update={"stuck": seen.stuck})

    def due(self) -> list[Uid]:
        """Those that have stood still for too long, and are not marked yet."""
        now = self._clock()
        return [
            uid for uid, seen in self._seen.items() if seen.stuck is None and now >= seen.since + seen.patience_seconds
        ]

    def keep(self, living: Container[Uid]) -> None:
        """Forget the others."""
        self._seen = {uid: seen for uid, seen in self._seen.items() if uid in living}
        if not self._seen:
            self.some.clear()

    def _begun(self, migration: Migration, last: bytes | None, memory_bytes: int | None, *, is_first: bool) -> _Seen:
        before = MIGRATION_CODEC.decode(last) if last and is_first else None
        if before and before.stuck and before.model_copy(update={"stuck": None}) == migration:
            return _Seen(migration, float("-inf"), self._seconds, before.stuck)
        copy_seconds = COPY_SECONDS_PER_GIB * (memory_bytes or 0) / _GIB if migration.phase == _COPIES else 0.0
        return _Seen(migration, self._clock(), self._seconds + copy_seconds)


def _why(migration: Migration, blocked: str | None, seconds: float) -> str:
    phase, minutes = migration.phase or _QUEUED, round(seconds / 60)
    if blocked:
        return f"{phase} for more than {minutes} min: {blocked}"
    if phase == _QUEUED:
        return (
            f"{phase} for more than {minutes} min: it may wait for others, as KubeVirt runs 5 migrations in a cluster "
            "and 2 from a node at a time unless configured otherwise"
        )
    return f"{phase} for more than {minutes} min, and nothing that the cluster shows of it has changed"
