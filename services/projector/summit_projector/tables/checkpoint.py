"""The checkpoint: how far which stream has been applied. All that changes the tables moves its row first.

So the row is a turnstile: of two writers the second one waits there, and then sees that it is too late.
"""

from datetime import datetime
from typing import NamedTuple

import asyncpg

from summit_models.contract import Revision
from summit_models.subject import STREAM
from summit_runtime.postgres import database

_CREATE = """
WITH begun AS (
    INSERT INTO checkpoint (stream, revision, generation, stream_created_at, event_id, applied_at)
    VALUES ($1, 0, 0, $2, NULL, now()) ON CONFLICT (stream) DO NOTHING
    RETURNING revision
)
SELECT pg_notify($3, revision::text) FROM begun
"""
_READ = "SELECT stream_created_at, revision, event_id, generation FROM checkpoint WHERE stream = $1"
_ADVANCE = """
WITH advanced AS (
    UPDATE checkpoint SET revision = $3, event_id = $4, stream_created_at = $5, applied_at = now()
    WHERE stream = $1 AND revision = $2 AND generation = $7
    RETURNING revision
)
SELECT revision, pg_notify($6, revision::text) FROM advanced
"""
# Rows have changed without an event: readers notice it by the generation, or by applied_at.
_NEW_GENERATION = """
WITH touched AS (
    UPDATE checkpoint SET generation = generation + 1, applied_at = now() WHERE stream = $1 AND generation = $3
    RETURNING generation, revision
)
SELECT generation, pg_notify($2, revision::text) FROM touched
"""


class Checkpoint(NamedTuple):
    """How far which stream has been applied, and the id of the event found there."""

    stream_created_at: datetime
    revision: Revision
    event_id: str | None


class CheckpointMovedError(Exception):
    """Another projector, or a rebuild, has moved the checkpoint: this one must start again from where it is now."""


async def begin(connection: asyncpg.Connection, stream_created_at: datetime) -> tuple[Checkpoint, int]:
    """The checkpoint and the generation of the tables; at the very first start nothing of this stream is applied.

    Readers that wait for the first start are notified.
    """
    await connection.execute(_CREATE, STREAM, stream_created_at, database.REVISION_CHANNEL)
    return _parts(await connection.fetchrow(_READ, STREAM))


async def read(connection: asyncpg.Connection, *, hold: bool = False) -> tuple[Checkpoint, int] | None:
    """The same, if there is a checkpoint; with `hold` nobody moves it before the transaction ends."""
    row = await connection.fetchrow(_READ + (" FOR UPDATE" if hold else ""), STREAM)
    return row and _parts(row)


async def advance(connection: asyncpg.Connection, before: Checkpoint, after: Checkpoint, generation: int) -> None:
    """Move the checkpoint, first in a transaction, and notify readers at its end.

    Raises CheckpointMovedError when it is not where it was left, or the tables are of another generation.
    """
    values = (before.revision, after.revision, after.event_id, after.stream_created_at)
    if await connection.fetchval(_ADVANCE, STREAM, *values, database.REVISION_CHANNEL, generation) is None:
        raise CheckpointMovedError(f"the checkpoint is not where it was left, at revision {before.revision}")


async def new_generation(connection: asyncpg.Connection, generation: int) -> int:
    """Raise the generation of the tables, in a transaction that changes rows in another way than by the next event.

    Raises CheckpointMovedError when somebody else has raised it.
    """
    raised: int | None = await connection.fetchval(_NEW_GENERATION, STREAM, database.REVISION_CHANNEL, generation)
    if raised is None:
        raise CheckpointMovedError(f"the tables are no longer of generation {generation}")
    return raised


async def schema_revision(connection: asyncpg.Connection) -> str | None:
    """The revision of the schema that alembic has noted; None when there is no schema yet."""
    if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
        return None
    revision: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    return revision


def _parts(row: asyncpg.Record) -> tuple[Checkpoint, int]:
    *checkpoint, generation = row
    return Checkpoint(*checkpoint), generation
