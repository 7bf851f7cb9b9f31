"""datacenters.yaml in a running watcher: a file that cannot be used changes nothing, and the log reports it."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from support.waiting import until
from support.watched import configure

from summit_runtime.watched_files import FileTimes
from summit_watcher.config.datacenters import Configuration
from summit_watcher.settings import WatcherTimes
from summit_watcher.supervisor import configurations

EAGER = WatcherTimes(files=FileTimes(0.01, 0.01, 0.05), credentials_seconds=0.05)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[str], bool]:
    """Whether a log line contains a text."""
    return lambda text: text in caplog.text


@asynccontextmanager
async def next_one(read: AsyncGenerator[Configuration]) -> AsyncIterator[asyncio.Task[Configuration]]:
    """Wait for the next configuration during the block."""
    task = asyncio.ensure_future(anext(read))
    yield task
    async with asyncio.timeout(20):
        await task


async def test_a_file_that_declares_no_datacenter_is_logged_and_changes_nothing(
    tmp_path: Path, logged: Callable[[str], bool]
) -> None:
    """Half a saved file looks like this; the watcher continues with what it had."""
    path = configure(tmp_path, {})
    async with aclosing(configurations(path, EAGER)) as read:
        assert len((await anext(read)).datacenters) == 1
        async with next_one(read) as following:
            path.write_text("datacenters: []\n")
            await until(lambda: logged("declares no datacenter"))
            await until(lambda: logged("the former configuration stays in use"))
            assert not following.done()
            configure(tmp_path, {}, datacenter="dc-uppsala")


async def test_a_file_system_that_is_away_holds_up_no_other_work(tmp_path: Path, logged: Callable[[str], bool]) -> None:
    """A pipe without a writer stands for it: the event loop goes on, and the file is used when it can be read."""
    path = tmp_path / "datacenters.yaml"
    os.mkfifo(path)
    async with aclosing(configurations(path, EAGER)) as read:
        async with next_one(read):
            await until(lambda: logged("cannot be read within 0.05 s"))
            writer = os.open(path, os.O_RDWR | os.O_NONBLOCK)
            (tmp_path / "other").write_text("datacenters: [{id: dc-solna}]")
            (tmp_path / "other").rename(path)
            os.close(writer)
        assert logged("can be read again")
