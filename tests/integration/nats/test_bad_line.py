"""A line to NATS that is far away and slow: what is sent leaves room for what cannot wait."""

import asyncio
import time

from pydantic import SecretStr
from support.bad_line import bad_line
from support.nats_server import stored
from support.projecting import publisher

from summit_runtime import metrics
from summit_runtime.nats.connection import bus
from summit_runtime.nats.connection.bus import EventClient, NatsTimes
from summit_runtime.nats.publishing.publisher import Publisher, publishing

BODY = b" " + b"x" * 1400
EVENTS = 250
BYTES_PER_SECOND = 200_000
"""All events at once take two seconds."""
IMPATIENT = NatsTimes(answer_seconds=1.4)


async def publish(to: Publisher) -> None:
    for n in range(EVENTS):
        await to.publish(f"summit.vms.d.c.n.v{n % 7}", str(n).encode() + BODY, f"id-{n}")


async def slowest_ping(client: EventClient, during: asyncio.Task[None]) -> float:
    """The longest that an answer took while something else was sent."""
    slowest = 0.0
    while not during.done():
        asked_at = time.monotonic()
        await client.flush(timeout=10)
        slowest = max(slowest, time.monotonic() - asked_at)
        await asyncio.sleep(0.02)
    await during
    return slowest


async def test_a_slow_line_is_not_flooded_with_events(nats_url: str) -> None:
    """A thousand at once took so long that each was taken for lost, and sent again and again: 1500 VMs never came over
    a line of 60 kB/s. Other messages waited for all of them.
    """
    resent = metrics.RESENT._value.get()
    async with (
        publisher(nats_url) as reader,
        bad_line(nats_url, delay_seconds=0.05, bytes_per_second=BYTES_PER_SECOND) as line,
        bus.connected(SecretStr(line.url), name="test", times=IMPATIENT) as client,
        publishing(client) as writer,
    ):
        await publish(writer)
        pings = slowest_ping(client, asyncio.create_task(writer.flush()))
        assert await asyncio.wait_for(pings, 30) < 1
        assert await stored(reader) == list(range(EVENTS))
    assert metrics.RESENT._value.get() == resent
