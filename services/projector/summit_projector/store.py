"""The projector's SQL, all of it: rows, history, set-aside events and the checkpoint in one transaction.

Few rows are inserted by prepared statements. Many VMs travel by binary COPY into a temporary table and from there by
INSERT … ON CONFLICT, and their history by COPY alone: half the server's time and a quarter of ours. But to empty a
temporary table at each commit takes milliseconds, which one event on a quiet day must not wait for.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, NamedTuple

import asyncpg
from pydantic import SecretStr
from sqlalchemy import Table

from summit_models.contract import Revision
from summit_models.event import STREAM, source_of
from summit_models.fence import Fence
from summit_projector import retention
from summit_projector.partitions import Month, create_statement, needed_months
from summit_projector.project import Batch, Epochs, HistoryRow
from summit_projector.projections import PROJECTIONS, Projection, Row
from summit_projector.stream_identity import Position
from summit_runtime import database

_SESSION = """
-- What readers have seen stays. A commit that a crash of Postgres takes back would be applied again from the stream,
-- but until then VMs that somebody has seen are not there. It costs one wait for the disk per batch.
SET synchronous_commit = on;
-- Whoever holds the lock and is gone without a word is noticed within 11 s, so that another can take over.
SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3;
SET idle_in_transaction_session_timeout = '30s';
-- A statement whose client is gone holds no lock for ever.
SET client_connection_check_interval = '5s';
"""
LOCK_TIMEOUT = "10s"
"""After so long the log says that another has locked a table. Postgres would wait for ever, in silence."""

# Advisory locks belong to the database, tables to a schema: the second number keeps schemas apart.
_TRY_LOCK = "SELECT pg_try_advisory_lock(hashtext('summit-projector'), hashtext(current_schema()))"

_LOAD = "SELECT stream_created_at, revision, event_id, generation FROM checkpoint WHERE stream = $1"
_CREATE = """
INSERT INTO checkpoint (stream, revision, generation, stream_created_at, event_id, applied_at)
VALUES ($1, 0, 0, $2, NULL, now()) ON CONFLICT (stream) DO NOTHING
"""
_ADVANCE = """
WITH advanced AS (
    UPDATE checkpoint SET revision = $3, event_id = $4, stream_created_at = $5, applied_at = now()
    WHERE stream = $1 AND revision = $2 AND generation = $7
    RETURNING revision
)
SELECT revision, pg_notify($6, revision::text) FROM advanced
"""

_STAGING = "CREATE TEMPORARY TABLE IF NOT EXISTS incoming_vms (LIKE vms) ON COMMIT DELETE ROWS"

_INSERT_HISTORY = f"""
INSERT INTO vm_events ({", ".join(HistoryRow._fields)}) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING
"""  # noqa: S608  names are our own
_HISTORY_LINE = """
SELECT revision, observed_at, vm_id, type FROM vm_events
WHERE revision <= $1 AND type <> 'summit.vm.observed' ORDER BY revision DESC, observed_at DESC LIMIT 1
"""  # by the primary key of each partition; what was carried over from dropped months is no line of the log
_FORGET_HISTORY = "DELETE FROM vm_events WHERE revision > $1 AND observed_at >= $2"
_FORGET_SET_ASIDE = "DELETE FROM set_aside WHERE revision > $1 AND set_aside_at >= $2"
_LAST_HISTORY = "SELECT max(revision) FROM vm_events"  # by the primary key of each partition

# Rows have changed without an event: readers tell the two apart by the generation, or by applied_at.
_NEW_GENERATION = """
WITH touched AS (
    UPDATE checkpoint SET generation = generation + 1, applied_at = now() WHERE stream = $1 AND generation = $3
    RETURNING generation, revision
)
SELECT generation, pg_notify($2, revision::text) FROM touched
"""

_SET_ASIDE = """
INSERT INTO set_aside (revision, subject, reason, body, set_aside_at) VALUES ($1, $2, $3, $4, now())
ON CONFLICT (revision) DO UPDATE
SET subject = excluded.subject, reason = excluded.reason, body = excluded.body, set_aside_at = excluded.set_aside_at
"""

MANY_ROWS = 50
"""From here on COPY is faster, measured with rows of `vms`."""

_UNSTORABLE_CLASSES = frozenset({"22", "23", "54"})
"""SQLSTATE classes that a value causes: data exception, integrity constraint, program limit (index row too large)."""


class HistoryLine(NamedTuple):
    """What tells one event from another under the same revision."""

    revision: int
    observed_at: datetime
    vm_id: str
    type: str


class CheckpointMovedError(Exception):
    """Another projector has moved the checkpoint: this one's picture is old, and it starts from the new one."""


