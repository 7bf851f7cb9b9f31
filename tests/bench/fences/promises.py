"""What is promised of events today, asked of atomic batches with a fence: refusals, repetitions, deaths, zombies."""

import asyncio
import operator
import os
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path

from fences.writers import ANSWER_SECONDS, DATACENTER, IN_FLIGHT, Fence, begin_epoch, store_together
from measure import Measure
from nats.js.api import Header
from pydantic import SecretStr
from support.nats_server import nats_server, stored
from support.waiting import until

from summit_models.subject import STREAM, ingest
from summit_runtime.nats.connection import bus
from summit_runtime.nats.connection.bus import EventClient
from summit_runtime.nats.publishing.append import ConflictError, NotStoredError, store
from summit_runtime.nats.publishing.fast_batch import Message
from summit_runtime.nats.streams.stream import MAX_EVENT_BYTES, ensure_stream, stream_state
from summit_standalone.embedded.child import Child

EVENTS, BATCH = 20_000, 400
DEATHS = 3
CUT_BYTES = 700
"""About half of a batch of ten small events."""
_SUBJECT = f"summit.vms.{DATACENTER}.c.n"
_USER = (
    "authorization { users: [ { user: few, password: p, permissions: "
    f'{{ publish: {{ deny: ["{ingest(f"{_SUBJECT}.denied")}"] }} }} }} ] }}'
)


async def measure_promises(directory: Path) -> list[Measure]:
    async with served(directory / "lasting") as (url, client, server):
        fence = await begin_epoch(client, "c")
        found = [
            await _deaths(client, server, fence),
            await _others(client, fence, "an id that is in it twice", _events("a", "b", "b")),
            await _others(client, fence, "an event that the log has already", _events("0", "c", "d")),
            await _others(client, fence, "an event that is too large", _events("e", "f", size=MAX_EVENT_BYTES)),
            await _others(client, fence, "an event that may not be published", _events("g", "denied", "h")),
            await _abandoned(client, url, fence),
            await _zombie(client, fence),
        ]
    return [*found, await _power(directory / "cut")]


@asynccontextmanager
async def served(directory: Path) -> AsyncIterator[tuple[SecretStr, EventClient, Child]]:
    """A server with our stream, and a user who may not publish one event."""
    async with nats_server(directory, more=_USER) as (address, server):
        url = SecretStr(f"nats://few:p@{address}")
        async with bus.connected(url, name="bench") as client:
            await ensure_stream(client)
            yield url, client, server


async def _power(directory: Path) -> Measure:
    """The end of a confirmed batch is lost, as with the power, and it is sent again as it was."""
    batch = _events(*map(str, range(10)))
    async with served(directory) as (_, client, _):
        fence = await begin_epoch(client, "c")
        await store_together(client, batch, fence)
    _cut(directory)
    async with served(directory) as (_, client, _):
        with suppress(ConflictError):
            await store_together(client, batch, fence)
        missing = 1 + len(batch) - (await stream_state(client)).last_sequence
    return Measure("events lost of a batch of 10 that the power cut", missing, "events", 0)


def _cut(directory: Path) -> None:
    """Take the end of the log, as a loss of power does."""
    for file in directory.glob(f"jetstream/**/streams/{STREAM}/msgs/*"):
        if file.suffix == ".blk":
            os.truncate(file, file.stat().st_size - CUT_BYTES)
        else:
            file.unlink()  # an index that knows more than the blocks have


async def _deaths(client: EventClient, server: Child, fence: Fence) -> Measure:
    """The server is killed again and again. A batch without an answer is sent again as it was."""
    writing = asyncio.create_task(_write(client, fence))
    for death in range(1, DEATHS + 1):
        await until(
            lambda: stream_state(client), lambda state, at=death: state.last_sequence > at * EVENTS / (DEATHS + 1)
        )
        os.kill(server.pid or 0, signal.SIGKILL)
        await until(lambda: client.is_connected, operator.not_)
        await until(lambda: client.is_connected)
    await writing
    numbers = (await stored(client))[1:]
    wrong = len(set(range(EVENTS)) ^ set(numbers)) + sum(before >= after for before, after in pairwise(numbers))
    return Measure(f"events lost, doubled or overtaken, {DEATHS} deaths of the server", wrong, "events", 0)


async def _write(client: EventClient, fence: Fence) -> None:
    for first in range(0, EVENTS, BATCH):
        batch = _events(*map(str, range(first, first + BATCH)))
        while True:
            try:
                await store_together(client, batch, fence)
            except NotStoredError:
                await asyncio.sleep(0.05)
                continue
            except ConflictError:  # it is stored, and the answer was lost
                pass
            break


async def _others(client: EventClient, fence: Fence, what: str, batch: Sequence[Message]) -> Measure:
    """How many of the two events are stored that nothing is wrong with."""
    before, refusal = (await stream_state(client)).last_sequence, ""
    try:
        await store_together(client, batch, fence)
    except (ConflictError, NotStoredError) as error:
        refusal = str(error)
    count = (await stream_state(client)).last_sequence - before
    return Measure(f"others stored with {what}", count, "events", 2, at_least=True, remark=refusal)


async def _abandoned(client: EventClient, url: SecretStr, fence: Fence) -> Measure:
    """A watcher is killed within batches of 50 clusters: when the next watcher's first batch is stored."""
    async with bus.connected(url, name="killed") as killed:
        for number in range(IN_FLIGHT):
            headers: dict[str, str] = {Header.BATCH_ID: f"left-{number}", Header.BATCH_SEQUENCE: "1"}
            with suppress(NotStoredError):  # others are left of the batches before
                await store(killed, ingest(f"{_SUBJECT}.v"), b"0", headers, ANSWER_SECONDS)
    started = time.monotonic()
    while True:
        try:
            await store_together(client, _events("i", "j"), fence)
        except NotStoredError:
            await asyncio.sleep(0.05)
        else:
            break
    return Measure("first batch after a watcher was killed within 50", time.monotonic() - started, "s", 5.0)


async def _zombie(client: EventClient, fence: Fence) -> Measure:
    """What is stored of an epoch after the next one has begun."""
    await begin_epoch(client, "c", int(fence[Header.EXPECTED_LAST_SUBJECT_SEQUENCE]))
    before = (await stream_state(client)).last_sequence
    for batch in (_events("k"), _events("l", "m")):
        try:
            await store_together(client, batch, fence)
        except ConflictError:
            continue
    count = (await stream_state(client)).last_sequence - before
    return Measure("events of a stale epoch that are stored", count, "events", 0)


def _events(*names: str, size: int = 0) -> list[Message]:
    """Events with these names as ids and bodies, and a large one in between."""
    large = [Message(ingest(f"{_SUBJECT}.large"), bytes(size), "large")] if size else []
    first, *others = [Message(ingest(f"{_SUBJECT}.{name}"), name.encode(), name) for name in names]
    return [first, *large, *others]
