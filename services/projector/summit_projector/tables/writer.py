"""The only writer of the tables: rows, journal and dead letters, in one transaction with the checkpoint."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import asyncpg
from pydantic import SecretStr

from summit_models.contract import Revision
from summit_models.event import REPETITIONS, EpochStart, source_of
from summit_projector.project import Batch, Entry, Epochs
from summit_projector.projections import PROJECTIONS, Row
from summit_projector.settings import ProjectorTimes
from summit_projector.tables import checkpoint as checkpoints
from summit_projector.tables import reader, upsert
from summit_projector.tables.checkpoint import Checkpoint
from summit_projector.tables.journal import Journal
from summit_runtime import tracing
from summit_runtime.postgres import database, session

_SESSION = """
-- What readers have seen stays. A commit that a crash of Postgres takes back would be applied again from the stream,
-- but until then VMs that somebody has seen are not there. It costs one wait for the disk per batch.
SET synchronous_commit = on;
-- A holder of the lock whose machine is gone is noticed within 11 s, so that another can take over.
SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3;
SET idle_in_transaction_session_timeout = '30s';
-- A statement whose client is gone holds no lock for ever.
SET client_connection_check_interval = '5s';
"""

# Advisory locks belong to the database, tables to a schema: the second number keeps schemas apart.
_TRY_LOCK = "SELECT pg_try_advisory_lock(hashtext('summit-projector'), hashtext(current_schema()))"

# Held by who applies events, and so asks something all the time. Who migrates or replays a stream may be silent longer.
_LOCK_APPLYING = "SELECT pg_advisory_lock(hashtext('summit-projector-applies'), hashtext(current_schema()))"

# It ends a session that waits for its client, also one of a machine that is gone: Postgres would need 11 s to notice.
# MATERIALIZED: else Postgres may call the function before it looks at the other conditions, and end all sessions.
# The function waits until the session, and with it the lock, is gone: a second at most.
_END_SILENT = """
WITH silent AS MATERIALIZED (
    SELECT pid FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND objsubid = 2  -- a lock of two numbers
      AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND classid = hashtext('summit-projector-applies')::oid AND objid = hashtext(current_schema())::oid
      AND state LIKE 'idle%' AND state_change < clock_timestamp() - make_interval(secs => $1)
)
SELECT count(*) FROM silent WHERE pg_terminate_backend(pid, 1000)
"""

_DEAD_LETTER = """
INSERT INTO dead_letters (revision, subject, reason, body, dead_lettered_at) VALUES ($1, $2, $3, $4, now())
ON CONFLICT (revision) DO UPDATE
SET subject = excluded.subject, reason = excluded.reason, body = excluded.body,
    dead_lettered_at = excluded.dead_lettered_at
