"""The checkpoint, and what moves with it in one transaction: rows, journal and dead letters."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import asyncpg
from pydantic import SecretStr

from summit_models.contract import Revision
from summit_models.epoch import EpochStart
from summit_models.event import source_of
from summit_models.subject import STREAM
from summit_projector.project import Batch, Entry, Epochs
from summit_projector.projections import PROJECTIONS, Row
from summit_projector.recovery.stream_identity import Position
from summit_projector.tables import upsert
from summit_projector.tables.journal import Journal
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

_CUT_DEAD_LETTERS = "DELETE FROM dead_letters WHERE revision > $1 AND dead_lettered_at >= $2"

# Rows have changed without an event: readers tell the two apart by the generation, or by applied_at.
_NEW_GENERATION = """
WITH touched AS (
    UPDATE checkpoint SET generation = generation + 1, applied_at = now() WHERE stream = $1 AND generation = $3
    RETURNING generation, revision
)
SELECT generation, pg_notify($2, revision::text) FROM touched
"""

_DEAD_LETTER = """
INSERT INTO dead_letters (revision, subject, reason, body, dead_lettered_at) VALUES ($1, $2, $3, $4, now())
ON CONFLICT (revision) DO UPDATE
SET subject = excluded.subject, reason = excluded.reason, body = excluded.body,
    dead_lettered_at = excluded.dead_lettered_at
"""

_UNSTORABLE_CLASSES = frozenset({"22", "23", "54"})
"""SQLSTATE classes that a value causes: data exception, integrity constraint, program limit (index row too large)."""


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
        self.journal = Journal(connection, history_months)
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
        """Make ready for `commit`."""
        await upsert.prepare(self._connection)
        await self.journal.prepare()

    async def position(self, stream_created_at: datetime) -> Position:
        """The checkpoint; at the very first start that of a stream of which nothing has been applied."""
        await self._connection.execute(_CREATE, STREAM, stream_created_at)
        *position, self._generation = await self._connection.fetchrow(_LOAD, STREAM)
        return Position(*position)

    async def epochs(self) -> Epochs:
        """The newest epoch of each cluster, by the source of its events."""
        rows = await self._connection.fetch("SELECT datacenter, name, epoch, revision FROM clusters")
        return {
            source_of(row["datacenter"], row["name"]): EpochStart(epoch=row["epoch"], revision=row["revision"])
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
                entries = await self._applied(batch.journal)
                months = await self.journal.make_partitions(entry.time for entry in entries)
                await upsert.write(self._connection, batch.rows)
                await self.journal.add(entries, position)
                if batch.dead_letters:  # without rows it is a round trip all the same
                    await self._connection.executemany(_DEAD_LETTER, batch.dead_letters)
        except asyncpg.PostgresError as error:
            if (error.sqlstate or "")[:2] in _UNSTORABLE_CLASSES:
                raise UnstorableError(f"the database refuses it: {error}") from error
            raise
        except (ValueError, OverflowError, TypeError) as error:  # asyncpg cannot encode a value
            raise UnstorableError(f"it has a value that Postgres cannot store: {error}") from error
        await self.journal.committed(months)
        return after

    async def _applied(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Leave out the events that the stored row is newer than: they change nothing, now or on the way."""
        stored = await upsert.stored_orders(self._connection, entries)
        return [entry for entry in entries if entry.order > stored.get((entry.collection, entry.key), ())]

    async def disown(self, position: Position, stream_created_at: datetime) -> Position:
        """Go to before the first event of another stream, keeping rows and making them older than any event."""
        after = Position(stream_created_at, Revision(0), None)
        async with self._connection.transaction():
            await self._advance(position, after)
            generation = await new_generation(self._connection, self._generation)
            for name in upsert.TABLES:
                await self._connection.execute(f"UPDATE {name} SET {upsert.OLDER_THAN_ANY}")  # noqa: S608
        self._generation = generation
        return after

    async def holds_rows(self) -> bool:
        """Whether the tables show anything: at revision 0 that is of another stream."""
        exists = " OR ".join(f"EXISTS (SELECT 1 FROM {name})" for name in upsert.TABLES)  # noqa: S608  names are our own
        return bool(await self._connection.fetchval(f"SELECT {exists}"))

    async def rewind(self, position: Position, common: Position) -> Position:
        """Go back to `common`: rows of later events become older than any event, and their history goes.

        Only the history of this stream: lines of one before it may have greater revisions.
        """
        async with self._connection.transaction():
            await self._advance(position, common)
            generation = await new_generation(self._connection, self._generation)
            for name in upsert.TABLES:
                await self._connection.execute(
                    f"UPDATE {name} SET {upsert.OLDER_THAN_ANY} WHERE revision > $1",  # noqa: S608
                    common.revision,
                )
            await self.journal.cut(common.revision, common.stream_created_at)
            await self._connection.execute(_CUT_DEAD_LETTERS, common.revision, common.stream_created_at)
        self._generation = generation
        return common

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Let readers see all that is done in the block at once, or nothing. After a failure the store is of no use."""
        async with self._connection.transaction():
            yield

    async def later_than(self, table: str, revision: Revision) -> Sequence[Mapping[str, Any]]:
        """Rows of events after `revision`."""
        statement = f"SELECT * FROM {table} WHERE revision > $1"  # noqa: S608
        return [dict(row) for row in await self._connection.fetch(statement, revision)]

    async def restore(self, rows: Mapping[str, list[Row]]) -> None:
        """Write rows that are from before the checkpoint."""
        async with self._connection.transaction():
            await upsert.write(self._connection, rows)

    async def sweep(self) -> int:
        """Remove the rows that the log does not confirm, but for those which outlive it, and tell how many."""
        unconfirmed = (
            (p.table.name, f"revision = 0 AND NOT ({p.outlives(p.table.name)})") for p in PROJECTIONS.values()
        )
        statuses = [
            await self._connection.execute(f"DELETE FROM {name} WHERE {condition}")  # noqa: S608  names are our own
            for name, condition in unconfirmed
        ]
        return sum(int(status.rsplit(maxsplit=1)[-1]) for status in statuses)

    async def count_dead_letters(self) -> int:
        return int(await self._connection.fetchval("SELECT count(*) FROM dead_letters"))

    async def ping(self) -> None:
        await self._connection.execute("SELECT 1")

    async def _advance(self, before: Position, after: Position) -> None:
        """Move the checkpoint if it still is where it was left. First in the transaction: its row is the turnstile."""
        values = (before.revision, after.revision, after.event_id, after.stream_created_at)
        notify = (database.REVISION_CHANNEL, self._generation)
        if await self._connection.fetchval(_ADVANCE, STREAM, *values, *notify) is None:
            raise CheckpointMovedError(f"the checkpoint is not where it was left, at revision {before.revision}")


async def new_generation(connection: asyncpg.Connection, generation: int) -> int:
    """Raise the generation of the tables, in the transaction that changes rows otherwise than by the next event.

    Raises CheckpointMovedError when another was here.
    """
    raised: int | None = await connection.fetchval(_NEW_GENERATION, STREAM, database.REVISION_CHANNEL, generation)
    if raised is None:
        raise CheckpointMovedError(f"the tables are no longer of generation {generation}")
    return raised
