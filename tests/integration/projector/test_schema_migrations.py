"""The schema: alembic's revisions make exactly the tables that the contract declares."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from pydantic import SecretStr
from sqlalchemy import Connection

from summit_models.tables import SCHEMA_REVISION, metadata
from summit_projector import migrate
from summit_runtime.postgres import database
from summit_runtime.process import FatalError


async def in_sync(url: str, question: Callable[[Connection], Any]) -> Any:
    engine = database.engine(SecretStr(url), application="test")
    async with engine.connect() as connection:
        answer = await connection.run_sync(question)
    await engine.dispose()
    return answer


async def test_migrated_schema_is_what_the_tables_declare(empty_database_url: str) -> None:
    """This finds a field without its migration, and the other way round."""
    await migrate.upgrade(SecretStr(empty_database_url))
    differences = await in_sync(empty_database_url, lambda c: compare_metadata(MigrationContext.configure(c), metadata))
    assert differences == []


async def test_schema_of_a_newer_version_is_one_sentence(empty_database_url: str) -> None:
    """An older projector must not touch tables it does not know."""
    await migrate.upgrade(SecretStr(empty_database_url))
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute("UPDATE alembic_version SET version_num = '9999'")
    await connection.close()
    with pytest.raises(FatalError, match=r"made by a newer version \(their schema is 9999.*start that version again"):
        await migrate.upgrade(SecretStr(empty_database_url))


async def test_a_revision_is_written_from_the_difference(empty_database_url: str, tmp_path: Path) -> None:
    """Any database serves for it, also an empty one, and nothing stays behind there."""
    shutil.copytree(migrate.MIGRATIONS, tmp_path / "migrations", ignore=shutil.ignore_patterns("__pycache__"))
    await migrate.new_revision(SecretStr(empty_database_url), "nothing new", into=tmp_path / "migrations")
    (written,) = (tmp_path / "migrations/versions").glob("*_nothing_new.py")
    assert f'down_revision = "{SCHEMA_REVISION}"' in written.read_text().replace("'", '"')
    connection = await asyncpg.connect(empty_database_url)
    assert (
        await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname LIKE current_schema() || '%'") == 0
    )
    await connection.close()
