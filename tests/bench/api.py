"""The budgets of the HTTP API: the real process, on tables of a large fleet, beside its own SQL alone."""

import asyncio
import os
import signal
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import asyncpg
from fleet_rows import seed
from http_client import Connection, connections, evenly
from measure import Measure, p99, spread
from pydantic import SecretStr
from support.program import UNLIMITED
from support.waiting import until

from summit_api.access.principal import EVERYTHING
from summit_api.query import vms
from summit_api.query.vms import VmPageQuery
from summit_models.tables import vms as table
from summit_projector import migrate
from summit_standalone.embedded.nats import embedded_nats
from summit_standalone.embedded.postgres import embedded_postgres

SMALL_FLEET, LARGE_FLEET = 10_000, 100_000
REQUESTS_PER_SECOND = 200
SECONDS = 15
_GZIP = {"Accept_Encoding": "gzip"}
CONNECTIONS = 16
REPEATS = 15


async def measure_api(directory: Path) -> list[Measure]:
    async with embedded_nats(directory / "nats") as nats_url, embedded_postgres(directory / "postgres") as url:
        await migrate.upgrade(SecretStr(url))
        database = await asyncpg.connect(url)
        await seed(database, range(SMALL_FLEET))
        async with _api(directory, nats_url, url) as port:
            whole = await _whole_fleet(port, database)
        await seed(database, range(SMALL_FLEET, LARGE_FLEET))
        async with _api(directory, nats_url, url) as port:
            pages = await _pages(port, url)
            scrape = await _scrape(port)
        await database.close()
        return [*whole, *pages, *scrape]


async def _whole_fleet(port: int, database: asyncpg.Connection) -> list[Measure]:
    """GET /api/v1/datacenters of 10 000 VMs, and that it has not changed."""
    columns = ", ".join(column.name for column in table.columns)
    floor = [await _timed(lambda: database.fetch(f"SELECT {columns} FROM vms ORDER BY name, id")) for _ in range(5)]  # noqa: S608
    async with connections(port, 1) as (connection,):
        await connection.get("/api/v1/datacenters")
        full = [await _timed(lambda: connection.get("/api/v1/datacenters")) for _ in range(REPEATS)]
        packed = [await _timed(lambda: connection.get("/api/v1/datacenters", **_GZIP)) for _ in range(REPEATS)]
        same, size = await _unchanged(connection)
    remark = f"{spread(full)}; {size / 1e6:.1f} MB; floor, its rows by SQL alone: {1000 * min(floor):.1f}"
    return [
        Measure(
            "GET /api/v1/datacenters, 10 000 VMs, median", 1000 * statistics.median(full), "ms", 100, remark=remark
        ),
        Measure("  as gzip, median", 1000 * statistics.median(packed), "ms", 100, remark=spread(packed)),
        Measure("  unchanged: 304, median", 1000 * statistics.median(same), "ms", 5, remark=spread(same)),
    ]


async def _unchanged(connection: Connection) -> tuple[list[float], int]:
    """Seconds of answers 304, and the size of the body they save. Ages change every minute, and the tag with them."""
    taken: list[float] = []
    while len(taken) < 50:
        status, head, body = await connection.get("/api/v1/datacenters")
        assert status == 200, body
        tag, status, started = head.partition(b"etag: ")[2].partition(b"\r")[0].decode(), 304, 0.0
        while status == 304 and len(taken) < 50:
            started = time.perf_counter()
            status, _, _ = await connection.get("/api/v1/datacenters", If_None_Match=tag)
            taken += [time.perf_counter() - started] if status == 304 else []
    return taken, len(body)


async def _pages(port: int, url: str) -> list[Measure]:
    """GET /api/v1/vms?limit=100 of 100 000: each connection goes through the fleet page by page."""
    async with connections(port, CONNECTIONS) as opened:
        walks = [_walk(connection) for connection in opened]
        await evenly(walks, per_second=100, seconds=5)  # all connections are open, all statements prepared
        taken = await evenly(walks, per_second=REQUESTS_PER_SECOND, seconds=SECONDS)
    statement = await _floor(url)
    remark = f"{spread(taken)}; floor, its SQL alone: p99 {p99(statement):.1f}, {spread(statement)}"
    return [Measure("GET /api/v1/vms?limit=100, 100 000 VMs, 200/s, p99", p99(taken), "ms", 20, remark=remark)]


def _walk(connection: Connection) -> Callable[[], Awaitable[None]]:
    cursor = ""

    async def following() -> None:
        nonlocal cursor
        status, _, body = await connection.get(f"/api/v1/vms?limit=100{cursor}")
        if status != 200:
            raise AssertionError(body)
        found = body[-1000:].partition(b'"next":"')[2].partition(b'"')[0].decode()
        cursor = f"&cursor={found}" if found else ""

    return following


async def _scrape(port: int) -> list[Measure]:
    """GET /metrics/inventory of 100 000 VMs, and how long a small question waits beside it."""
    async with connections(port, 1) as (connection,):
        started, waits = time.perf_counter(), []
        scrape = asyncio.create_task(_compressed(port))
        while not scrape.done():
            waits.append(await _timed(lambda: connection.get("/livez")))
            await asyncio.sleep(0.005)
        taken, remark = time.perf_counter() - started, f"{scrape.result() / 1e6:.1f} MB as gzip"
    return [
        Measure("GET /metrics/inventory, 100 000 VMs", taken, "s", 10, remark=remark),
        Measure("  GET /livez meanwhile, p99", p99(waits), "ms", 50, remark=spread(waits)),
    ]


async def _compressed(port: int) -> int:
    """The size of a scrape as it is sent."""
    async with (
        aiohttp.ClientSession(f"http://127.0.0.1:{port}", auto_decompress=False) as session,
        session.get("/metrics/inventory", headers={"Accept-Encoding": "gzip"}) as answer,
    ):
        assert answer.status == 200, answer
        return sum([len(piece) async for piece in answer.content.iter_any()])


async def _floor(url: str) -> list[float]:
    """The statement of a first page at the same pace, through the driver alone."""
    query = VmPageQuery()
    (segment,) = query.order.segments(None)
    statement = vms.page_listing(query, EVERYTHING).statement(segment.conditions, segment.order_by, query.limit + 1)
    pool = await asyncpg.create_pool(url, min_size=5, max_size=5)

    async def ask() -> None:
        await pool.fetch(statement.sql, *statement.arguments)

    taken = await evenly([ask] * CONNECTIONS, per_second=REQUESTS_PER_SECOND, seconds=5)
    await pool.close()
    return taken


async def _timed(act: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await act()
    return time.perf_counter() - started


@asynccontextmanager
async def _api(directory: Path, nats_url: str, database_url: str) -> AsyncIterator[int]:
    """The api while the block runs; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    addresses = {"NATS_URL": nats_url, "DATABASE_URL": database_url, "API_PORT": str(port)}
    environment = os.environ | addresses | UNLIMITED | {"API_INVENTORY_SERIES": "1000000"}
    with (directory / "api.log").open("ab") as log:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "summit_api", env=environment, stdout=log, stderr=log
        )
    try:
        await until(lambda: _readiness(port), lambda status: status == 200)
        yield port
    finally:
        child.send_signal(signal.SIGTERM)
        await child.wait()


async def _readiness(port: int) -> int:
    async with connections(port, 1) as (connection,):
        status, _, _ = await connection.get("/readyz")
        return status
