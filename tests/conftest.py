"""The servers every test may ask for: real ones, on this machine, gone afterwards.

Postgres is one server for the session, with a fresh database for each test; NATS a fresh server for each test, since
streams are its whole state and it starts in 50 ms.
"""

import asyncio
import logging
import os
import secrets
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from pydantic import SecretStr
from support import postgres_server
from support.nats_cluster import NatsCluster, nats_cluster
from support.reader import PASSWORD, USER

from summit_projector import migrate
from summit_projector.tables import reader
from summit_runtime.waiting import end
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


def pytest_addoption(parser: pytest.Parser) -> None:
    """Other servers than the embedded ones: `make test-postgres` and `make test-nats-cluster` choose them."""
    parser.addoption(
        "--postgres",
        choices=("embedded", "pgbouncer"),
        default="embedded",
        help="pgbouncer: run the tests that need a database, and only these, on Debian's PostgreSQL behind PgBouncer",
    )
    parser.addoption(
        "--nats-cluster",
        choices=("calm", "storm"),
        help="run the tests that need NATS, and only these, on three servers; in a storm the leader keeps dying",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Name what is missing before anything is run, and let all that makes streams keep them on all servers."""
    if config.getoption("--postgres") == "pgbouncer" and (what := postgres_server.missing()):
        raise pytest.UsageError(what)
    if config.getoption("--nats-cluster"):
        os.environ["NATS_REPLICAS"] = "3"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the chosen servers have nothing to do with."""
    if config.getoption("--postgres") == "embedded":
        chosen = [item for item in items if not item.get_closest_marker("debian")]
    else:
        chosen = [item for item in items if item.get_closest_marker("debian") or _has_a_database(item)]
    if config.getoption("--nats-cluster"):  # not what starts and stops a server of its own
        chosen = [item for item in chosen if _uses(item, "nats_url", "calm_cluster")]
    if config.getoption("--nats-cluster") == "storm":
        chosen = [item for item in chosen if not item.get_closest_marker("calm")]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


def _has_a_database(item: pytest.Item) -> bool:
    return _uses(item, "database_url", "empty_database_url")


def _uses(item: pytest.Item, *fixtures: str) -> bool:
    return not set(fixtures).isdisjoint(getattr(item, "fixturenames", ()))


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
async def postgres(
    anyio_backend: str, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[str]:
    """URL of the session's Postgres server, without a pooler; tests want `database_url`."""
    is_embedded = pytestconfig.getoption("--postgres") == "embedded"
    server = embedded_postgres if is_embedded else postgres_server.debian_postgres
    async with server(tmp_path_factory.mktemp("postgres")) as url:
        template = await asyncpg.connect(_database(url, "template1"))  # each test's database has what it has
        await reader.admit(template, USER, PASSWORD)
        await template.close()
        yield url


@pytest.fixture(scope="session")
async def through_pooler(
    postgres: str, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Callable[[str], str]]:
    """How tests reach a database of the session's server: through PgBouncer, if they are to run behind it."""
    if pytestconfig.getoption("--postgres") == "embedded":
        yield lambda url: url
        return
    async with postgres_server.pgbouncer(tmp_path_factory.mktemp("pgbouncer"), postgres, "session") as url:
        port = urlsplit(url).port or 0
        yield lambda direct: postgres_server.through(direct, port)


@pytest.fixture(scope="session")
async def migrated(postgres: str) -> str:
    """Name of a database with empty tables; a copy of it is there in a sixth of the time that the migrations take."""
    await _execute(postgres, "CREATE DATABASE migrated")
    await migrate.upgrade(SecretStr(_database(postgres, "migrated")))
    return "migrated"


@pytest.fixture
async def database_url(postgres: str, migrated: str, through_pooler: Callable[[str], str]) -> AsyncIterator[str]:
    """URL of a database of its own, with the tables, which are empty."""
    async with _own_database(postgres, migrated) as url:
        yield through_pooler(url)


@pytest.fixture
async def empty_database_url(postgres: str, through_pooler: Callable[[str], str]) -> AsyncIterator[str]:
    """URL of a database of its own, in which nothing is."""
    async with _own_database(postgres, "template1") as url:
        yield through_pooler(url)


@pytest.fixture
async def nats_url(nats_servers: NatsCluster | None, tmp_path: Path) -> AsyncIterator[str]:
    """URL of a NATS server with JetStream and no streams, or with --nats-cluster of three, for an administrator.

    Whatever a test does, no service may try what its role does not permit.
    """
    if nats_servers is None:
        async with embedded_nats(tmp_path / "nats") as url:
            yield url
        assert [line for line in (tmp_path / "nats/nats.log").read_text().splitlines() if "Violation" in line] == []
    else:
        await nats_servers.remove_streams()
        yield nats_servers.url


@pytest.fixture(scope="session")
async def nats_servers(
    request: pytest.FixtureRequest, anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[NatsCluster | None]:
    """With --nats-cluster the servers of the session; in a storm the leader of the log dies every few seconds."""
    weather = request.config.getoption("--nats-cluster")
    if weather is None:
        yield None
        return
    async with nats_cluster(tmp_path_factory.mktemp("nats-cluster")) as cluster:
        if weather == "calm":
            yield cluster
            return
        storm = asyncio.create_task(cluster.lose_leaders())
        yield cluster
        await end(storm)
        assert cluster.lost_leaders, "no leader was lost: these tests have shown nothing"


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