"""
_CUT_DEAD_LETTERS = "DELETE FROM dead_letters WHERE revision > $1 AND dead_lettered_at >= $2"

_TRACES = "SELECT pg_notify($1, $2)"
"""With the commit, so that the api knows them when it reads what was committed. Nobody else keeps them."""
TRACES_OF_A_BATCH = 100
"""A notification has 8 000 bytes, and a trace 55 and its revision."""

_UNSTORABLE_CLASSES = frozenset({"22", "23", "54"})
"""SQLSTATE classes that a value causes: data exception, integrity constraint, program limit (index row too large)."""


_NO_ROW = upsert.Stored((), lives=False)
_ENDS = frozenset(projection.deleted for projection in PROJECTIONS.values() if projection.deleted)


class UnstorableError(Exception):
    """The database refuses a value of this batch, and would refuse it each time."""


@asynccontextmanager
async def open_writer(
    url: SecretStr, times: ProjectorTimes, *, history_months: int = 0
) -> AsyncIterator["TableWriter"]:
    """Connect. Raises OSError, TimeoutError or asyncpg.PostgresError when the server cannot be reached.

    Raises FatalError behind a pooler that does not keep the session, to which lock and temporary tables belong.
    """
    connection = await database.connect(url, application="summit-projector")
    try:
        await session.require(connection, url)
        await connection.execute(f"{_SESSION} SET lock_timeout = '{times.lock_seconds * 1000:.0f}ms'")
        yield TableWriter(connection, history_months)
    finally:
        connection.terminate()  # nothing is open that a polite goodbye would save


class TableWriter:
    """Writes over one connection. Call `try_lock`, migrate, then `prepare`, before anything else."""

    def __init__(self, connection: asyncpg.Connection, history_months: int) -> None:
        self._connection = connection
        self.journal = Journal(connection, history_months)
        self.generation = 0
        """Generation of the tables when they were last read or changed here."""

    async def try_lock(self) -> bool:
        """Become the only active projector of this schema, for as long as the connection lives."""
        return bool(await self._connection.fetchval(_TRY_LOCK))

    async def admit(self, user: str, password: SecretStr | None) -> None:
        """Let another user read the tables, as `reader.admit` does."""
        await reader.admit(self._connection, user, password.get_secret_value() if password else None)

    async def schema_revision(self) -> str | None:
        return await checkpoints.schema_revision(self._connection)

    async def prepare(self) -> None:
        """Make ready for `commit`."""
        await upsert.prepare(self._connection)
        await self.journal.prepare()

    async def checkpoint(self, stream_created_at: datetime) -> Checkpoint:
        """The checkpoint; at the very first start that of a stream of which nothing has been applied."""
        checkpoint, self.generation = await checkpoints.begin(self._connection, stream_created_at)
        return checkpoint

    async def epochs(self) -> Epochs:
        """The newest epoch of each cluster, by the source of its events; not of rows that are older than any event."""
        rows = await self._connection.fetch("SELECT datacenter, name, epoch, revision FROM clusters WHERE epoch >= 0")
        return {
            source_of(row["datacenter"], row["name"]): EpochStart(epoch=row["epoch"], revision=row["revision"])
            for row in rows
        }

    async def commit(self, batch: Batch, before: Checkpoint) -> Checkpoint:
        """Apply a batch that follows a checkpoint, in one transaction, and return the new checkpoint.

        Raises UnstorableError when the database refuses a value, and CheckpointMovedError when another projector was
        here. After any other error of asyncpg all of the batch has been applied, or nothing.
        """
        after = Checkpoint(before.stream_created_at, batch.revision, batch.event_id)
        try:
            async with self._connection.transaction():
                await checkpoints.advance(self._connection, before, after, self.generation)
                entries = await self._applied(batch.journal)
                months = await self.journal.make_partitions(entry.time for entry in entries)
                await upsert.write(self._connection, batch.rows)
                await self.journal.add(entries, before)
                if batch.traces and tracing.is_on():
                    await self._connection.execute(_TRACES, database.TRACE_CHANNEL, _traces(batch))
                if batch.dead_letters:  # without rows it is a round trip all the same
                    await self._connection.executemany(_DEAD_LETTER, batch.dead_letters)
        except asyncpg.PostgresError as error:
            if (error.sqlstate or "")[:2] in _UNSTORABLE_CLASSES:
                raise UnstorableError(f"the database refuses it: {error}") from error
            raise
        except (ValueError, OverflowError, TypeError) as error:  # asyncpg cannot encode a value
            raise UnstorableError(f"it has a value that Postgres cannot store: {error}") from error
        self.journal.committed(months)
        return after

    async def _applied(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Leave out the events that change nothing, now or on the way.

        The stored row is newer than they are, or they only repeat the state of a living object: the row is confirmed,
        and the history, which has that state, does not grow.
        """
        rows = await upsert.stored_rows(self._connection, entries)
        applied = []
        for entry in entries:
            identity = entry.collection, entry.identity
            row = rows.get(identity, _NO_ROW)
            if entry.order > row.order:
                rows[identity] = upsert.Stored(entry.order, entry.type not in _ENDS)
                if not (row.lives and entry.type in REPETITIONS):
                    applied.append(entry)
        return applied

    async def disown(self, before: Checkpoint, stream_created_at: datetime) -> Checkpoint:
        """Go to before the first event of another stream. Rows stay, and become older than any event."""
        after = Checkpoint(stream_created_at, Revision(0), None)
        async with self._other_rows(before, after):
            for name in upsert.TABLES:
                await self._connection.execute(f"UPDATE {name} SET {upsert.OLDER_THAN_ANY}")  # noqa: S608
        return after

    async def holds_rows(self) -> bool:
        """Whether the tables show anything: at revision 0 that is of another stream."""
        exists = " OR ".join(f"EXISTS (SELECT 1 FROM {name})" for name in upsert.TABLES)  # noqa: S608  names are our own
        return bool(await self._connection.fetchval(f"SELECT {exists}"))

    async def rewind(self, before: Checkpoint, common: Checkpoint) -> Checkpoint:
        """Go back to `common`. Rows of later events become older than any event; later entries are deleted.

        Entries and dead letters of earlier streams stay, also under greater revisions.
        """
        async with self._other_rows(before, common):
            for name in upsert.TABLES:
                await self._connection.execute(
                    f"UPDATE {name} SET {upsert.OLDER_THAN_ANY} WHERE revision > $1",  # noqa: S608
                    common.revision,
                )
            await self.journal.cut(common)
            await self._connection.execute(_CUT_DEAD_LETTERS, common.revision, common.stream_created_at)
        return common

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """Readers see all that is done in the block at once, or nothing. After a failure the writer is of no use."""
        async with self._connection.transaction():
            yield

    async def later_than(self, table: str, revision: Revision) -> Sequence[Mapping[str, Any]]:
        statement = f"SELECT * FROM {table} WHERE revision > $1"  # noqa: S608
        return [dict(row) for row in await self._connection.fetch(statement, revision)]

    async def unconfirmed(self, table: str) -> Sequence[Mapping[str, Any]]:
        """The rows that are older than any event."""
        return [dict(row) for row in await self._connection.fetch(f"SELECT * FROM {table} WHERE revision = 0")]  # noqa: S608

    async def restore(self, rows: Mapping[str, list[Row]]) -> None:
        """Write rows that are from before the checkpoint."""
        async with self._connection.transaction():
            await upsert.write(self._connection, rows)

    async def sweep(self) -> int:
        """Delete the rows that the stream does not confirm, but not those which outlive it; return how many."""
        statuses = [
            await self._connection.execute(
                f"DELETE FROM {p.table.name} WHERE revision = 0 AND NOT ({p.outlives(p.table.name)})"  # noqa: S608
            )
            for p in PROJECTIONS.values()
        ]
        return sum(int(status.rsplit(maxsplit=1)[-1]) for status in statuses)

    async def count_dead_letters(self) -> int:
        return int(await self._connection.fetchval("SELECT count(*) FROM dead_letters"))

    async def begin_applying(self) -> None:
        """From now on this session asks something all the time, and may be ended if it does not."""
        await self._connection.execute(_LOCK_APPLYING)

    async def end_silent(self, seconds: float) -> bool:
        """End the session of a projector that applies events and has asked nothing for so long; whether there was one.

        A process that stands still keeps its connection and with it the lock, and all others would wait for ever.
        """
        return bool(await self._connection.fetchval(_END_SILENT, seconds))

    async def ping(self) -> None:
        await self._connection.execute("SELECT 1")

    @asynccontextmanager
    async def _other_rows(self, before: Checkpoint, after: Checkpoint) -> AsyncIterator[None]:
        """A transaction that moves the checkpoint and changes rows in another way than by the next event."""
        async with self._connection.transaction():
            await checkpoints.advance(self._connection, before, after, self.generation)
            generation = await checkpoints.new_generation(self._connection, self.generation)
            yield
        self.generation = generation


def _traces(batch: Batch) -> str:
    return " ".join(f"{revision}:{traceparent}" for revision, traceparent in batch.traces[:TRACES_OF_A_BATCH])
