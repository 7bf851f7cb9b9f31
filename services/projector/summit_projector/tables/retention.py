"""When the months that are too old are dropped: beside what is applied, which never waits for it.

A backup holds the journal for as long as it takes, often just when a month begins.
"""

import logging
import time
from datetime import datetime

import asyncpg

from summit_projector.settings import ProjectorTimes
from summit_projector.tables.journal import Journal
from summit_runtime.condition import Condition, duration

logger = logging.getLogger("summit.projector")


class Retention:
    """The drops of one session. A new session waits first."""

    def __init__(self, journal: Journal, times: ProjectorTimes) -> None:
        self._journal = journal
        self._seconds = times.retention_seconds
        self._not_before = time.monotonic() + self._seconds
        self._waits = Condition(logger)

    async def look(self, now: datetime | None) -> None:
        """Drop what is too old, if it is time to try; `now` is None while nobody knows what time it is."""
        if now is None or time.monotonic() < self._not_before:
            return
        try:
            await self._journal.drop_old_months(now)
        except (asyncpg.LockNotAvailableError, TimeoutError) as error:
            self._not_before = time.monotonic() + self._seconds
            self._waits.holds(
                "history that is too old is not dropped yet, as with a backup or a long query that reads it (%s): "
                "trying again every %s",
                str(error) or "no answer in time",
                duration(self._seconds),
            )
        else:
            self._waits.ends("history that is too old has been dropped")
