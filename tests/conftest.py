"""The servers every test may ask for: real ones, on this machine, gone afterwards.

Postgres is one server for the session, with a fresh database for each test; NATS a fresh server for each test, since
streams are its whole state and it starts in 50 ms.
"""

import logging
import os
import secrets
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from pydantic import SecretStr

from summit_projector import migrate
from summit_standalone.embedded.nats import embedded_nats
from summit_standalone.embedded.postgres import embedded_postgres

os.environ.setdefault("PGSSLMODE", "disable")
"""The servers of tests have no TLS. asyncpg asks for it at each connect, and a task that is cancelled in that moment
leaves an exception that nobody retrieves (asyncpg 0.32, TLSUpgradeProto): it failed whichever test was running."""

MEMORY = Path("/dev/shm")  # noqa: S108  each test's directory below it is its own
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 4 * 2**30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
"""Each test's servers make and remove hundreds of small files, on which a disk's file system spends more time than the
tests do."""

signal.signal(signal.SIGINT, signal.default_int_handler)
"""A shell that runs the tests in the background lets them ignore Ctrl-C, and what they start would ignore it, too."""


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Session-wide, so that the session's Postgres lives in the same event loop as the tests."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _log_of_one_test() -> Iterator[None]:
    """A command that runs in this process sends the log to its own stderr, which is closed when the test has ended."""
    yield
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if type(handler) is logging.StreamHandler:
            root.removeHandler(handler)


@pytest.fixture(scope="session")
async def postgres(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """URL of the session's Postgres server; tests want `database_url`."""
    async with embedded_postgres(tmp_path_factory.mktemp("postgres")) as url:
        yield url


@pytest.fixture(scope="session")
async def migrated(postgres: str) -> str:
    """Name of a database with empty tables; a copy of it is there in a sixth of the time that the migrations take."""
    await _execute(postgres, "CREATE DATABASE migrated")
    await migrate.upgrade(SecretStr(_database(postgres, "migrated")))
    return "migrated"


@pytest.fixture
async def database_url(postgres: str, migrated: str) -> AsyncIterator[str]:
    """URL of a database of its own, with the tables, which are empty."""
    async with _own_database(postgres, migrated) as url:
        yield url


@pytest.fixture
async def empty_database_url(postgres: str) -> AsyncIterator[str]:
    """URL of a database of its own, in which nothing is."""
    async with _own_database(postgres, "template1") as url:
        yield url


@pytest.fixture
async def nats_url(tmp_path: Path) -> AsyncIterator[str]:
    """URL of a NATS server with JetStream and no streams."""
    async with embedded_nats(tmp_path / "nats") as url:
        yield url


@asynccontextmanager
async def _own_database(postgres: str, template: str) -> AsyncIterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    await _execute(postgres, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield _database(postgres, name)
    await _execute(postgres, f"DROP DATABASE {name} WITH (FORCE)")


def _database(postgres: str, name: str) -> str:
    return urlsplit(postgres)._replace(path=f"/{name}").geturl()


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
