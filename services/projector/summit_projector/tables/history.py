"""The table `vm_events` as a projector writes it: lines, the partitions they need, and months that are dropped.

Many lines that are new for certain travel by COPY; others may be there already, and are inserted one by one.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import NamedTuple

import asyncpg

from summit_models.contract import Revision
from summit_projector.project import HistoryRow
from summit_projector.tables import retention, upsert
from summit_projector.tables.partitions import Month, create_statement, needed_months

_INSERT = f"""
INSERT INTO vm_events ({", ".join(HistoryRow._fields)}) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING
"""  # noqa: S608  names are our own
_LINE = """
SELECT revision, observed_at, vm_id, type FROM vm_events
WHERE revision <= $1 AND type <> 'summit.vm.observed' ORDER BY revision DESC, observed_at DESC LIMIT 1
"""  # by the primary key of each partition; what was carried over from dropped months is no line of the log
_CUT = "DELETE FROM vm_events WHERE revision > $1 AND observed_at >= $2"
_LAST = "SELECT max(revision) FROM vm_events"  # by the primary key of each partition


class HistoryLine(NamedTuple):
    """What tells one event from another under the same revision."""

    revision: int
    observed_at: datetime
    vm_id: str
    type: str


class History:
    """Over the connection of a store, in its transactions. `kept_months` before this one are kept; 0: all."""

    def __init__(self, connection: asyncpg.Connection, kept_months: int) -> None:
        self._connection = connection
        self._kept_months = kept_months
        self._months: set[Month] = set()
        self._until = 0

    async def prepare(self) -> None:
        """Make this month's partitions, drop what is too old, and see up to where there are lines."""
        self._months |= await self.make_partitions([])
        await self._forget()
        self._until = await self._connection.fetchval(_LAST) or 0

    async def make_partitions(self, times: Iterable[datetime]) -> set[Month]:
        """Make the partitions that are needed and not known; known are they only when the transaction has ended."""
        missing = needed_months(times, datetime.now(UTC)) - self._months
        for month in sorted(missing):
            await self._connection.execute(create_statement(month))
        return missing

    async def add(self, rows: Sequence[HistoryRow]) -> None:
        if len(rows) >= upsert.MANY_ROWS and self._are_new(rows):
            await self._connection.copy_records_to_table("vm_events", records=rows, columns=HistoryRow._fields)
        else:
            await self._connection.executemany(_INSERT, rows)

    def _are_new(self, rows: Sequence[HistoryRow]) -> bool:
        """Neither a replay nor a redelivery, of which some is there."""
        return rows[0].revision > self._until and all(a.revision < b.revision for a, b in pairwise(rows))

    async def committed(self, months: set[Month], revision: Revision) -> None:
        """Note what the transaction that has ended has made; when a month has begun, drop what is too old by now."""
        self._months |= months
        self._until = max(self._until, revision)
        if any(month.begin > datetime.now(UTC) for month in months):  # the next one: this one has just begun
            await self._forget()

    async def cut(self, revision: Revision, since: datetime) -> None:
        """Take out the lines after a revision of the stream that was created at `since`, not those of one before it."""
        await self._connection.execute(_CUT, revision, since)

    def was_cut(self, revision: Revision) -> None:
        """The transaction that has cut it has ended."""
        self._until = revision

    async def line(self, at_most: int) -> HistoryLine | None:
        """The newest line up to a revision."""
        row = await self._connection.fetchrow(_LINE, at_most)
        return HistoryLine(*row) if row else None

    async def _forget(self) -> None:
        if self._kept_months:
            dropped = await retention.forget(self._connection, months=self._kept_months, now=datetime.now(UTC))
            self._months -= set(dropped)