class UnstorableError(Exception):
    """The database refuses a value of this batch, and would refuse it each time."""


@asynccontextmanager
async def open_store(url: SecretStr, *, history_months: int = 0) -> AsyncIterator["Store"]:
    """Connect. Raises OSError, TimeoutError or asyncpg.PostgresError when the server cannot be had."""
    connection = await database.connect(url, application="summit-projector")
    try:
        await connection.execute(f"{_SESSION} SET lock_timeout = '{LOCK_TIMEOUT}'")
        yield Store(connection, history_months)
    finally:
        connection.terminate()  # nothing is open that a polite goodbye would save


class Store:
    """The read models over one connection. Call `try_lock`, migrate, then `prepare`, before anything else."""

    def __init__(self, connection: asyncpg.Connection, history_months: int) -> None:
        self._connection = connection
        self._history_months = history_months
        self._months: set[Month] = set()
        self._history_until = 0
        self._generation = 0

    async def try_lock(self) -> bool:
        """Become the only active projector of this schema, for as long as the connection lives."""
        return bool(await self._connection.fetchval(_TRY_LOCK))

    async def schema_revision(self) -> str | None:
        """What alembic noted as the schema's revision; None when there is no schema yet."""
        if await self._connection.fetchval("SELECT to_regclass('alembic_version')") is None:
            return None
        revision: str | None = await self._connection.fetchval("SELECT version_num FROM alembic_version")
        return revision

    async def prepare(self) -> None:
        """Make the temporary table and this month's partitions, and see up to where there is history."""
        await self._connection.execute(_STAGING)
        self._months |= await self._make_partitions([])
        await self._forget_history()
        self._history_until = await self._connection.fetchval(_LAST_HISTORY) or 0

    async def position(self, stream_created_at: datetime) -> Position:
        """The checkpoint; at the very first start that of a stream of which nothing has been applied."""
        await self._connection.execute(_CREATE, STREAM, stream_created_at)
        *position, self._generation = await self._connection.fetchrow(_LOAD, STREAM)
        return Position(*position)

    async def epochs(self) -> Epochs:
        """The newest epoch of each cluster, by the source of its events."""
        rows = await self._connection.fetch("SELECT datacenter, name, epoch, revision FROM clusters")
        return {
            source_of(row["datacenter"], row["name"]): Fence(epoch=row["epoch"], revision=row["revision"])
            for row in rows
        }

    async def commit(self, batch: Batch, position: Position) -> Position:
        """Apply a batch that follows `position`, in one transaction, and give the new position.

        Raises UnstorableError when the database refuses a value, CheckpointMovedError when another projector was
        here; what else asyncpg raises means that nothing can be said of the outcome but that it was all or nothing.
        """
        after = Position(position.stream_created_at, batch.revision, batch.event_id)
        try:
            async with self._connection.transaction():
                await self._advance(position, after)
                months = await self._make_partitions(row.observed_at for row in batch.history)
                for table, rows in batch.rows.items():
                    await self._upsert(table, rows)
                await self._add_history(batch.history)
                if batch.set_aside:  # without rows it is a round trip all the same
                    await self._connection.executemany(_SET_ASIDE, batch.set_aside)
        except asyncpg.PostgresError as error:
            if (error.sqlstate or "")[:2] in _UNSTORABLE_CLASSES:
                raise UnstorableError(f"the database refuses it: {error}") from error
            raise
        except (ValueError, OverflowError, TypeError) as error:  # asyncpg cannot encode a value
            raise UnstorableError(f"it has a value that Postgres cannot store: {error}") from error
        self._months |= months
        self._history_until = max(self._history_until, batch.revision)
        if any(month.begin > datetime.now(UTC) for month in months):  # the next one: this one has just begun
            await self._forget_history()
        return after

    async def disown(self, position: Position, stream_created_at: datetime) -> Position:
        """Go to before the first event of another stream, keeping rows and making them older than any event."""
        after = Position(stream_created_at, Revision(0), None)
        async with self._connection.transaction():
            await self._advance(position, after)
            generation = await new_generation(self._connection, self._generation)
            for name in _UPSERTS:
                await self._connection.execute(f"UPDATE {name} SET epoch = -1, revision = 0")  # noqa: S608
        self._generation = generation
        return after

    async def holds_rows(self) -> bool:
        """Whether the tables show anything: at revision 0 that is of another stream."""
        exists = " OR ".join(f"EXISTS (SELECT 1 FROM {name})" for name in _UPSERTS)  # noqa: S608  names are our own
        return bool(await self._connection.fetchval(f"SELECT {exists}"))

    async def rewind(self, position: Position, common: Position) -> Position:
        """Go back to `common`: rows of later events become older than any event, and their history goes.

        Only the history of this stream: lines of one before it may have greater revisions.
        """
        async with self._connection.transaction():
            await self._advance(position, common)
            generation = await new_generation(self._connection, self._generation)
            for name in _UPSERTS:
                await self._connection.execute(
                    f"UPDATE {name} SET epoch = -1, revision = 0 WHERE revision > $1",  # noqa: S608
                    common.revision,
                )
            for statement in (_FORGET_HISTORY, _FORGET_SET_ASIDE):
                await self._connection.execute(statement, common.revision, common.stream_created_at)
        self._generation = generation
        self._history_until = common.revision
        return common

    async def history_line(self, at_most: int) -> HistoryLine | None:
        """The newest line of the history up to a revision."""
        row = await self._connection.fetchrow(_HISTORY_LINE, at_most)
        return HistoryLine(*row) if row else None

    async def unconfirmed(self, table: str) -> Sequence[Mapping[str, Any]]:
        """Rows that are of no event of the log."""
        return [dict(row) for row in await self._connection.fetch(f"SELECT * FROM {table} WHERE revision = 0")]  # noqa: S608

    async def restore(self, rows: Mapping[str, list[Row]]) -> None:
        """Write rows that are from before the checkpoint."""
        async with self._connection.transaction():
            for table, values in rows.items():
                await self._upsert(table, values)

    async def sweep(self) -> int:
        """Remove the rows that a replay from the start has not confirmed, and tell how many.

        Migrations that had ended stay: they are history, which reaches further back than the stream. VMs that were
        added by hand stay too: no cluster tells of them again, the api does, from these rows.
        """
        generation = self._generation
        async with self._connection.transaction():
            statuses = [
                await self._connection.execute(f"DELETE FROM {name} WHERE revision = 0{_EXCEPT.get(name, '')}")  # noqa: S608
                for name in _UPSERTS
            ]
            if removed := sum(int(status.split()[-1]) for status in statuses):
                generation = await new_generation(self._connection, generation)
        self._generation = generation
        return removed

    async def count_set_aside(self) -> int:
        return int(await self._connection.fetchval("SELECT count(*) FROM set_aside"))

    async def ping(self) -> None:
        await self._connection.execute("SELECT 1")

    async def _advance(self, before: Position, after: Position) -> None:
        """Move the checkpoint if it still is where it was left. First in the transaction: its row is the turnstile."""
        values = (before.revision, after.revision, after.event_id, after.stream_created_at)
        notify = (database.REVISION_CHANNEL, self._generation)
        if await self._connection.fetchval(_ADVANCE, STREAM, *values, *notify) is None:
            raise CheckpointMovedError(f"the checkpoint is not where it was left, at revision {before.revision}")

    async def _upsert(self, table: str, rows: list[Row]) -> None:
        if table == "vms" and len(rows) >= MANY_ROWS:
            await self._connection.copy_records_to_table("incoming_vms", records=rows, columns=_COLUMNS[table])
            await self._connection.execute(_UPSERT_STAGED_VMS)
        else:
            await self._connection.executemany(_UPSERTS[table], rows)

    async def _add_history(self, rows: list[HistoryRow]) -> None:
        if len(rows) >= MANY_ROWS and self._is_new(rows):
            await self._connection.copy_records_to_table("vm_events", records=rows, columns=HistoryRow._fields)
        else:
            await self._connection.executemany(_INSERT_HISTORY, rows)

    def _is_new(self, rows: list[HistoryRow]) -> bool:
        """Neither a replay nor a redelivery, of which some is there."""
        return rows[0].revision > self._history_until and all(a.revision < b.revision for a, b in pairwise(rows))

    async def _forget_history(self) -> None:
        """Drop what is older than is to be kept: at the start, and when a month has begun."""
        if self._history_months:
            dropped = await retention.forget(self._connection, months=self._history_months, now=datetime.now(UTC))
            self._months -= set(dropped)

    async def _make_partitions(self, times: Iterable[datetime]) -> set[Month]:
        """Make the partitions that are needed and not known; known are they only when the transaction has ended."""
        missing = needed_months(times, datetime.now(UTC)) - self._months
        for month in sorted(missing):
            await self._connection.execute(create_statement(month))
        return missing


