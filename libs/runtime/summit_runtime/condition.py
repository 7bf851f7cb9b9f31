"""Something that is wrong for a while: one log line when it begins, one every five minutes, one when it ends.

A server that is away for an hour makes hundreds of attempts fail. Report each of them here, and each success too::

    away = Condition(logger)
    away.holds("Postgres cannot be reached (%s): readers wait", error)  # at each failure
    away.ends("Postgres can be reached again")  # at each success: ", after 12 min" follows
"""

import logging
import time
from collections.abc import Callable, Hashable, Mapping

REPEAT_SECONDS = 300.0
"""The last minutes of a log show what is wrong, and an outage of a night does not fill a disk."""


class Condition:
    """Logs to `logger` at `level`; the end at the same level, but never above WARNING."""

    def __init__(
        self, logger: logging.Logger, level: int = logging.WARNING, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._logger = logger
        self._level = level
        self._clock = clock
        self._began_at = 0.0
        self._logged_at: dict[Hashable, float] = {}

    @property
    def active(self) -> bool:
        """Whether it holds now."""
        return bool(self._logged_at)

    def holds(
        self,
        message: str,
        *args: object,
        cause: Hashable = None,
        level: int | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        """Log that it holds, unless that was logged within the last five minutes.

        Another `cause` is logged at once, also while the condition holds already. `level` is for this line only.
        """
        now = self._clock()
        if not self.active:
            self._began_at = now
        logged_at = self._logged_at.get(cause)
        if logged_at is not None and now < logged_at + REPEAT_SECONDS:
            return
        self._logged_at[cause] = now
        text = message % args if args else message
        if logged_at is not None:
            text = f"{text} (for {duration(now - self._began_at)} so far)"
        self._logger.log(self._level if level is None else level, "%s", text, extra=extra, stacklevel=2)

    def ends(self, message: str, *args: object, extra: Mapping[str, object] | None = None) -> None:
        """Log that it is over, and how long it was; nothing if it did not hold."""
        if not self.active:
            return
        self._logged_at.clear()
        seconds = self._clock() - self._began_at
        text = message % args if args else message
        extra = {**(extra or {}), "duration_seconds": round(seconds, 3)}
        level = min(self._level, logging.WARNING)
        self._logger.log(level, "%s, after %s", text, duration(seconds), extra=extra, stacklevel=2)


def duration(seconds: float) -> str:
    """A length of time for people: "0.4 s", "12 s", "3 min", "2 h 5 min"."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
