"""What was seen of the migration of one operation, and for how long. Its object may go before its end was seen."""

import time

from summit_watcher.normalize.migration import MigrationFacts

_NEVER = float("inf")


class SeenMigration:
    def __init__(self) -> None:
        self.last: MigrationFacts | None = None
        """As it was seen last."""
        self.is_gone = False
        self._missing_since = _NEVER
        """Since when it is looked for, and was never seen."""
        self._ended_since = _NEVER
        """Since when it is in its final phase, or gone."""
        self._abort_at = float("-inf")
        self._was_absent = False

    def look(self, found: MigrationFacts | None) -> None:
        """Note what the cluster shows now."""
        now = time.monotonic()
        if found is not None:
            self.last, self.is_gone = found, False
        elif self.last is not None:
            self.is_gone = True
        else:
            self._missing_since = min(self._missing_since, now)
        if self.is_gone or (found and found.is_final):
            self._ended_since = min(self._ended_since, now)

    def has_ended_for(self, seconds: float) -> bool:
        return time.monotonic() >= self._ended_since + seconds

    def is_unseen(self, seconds: float) -> bool:
        """Whether it was not seen for so long; then it is asked for, and the time begins again."""
        now = time.monotonic()
        if self.last is not None or self.is_gone or now < self._missing_since + seconds:
            return False
        self._missing_since = now
        return True

    @property
    def is_abort_due(self) -> bool:
        """To delete one that has ended would only remove its history."""
        has_ended = self.is_gone or (self.last is not None and self.last.is_final)
        return not has_ended and time.monotonic() >= self._abort_at

    def abort_accepted(self) -> None:
        self._abort_at = _NEVER

    def abort_failed(self, retry_seconds: float, *, is_absent: bool) -> None:
        """Note that it could not be deleted. Absent twice it is gone: a request may have been on its way at first."""
        self.is_gone = self.is_gone or (is_absent and self._was_absent and self.last is None)
        self._was_absent = is_absent
        self._abort_at = time.monotonic() + retry_seconds
