"""Reading the log from a server that is stopped, killed and started again."""

import asyncio
import logging
from pathlib import Path

import pytest
from pydantic import SecretStr
from support.waiting import until

from summit_models.subject import ingest
from summit_runtime.nats.connection import bus
from summit_runtime.nats.connection.bus import EventClient
from summit_runtime.nats.publishing.publisher import publishing
from summit_runtime.nats.streams.consumer import HEARTBEAT_SECONDS, consume, last_per_subject
from summit_runtime.nats.streams.stream import ensure_stream
from summit_standalone.embedded.child import Child
from summit_standalone.embedded.nats import embedded_nats

DEADLINE_SECONDS = 20.0


async def test_reading_goes_on_after_a_restart_without_gap_or_repetition(tmp_path: Path) -> None:
    """The ephemeral consumer is gone with the server; the reader creates another one after its last message."""
    async with embedded_nats(tmp_path / "nats") as url:
        port = int(url.rpartition(":")[2])
        client = await bus.connect(SecretStr(url), name="test")
        await ensure_stream(client)
        async with publishing(client) as publisher:
            for n in range(1500):
                await publisher.publish(f"summit.vms.d.c.n.v{n}", b"{}", f"first-{n}")
            await publisher.flush()
        reading = consume(client, after=0)
        consumer = await reading.__aenter__()
        first = await consumer.next_batch(limit=700)
    async with embedded_nats(tmp_path / "nats", port), publishing(client) as publisher:
        for n in range(10):
            await publisher.publish(f"summit.vms.d.c.n.v{n}", b"{}", f"second-{n}")
        sequences = [m.sequence for m in first]
        async with asyncio.timeout(DEADLINE_SECONDS):
            while sequences[-1] < 1510:
                sequences += [m.sequence for m in await consumer.next_batch()]
        await reading.__aexit__(None, None, None)
        await bus.close(client)
    assert sequences == list(range(1, 1511))


async def test_reading_goes_on_as_soon_as_a_killed_server_is_back(tmp_path: Path) -> None:
    """The reader does not wait for a heartbeat of a consumer that belonged to the former connection."""
    servers: list[Child] = []
    async with embedded_nats(tmp_path / "nats", report=servers.append) as url:
        client = await bus.connect(SecretStr(url), name="test")
        await ensure_stream(client)
        async with consume(client, after=0) as consumer, asyncio.timeout(DEADLINE_SECONDS):
            await consumer.open()
            reading = asyncio.create_task(consumer.next_batch())
            servers[-1].kill()
            while not client.stats["reconnects"]:  # noqa: ASYNC110  nats-py counts, it does not call
                await asyncio.sleep(0.01)
            await client.jetstream().publish(ingest("summit.vms.d.c.n.v"), b"{}")
            assert [m.sequence for m in await asyncio.wait_for(reading, HEARTBEAT_SECONDS)] == [1]
        await bus.close(client)


async def test_a_log_that_cannot_be_read_is_logged_once(nats_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """One more line follows when it can be read again. A server that is away must not fill the log."""
    caplog.set_level(logging.INFO, "summit.nats")
    client = await bus.connect(SecretStr(nats_url), name="test")
    async with consume(client, after=None) as consumer, asyncio.timeout(DEADLINE_SECONDS):
        reading = asyncio.create_task(consumer.next_batch())
        await until(lambda: consumer._backoff.attempt >= 3)  # nothing else shows a further attempt
        await ensure_stream(client)
        await client.jetstream().publish(ingest("summit.vms.d.c.n.v"), b"{}")
        assert [m.sequence for m in await reading] == [1]
    await bus.close(client)
    first, last = caplog.messages
    assert first.startswith("stream SUMMIT cannot be read (nats: NotFoundError")
    assert first.endswith("; trying again from the beginning on")
    assert last.startswith("stream SUMMIT is read again, after ")


async def test_a_snapshot_is_the_last_message_of_each_matching_subject(client: EventClient) -> None:
    """A starting watcher learns from it what was published before; it ends by itself, even when it is empty."""
    async with publishing(client) as publisher:
        for n in range(30):
            await publisher.publish(f"summit.vms.d.c{n % 2}.n.v{n % 10}", str(n).encode(), f"id-{n}")
        await publisher.flush()
    found = {m.subject: m.body async for m in last_per_subject(client, "summit.vms.d.c0.>")}
    assert found == {f"summit.vms.d.c0.n.v{n % 10}": str(n).encode() for n in (20, 22, 24, 26, 28)}
    assert [m async for m in last_per_subject(client, "summit.vms.nowhere.>")] == []
