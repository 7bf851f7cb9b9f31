"""The embedded NATS is supervised for what it does: it stores again when there is room again.

A limit on the size of the server's files makes its writes fail, as a full disk does.
"""

import asyncio
import os
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr
from support.nats_server import stored
from support.waiting import until

from summit_runtime.nats.connection import bus
from summit_runtime.nats.connection.bus import EventClient
from summit_runtime.nats.publishing.publisher import Publisher, publishing
from summit_runtime.nats.streams.stream import ensure_stream
from summit_standalone.embedded.child import Child
from summit_standalone.embedded.nats import embedded_nats
from summit_standalone.embedded.storing import Storing

QUICK = Storing(look_seconds=0.05, patience_seconds=0.5)
EVENTS = 20


@asynccontextmanager
async def served(directory: Path, rules: Storing) -> AsyncIterator[tuple[Child, EventClient, Publisher]]:
    """A server that has stored an event, and a publisher to it."""
    times = replace(bus.TIMES, answer_seconds=0.5)
    servers: list[Child] = []
    async with embedded_nats(directory, report=servers.append, storing=rules) as url:  # noqa: SIM117  one needs the other
        async with bus.connected(SecretStr(url), name="test", times=times) as client, publishing(client) as publisher:
            await ensure_stream(client)
            await publish(publisher, 0)
            await publisher.flush()
            yield servers[-1], client, publisher


async def publish(publisher: Publisher, number: int) -> None:
    body = f"{number} ".encode() + os.urandom(2000)
    await publisher.publish("summit.vms.d.c.n.v", body, f"id-{number}")


def limit_files(server: Child, size: int) -> None:
    assert server.pid
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


async def test_nats_stores_again_after_a_full_disk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It would stay stuck though there is room. After the restart all events are in the log, in their order."""
    async with served(tmp_path / "nats", QUICK) as (server, client, publisher):
        first = server.pid
        limit_files(server, 8192)
        for number in range(1, EVENTS):
            await publish(publisher, number)
        async with asyncio.timeout(30):
            await publisher.flush()
        assert server.pid not in (None, first)
        assert await stored(client) == list(range(EVENTS))
        await until(lambda: "NATS stores events again, after" in caplog.text)
    assert caplog.text.count("though its disk has room: it is restarted") == 1


async def test_nats_is_not_restarted_while_its_disk_is_full(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """That would help nobody. The log names the directory, the reason and the remedy, once."""
    async with served(tmp_path / "nats", replace(QUICK, room_bytes=1 << 60)) as (server, _, publisher):
        limit_files(server, 8192)
        for number in range(1, EVENTS):
            await publish(publisher, number)
        await until(lambda: f"make room on the disk of {tmp_path / 'nats'}; until then changes wait" in caplog.text)
        assert server.restarts == 0
    assert caplog.text.count("make room") == 1
    assert "write error" in caplog.text


async def test_a_server_that_stores_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Looks have no effect on it, also while it is restarted for another reason."""
    async with served(tmp_path / "nats", replace(QUICK, look_seconds=0.01, patience_seconds=0.0)) as (server, *_):
        server.kill()
        await until(lambda: server.restarts == 1)
        await until(lambda: (tmp_path / "nats" / "nats.log").read_text().count("Server is ready") == 2)
    assert "does not store" not in caplog.text
