"""Behind PgBouncer: in session mode all works, with its time limits; in transaction mode nothing starts."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from support.postgres_server import pgbouncer

from summit_api.query.transaction.errors import QueryTooLongError
from summit_api.query.transaction.read_transaction import ReadModels
from summit_runtime.postgres import database, session

pytestmark = pytest.mark.debian


@pytest.fixture
async def transaction_mode(postgres: str, migrated: str, tmp_path: Path) -> AsyncIterator[str]:
    """URL of tables through a pooler that gives each transaction another session."""
    async with pgbouncer(tmp_path, postgres.replace("/postgres", f"/{migrated}"), "transaction") as url:
        yield url


async def test_sessions_are_kept_in_session_mode(database_url: str) -> None:
    """Also while others work; nothing is refused."""
    url = SecretStr(database_url)
    first, second = [await database.connect(url, application="test") for _ in range(2)]
    for connection in (first, second):
        await session.require(connection, url)
        await connection.close()


async def test_time_limit_of_a_query_counts(database_url: str) -> None:
    """PgBouncer refused a session that asked for it at its start, and the api answered 503 for ever."""
    read_models = ReadModels(SecretStr(database_url), query_seconds=0.2)
    with pytest.raises(QueryTooLongError):
        async with read_models.transaction() as transaction:
            await transaction.fetch("SELECT pg_sleep(5)")
    await read_models.close()


@pytest.mark.parametrize("service", ["projector", "api"])
async def test_services_do_not_start_in_transaction_mode(nats_url: str, transaction_mode: str, service: str) -> None:
    """They looked fine, and failed at random once two connections worked at the same time."""
    urls = {"NATS_URL": nats_url, "DATABASE_URL": transaction_mode, "API_PORT": "0"}
    ended = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"summit_{service}", env=os.environ | urls, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(20):
        _, log = await ended.communicate()
    assert ended.returncode == 1
    assert "set pool_mode = session for this database, or connect to Postgres itself\n" in log.decode()
    assert b"Traceback" not in log


async def test_full_pool_is_no_sign_of_transaction_mode(postgres: str, tmp_path: Path) -> None:
    """The other connection waits for a session."""
    async with pgbouncer(tmp_path, postgres, "session", pool_size=1) as url:
        connection = await database.connect(SecretStr(url), application="test")
        await session.require(connection, SecretStr(url))
        await connection.close()
