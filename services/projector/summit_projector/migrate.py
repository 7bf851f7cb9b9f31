"""Bring the schema up to date: alembic's own revisions, run by the projector before it applies anything.

Works in the schema that `?search_path=` selects. `make revision` writes a new revision below `migrations/versions`.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from pydantic import SecretStr
from sqlalchemy import Connection

from summit_models.tables import SCHEMA_REVISION, newer_schema
from summit_runtime.postgres import database
from summit_runtime.process import FatalError

logger = logging.getLogger("summit.projector")

MIGRATIONS = Path(__file__).parent / "migrations"


async def upgrade(url: SecretStr) -> None:
    """Migrate to the newest revision, in one transaction under an advisory lock.

    Raises FatalError when the schema is newer than this program.
    """
    engine = database.engine(url, application="summit-migrate")
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade)
    except CommandError as error:
        raise FatalError(f"the database schema cannot be migrated: {error}") from error
    finally:
        await engine.dispose()
    logger.info("the database schema is up to date")


@asynccontextmanager
async def shadow_schema(live: asyncpg.Connection, purpose: str) -> AsyncIterator[str]:
    """An empty schema `<live schema>_<purpose>` while the block runs; one that a killed process has left is replaced.

    Raises asyncpg.InsufficientPrivilegeError when the user may not create schemas in the database.
    """
    shadow = f"{await live.fetchval('SELECT current_schema()')}_{purpose}"
    drop = f'SET client_min_messages = warning; DROP SCHEMA IF EXISTS "{shadow}" CASCADE'
    await live.execute(f'{drop}; CREATE SCHEMA "{shadow}"')
    try:
        yield shadow
    finally:
        if not live.is_closed():
            await live.execute(drop)


async def new_revision(url: SecretStr, message: str, *, into: Path = MIGRATIONS) -> str:
    """Write a revision with the difference between the present ones and `summit_models.tables`; returns its number.

    The present ones run in a schema of their own, which is dropped again.
    """

    def write(connection: Connection) -> None:
        command.revision(_config(connection, into), message, autogenerate=True, rev_id=number)

    number = f"{int(SCHEMA_REVISION) + 1:04}"
    live = await database.connect(url, application="summit-migrate")
    async with shadow_schema(live, "revision") as schema:
        scratch = database.in_schema(url, schema)
        await upgrade(scratch)
        engine = database.engine(scratch, application="summit-migrate")
        async with engine.begin() as connection:
            await connection.run_sync(write)
        await engine.dispose()
    await live.close()
    return number


def _upgrade(connection: Connection) -> None:
    if newer := newer_schema(MigrationContext.configure(connection).get_current_revision()):
        raise FatalError(newer)
    command.upgrade(_config(connection, MIGRATIONS), "head")


def _config(connection: Connection, migrations: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))  # `%` interpolates
    config.attributes["connection"] = connection
    return config
