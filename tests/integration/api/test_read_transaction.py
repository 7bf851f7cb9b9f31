"""Reads that are broken off while Postgres stands still, or is gone without a sign: who reads next sees the tables."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest
from pydantic import SecretStr
from support.api_stack import Stack, api_stack
from support.published import vm_event
from support.tcp_proxy import tcp_proxy

from summit_api.query.transaction.errors import DatabaseUnavailableError
from summit_api.query.transaction.read_transaction import ReadModels
from summit_runtime.waiting import end


@pytest.fixture
async def stack(database_url: str) -> AsyncIterator[Stack]:
    """The api over empty tables."""
    async with api_stack(database_url) as stack:
        yield stack


@pytest.fixture
async def read_models(stack: Stack, database_url: str) -> AsyncIterator[ReadModels]:
    """A pool of connections of its own, of which one read after the other uses the same."""
    read_models = ReadModels(SecretStr(database_url))
    yield read_models
    await read_models.close()


@pytest.mark.parametrize("moment", ["in a query", "at the end"])
async def test_a_read_that_is_broken_off_leaves_no_old_picture_in_the_pool(
    stack: Stack, read_models: ReadModels, moment: str
) -> None:
    """Cancelled again and again, as the feed of a client that has gone is: the next read sees the newest revision."""
    await stack.apply(vm_event("a"))
    stopped = asyncio.get_running_loop().create_future()

    async def read() -> None:
        async with read_models.transaction() as transaction:
            ((pid,),) = await transaction.fetch("SELECT pg_backend_pid()")
            os.kill(pid, signal.SIGSTOP)
            stopped.set_result(pid)
            if moment == "in a query":
                await transaction.fetch("SELECT 1")

    reading = asyncio.create_task(read())
    pid = await stopped
    await asyncio.sleep(0)  # it waits for Postgres now
    await end(reading)
    os.kill(pid, signal.SIGCONT)
    await stack.apply(vm_event("b"))
    for _ in range(10):  # whichever connection of the pool
        async with read_models.transaction() as transaction:
            assert transaction.revision == 2


async def test_pool_whose_server_is_gone_without_a_sign_costs_one_read(stack: Stack, database_url: str) -> None:
    """Each of its connections took half a minute from a request, and a minute each from the feed."""
    await stack.apply(vm_event("a"))
    async with tcp_proxy(database_url) as proxy:
        read_models = ReadModels(SecretStr(proxy.url), query_seconds=0.5)

        async def read() -> int:
            async with read_models.transaction() as transaction:
                ((slept,),) = await transaction.fetch("SELECT 1 FROM pg_sleep(0.1)")
                return int(slept)

        await asyncio.gather(*(read() for _ in range(10)))
        assert proxy.connections == 10
        proxy.swallows_first = proxy.connections
        with pytest.raises(DatabaseUnavailableError):
            await read()
        for _ in range(10):
            await read()
        await read_models.close()


async def test_table_that_the_user_may_not_read_fails_what_needs_it_and_not_the_process(
    stack: Stack, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The feed ended every api, again at each start, until somebody granted the right to a table of an upgrade."""
    connection = await asyncpg.connect(database_url)
    schema = await connection.fetchval("SELECT current_schema()")
    user = f"reader_of_{schema}"
    await connection.execute(f"CREATE ROLE {user} LOGIN PASSWORD 'r'")
    await connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO {user}")
    await connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {user}")
    await connection.execute(f"REVOKE SELECT ON operations FROM {user}")  # noqa: S608  our own name
    parts = urlsplit(database_url)
    url = parts._replace(netloc=f"{user}:r@{parts.netloc.rpartition('@')[2]}").geturl()
    read_models = ReadModels(SecretStr(url))
    try:
        for _ in range(2):
            async with read_models.transaction() as transaction:
                await transaction.fetch("SELECT FROM vms")
            with pytest.raises(DatabaseUnavailableError, match="refuses"):
                async with read_models.transaction() as transaction:
                    await transaction.fetch("SELECT FROM operations")
    finally:
        await read_models.close()
        await connection.execute(f"DROP OWNED BY {user}; DROP ROLE {user}")
        await connection.close()
    (line,) = (record.message for record in caplog.records if "permission denied" in record.message)
    assert line == "Postgres reports: permission denied for table operations; what needs it is answered with 503"


async def test_option_that_is_no_setting_of_the_server_is_named(
    stack: Stack, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It ended the api as an unforeseen failure."""
    read_models = ReadModels(SecretStr(f"{database_url}{'&' if '?' in database_url else '?'}conect_timeout=10"))
    with pytest.raises(DatabaseUnavailableError):
        async with read_models.transaction():
            pass
    assert 'unrecognized configuration parameter "conect_timeout"' in caplog.text
