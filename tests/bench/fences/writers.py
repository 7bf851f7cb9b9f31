"""Three ways to store the events of clusters: by today's publisher, and with fences that the server checks.

One message in the log holds the epoch of a cluster, and the server stores a fenced event only while that message is the
newest of its subject. So nothing of a stale epoch enters the log, and no reader would need to know of epochs.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from nats.js.api import Header

from summit_models.subject import ingest
from summit_runtime.nats.connection import bus
from summit_runtime.nats.connection.bus import EventClient
from summit_runtime.nats.publishing.append import store
from summit_runtime.nats.publishing.fair_queue import WINDOW_EVENTS
from summit_runtime.nats.publishing.fast_batch import Answer, Message
from summit_runtime.nats.publishing.publisher import Publisher, publishing

READERS, EACH, ATOMIC = "today's: readers check", "each event fenced", "atomic batches"
IN_FLIGHT, BATCH_EVENTS = 50, 1000
"""The server's limits: open atomic batches of a stream, of all its writers together, and events in one of them."""
DATACENTER = "dc"
ANSWER_SECONDS = 5.0

Fence = Mapping[str, str]
"""Headers: the subject that holds the epoch, and the revision at which it must be."""


class FencedClient(EventClient):
    """Adds the fence of its cluster to each event that it publishes."""

    fences: Mapping[str, Fence] = {}

    async def publish(
        self, subject: str, payload: bytes = b"", reply: str = "", headers: dict[str, Any] | None = None
    ) -> None:
        fence = self.fences.get(cluster_of(subject)) if headers else None
        await super().publish(subject, payload, reply, {**headers, **fence} if headers and fence else headers)


def cluster_of(subject: str) -> str:
    """`ingest.summit.<collection>.<datacenter>.<cluster>…`"""
    return subject.split(".", 5)[4] if subject.count(".") > 3 else ""


async def begin_epoch(client: EventClient, cluster: str, onto: int = 0) -> Fence:
    """Store the message that holds the epoch, onto the one before; events of the fence before are refused from then."""
    subject = f"summit.epochs.{DATACENTER}.{cluster}"
    headers = {Header.EXPECTED_LAST_SUBJECT_SEQUENCE: str(onto)}
    answer = await store(client, ingest(subject), b"-1", headers, ANSWER_SECONDS)
    return {
        Header.EXPECTED_LAST_SUBJECT_SEQUENCE: str(answer.seq),
        "Nats-Expected-Last-Subject-Sequence-Subject": subject,
    }


async def store_together(client: EventClient, events: Sequence[Message], fence: Fence) -> Answer:
    """Store all or none: several as an atomic batch, whose first message has the fence. Raises what `append` raises."""
    batch, last = uuid4().hex, len(events)
    for number, (subject, body, event_id) in enumerate(events, 1):
        headers: dict[str, str] = {Header.MSG_ID: event_id} | (dict(fence) if number == 1 else {})
        if last > 1:
            headers |= {Header.BATCH_ID: batch, Header.BATCH_SEQUENCE: str(number)}
        if number < last:
            await client.publish(subject, body, headers=headers)
    return await store(
        client, subject, body, headers | ({Header.BATCH_COMMIT: "1"} if last > 1 else {}), ANSWER_SECONDS
    )


class AtomicQueue:
    """The events of one cluster. What waits becomes one batch, and the next one begins when it is stored."""

    def __init__(self, client: EventClient, fence: Fence, slots: asyncio.Semaphore) -> None:
        self.stored = 0
        self._client, self._fence, self._slots = client, fence, slots
        self._room, self._waiting = asyncio.Semaphore(WINDOW_EVENTS), deque[Message]()
        self._sending: asyncio.Task[None] | None = None

    async def add(self, message: Message) -> None:
        await self._room.acquire()
        self._waiting.append(message)
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())

    async def flush(self) -> None:
        if self._sending:
            await asyncio.shield(self._sending)

    async def _send(self) -> None:
        while self._waiting:
            async with self._slots:
                events = [self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH_EVENTS))]
                await store_together(self._client, events, self._fence)
            self.stored += len(events)
            for _ in events:
                self._room.release()


class AtomicPublisher:
    """One atomic batch in flight for each cluster, and for all as many as the server takes."""

    def __init__(self, client: EventClient, fences: Mapping[str, Fence]) -> None:
        slots = asyncio.Semaphore(IN_FLIGHT)
        self._queues = {cluster: AtomicQueue(client, fence, slots) for cluster, fence in fences.items()}

    @property
    def published(self) -> int:
        return sum(queue.stored for queue in self._queues.values())

    async def publish(self, subject: str, body: bytes, event_id: str) -> None:
        message = Message(ingest(subject), body, event_id)
        await self._queues[cluster_of(message.subject)].add(message)

    def cluster_queue(self, _: str, cluster: str) -> AtomicQueue:
        return self._queues[cluster]


@asynccontextmanager
async def writing(url: str, way: str, clusters: Iterable[str]) -> AsyncIterator[Publisher | AtomicPublisher]:
    """What publishes in one of the three ways, once an epoch of each cluster has begun."""
    client = FencedClient()
    await client.dial(url, inbox_prefix=b"_INBOX_bench")
    try:
        fences = {cluster: await begin_epoch(client, cluster) for cluster in clusters}
        if way == ATOMIC:
            yield AtomicPublisher(client, fences)
        else:
            client.fences = fences if way == EACH else {}
            async with publishing(client) as publisher:
                yield publisher
    finally:
        await bus.close(client)
