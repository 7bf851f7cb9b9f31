"""Reads that are broken off while Postgres stands still, or is gone without a sign: who reads next sees the tables."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

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
