"""The table `events` as a projector writes it: entries, the partitions they need, and months that are dropped.

Many entries travel by COPY when they are new, as those after the checkpoint are. Others are inserted one by one.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import NamedTuple

import asyncpg

from summit_models.contract import Revision
from summit_projector.project import Entry
from summit_projector.tables import upsert
from summit_projector.tables.checkpoint import Checkpoint
from summit_projector.tables.partitions import Month, create_statement, drop_months, month_before, needed_months

_COLUMNS = (*Entry._fields[:-2], "stream_created_at")
# An entry that is there already is the same, or is from an earlier stream.
_INSERT = f"""
INSERT INTO events ({", ".join(_COLUMNS)}) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (revision, time) DO UPDATE SET {", ".join(f"{column} = excluded.{column}" for column in _COLUMNS[2:])}
"""  # noqa: S608  names are our own
# The primary key of each partition, for both.
_NEWEST = """
SELECT revision, time, key, type, collection FROM events
WHERE revision <= $1 AND stream_created_at = $2 ORDER BY revision DESC LIMIT 1
"""
_CUT = "DELETE FROM events WHERE revision > $1 AND stream_created_at = $2"


class AppliedEvent(NamedTuple):
    """The values that distinguish an event from another one under the same revision."""

    revision: int
    time: datetime
    key: str
    type: str
    collection: str


class Journal:
    """Works on the connection of the tables, in their transactions. Keeps `kept_months` before this one; 0: all."""

    def __init__(self, connection: asyncpg.Connection, kept_months: int) -> None:
        self._connection = connection
        self._kept_months = kept_months
        self._months: set[Month] = set()
        self._kept_since: Month | None = None
        """The first month that is kept, when that was last seen to."""

    async def prepare(self) -> None:
        """Make this month's partitions."""
        self._months |= await self.make_partitions([])

    async def make_partitions(self, times: Iterable[datetime]) -> set[Month]:
        """Make the partitions that are needed and not known. `committed` notes them when the transaction has ended."""
        missing = needed_months(times, datetime.now(UTC)) - self._months
        for month in sorted(missing):
            await self._connection.execute(create_statement(month))
        return missing

    async def add(self, entries: Sequence[Entry], checkpoint: Checkpoint) -> None:
        """Add entries to those that there are up to the checkpoint."""
        rows = [(*entry[:-2], checkpoint.stream_created_at) for entry in entries]
        if len(rows) >= upsert.MANY_ROWS and _are_new(entries, checkpoint.revision):
            await self._connection.copy_records_to_table("events", records=rows, columns=_COLUMNS)
        elif rows:
            await self._connection.executemany(_INSERT, rows)

    def committed(self, months: set[Month]) -> None:
        """Note what the transaction that has ended has made."""
        self._months |= months

    async def cut(self, checkpoint: Checkpoint) -> None:
        """Delete the entries of this stream after the checkpoint, and none of an earlier stream."""
        await self._connection.execute(_CUT, checkpoint.revision, checkpoint.stream_created_at)

    async def newest(self, at_most: int, stream_created_at: datetime) -> AppliedEvent | None:
        """The newest event of the stream that was applied up to a revision."""
        row = await self._connection.fetchrow(_NEWEST, at_most, stream_created_at)
        return AppliedEvent(*row) if row else None

    async def drop_old_months(self, now: datetime) -> None:
        """Drop the months that are too old, once in each month. Raises what `drop_months` raises."""
        first = month_before(now, self._kept_months)
        if self._kept_months and first != self._kept_since:
            self._months -= set(await drop_months(self._connection, months=self._kept_months, now=now))
            self._kept_since = first


def _are_new(entries: Sequence[Entry], revision: Revision) -> bool:
    """Whether the entries are neither a replay nor a redelivery, of which some are there."""
    return entries[0].revision > revision and all(a.revision < b.revision for a, b in pairwise(entries))