async def new_generation(connection: asyncpg.Connection, generation: int) -> int:
    """Raise the generation of the tables, in the transaction that changes rows otherwise than by the next event.

    Raises CheckpointMovedError when another was here.
    """
    raised: int | None = await connection.fetchval(_NEW_GENERATION, STREAM, database.REVISION_CHANNEL, generation)
    if raised is None:
        raise CheckpointMovedError(f"the tables are no longer of generation {generation}")
    return raised


def _columns(table: Table) -> tuple[str, ...]:
    return tuple(column.name for column in table.columns)


def _upsert(projection: Projection, source: str) -> str:
    """SQL that writes rows from `source` unless the row they meet is as new."""
    name, columns = projection.table.name, ", ".join(_columns(projection.table))
    assignments = ", ".join(f"{c} = excluded.{c}" for c in _columns(projection.table) if c != projection.key)
    incoming = ", ".join(f"excluded.{column}" for column in projection.order_columns)
    stored = ", ".join(f"{name}.{column}" for column in projection.order_columns)
    return (
        f"INSERT INTO {name} ({columns}) {source} "
        f"ON CONFLICT ({projection.key}) DO UPDATE SET {assignments} WHERE ({incoming}) > ({stored})"
    )


def _values(table: Table) -> str:
    return f"VALUES ({', '.join(f'${n}' for n in range(1, len(table.columns) + 1))})"


_COLUMNS = {projection.table.name: _columns(projection.table) for projection in PROJECTIONS.values()}
_UPSERTS = {p.table.name: _upsert(p, _values(p.table)) for p in PROJECTIONS.values()}
_UPSERT_STAGED_VMS = _upsert(PROJECTIONS["vms"], f"SELECT {', '.join(_COLUMNS['vms'])} FROM incoming_vms")  # noqa: S608
_EXCEPT = {"migrations": " AND NOT completed", "vms": " AND managed"}
