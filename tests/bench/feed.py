"""The latency of the feed: from a watch line to a client that follows `/api/v1/events`."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from stack import DEADLINE_SECONDS, Stack
from support.program import UNLIMITED
from support.waiting import until

from summit_simulator.fleet.blast import LABEL, Blast


@asynccontextmanager
async def serving(running: Stack) -> AsyncIterator[aiohttp.ClientSession]:
    """Run an api while the block runs; gives a client of it that may do everything."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with (
        running.service("api", API_PORT=str(port), **UNLIMITED),
        aiohttp.ClientSession(f"http://127.0.0.1:{port}", timeout=aiohttp.ClientTimeout(total=None)) as session,
    ):
        await until(lambda: _readiness(session), lambda status: status == 200, seconds=DEADLINE_SECONDS)
        yield session


@asynccontextmanager
async def follow(session: aiohttp.ClientSession, **selection: str) -> AsyncIterator[aiohttp.StreamReader]:
    """Follow the feed as a browser does; gives its lines."""
    async with session.get("/api/v1/events", params=selection) as answer:
        await _line_with(answer.content, "event: bookmark")
        yield answer.content


async def feed_latencies(lines: aiohttp.StreamReader, blast: Blast, probes: int) -> list[float]:
    """Seconds from each change to the line of the feed that carries it, one change at a time."""
    now = asyncio.get_running_loop().time
    seen: list[float] = []
    for _ in range(probes):
        sent = now()
        blast.send(1)
        await _line_with(lines, f'"{LABEL}":"{blast.sent}"')
        seen.append(now() - sent)
    return seen


async def _line_with(lines: aiohttp.StreamReader, text: str) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while text.encode() not in await lines.readline():
            pass


async def _readiness(session: aiohttp.ClientSession) -> int:
    async with session.get("/readyz") as answer:
        return answer.status
