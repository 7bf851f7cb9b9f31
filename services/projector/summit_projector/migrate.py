"""Bring the schema up to date: alembic's own revisions, run by the projector before it applies anything.

Works in the schema that `?search_path=` selects. `DATABASE_URL=… python -m summit_projector.migrate "add vms.host"`
writes a new revision below `migrations/versions`; the database is only where the present ones are tried.
"""

import asyncio
import logging
import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from pydantic import SecretStr
from sqlalchemy import Connection

from summit_models.tables import SCHEMA_REVISION
from summit_projector.recovery.shadow import shadow_schema
from summit_projector.settings import ProjectorSettings
from summit_runtime import database
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
        raise FatalError(f"the database schema cannot be migrated: {error}; is it newer than this version?") from error
    finally:
        await engine.dispose()
    logger.info("the database schema is up to date")


def _upgrade(connection: Connection) -> None:
    command.upgrade(_config(connection), "head")


async def new_revision(url: SecretStr, message: str) -> None:
    """Write a revision with the difference between those there are and `summit_models.tables`.

    They are tried in a schema of their own, which goes again.
    """
    number = f"{int(SCHEMA_REVISION) + 1:04}"
    live = await database.connect(url, application="summit-migrate")
    async with shadow_schema(live, "revision") as schema:
        scratch = database.in_schema(url, schema)
        await upgrade(scratch)
        engine = database.engine(scratch, application="summit-migrate")
        async with engine.begin() as connection:
            await connection.run_sync(lambda c: command.revision(_config(c), message, autogenerate=True, rev_id=number))
        await engine.dispose()
    await live.close()
    sys.stderr.write(f"set SCHEMA_REVISION = {number!r} in summit_models/tables.py\n")


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))  # `%` interpolates
    config.attributes["connection"] = connection
    return config


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("what does the revision do? python -m summit_projector.migrate 'add vms.host'")
    asyncio.run(new_revision(ProjectorSettings.from_environment().database_url, sys.argv[1]))
