"""Publishing to the log: nothing is forgotten before the server has it, and no two events change places.

All events stand in one queue. What waits is sent as one batch (see fast_batch), and the next batch when that one is
answered: so batches are long when events come fast, and a lone event is a batch of one, acknowledged within a
millisecond. There is no second way to publish, hence nothing to keep in order between two; and since every batch ends
with its last message, none is ever left open.

After any failure (refused, no answer, connection lost) a new batch begins with the oldest unacknowledged event, under
the same `Nats-Msg-Id`. Whatever was sent before may still arrive, even between the new messages: nats-py sends what it
had buffered after a reconnect. That does no harm. Each try is a run of the same sequence that begins where nothing
before it is missing and of which the server takes a prefix; whichever stores an event has passed all earlier ones, and
the second to come is a duplicate. It holds as long as a try is not older than the stream's duplicate window.

Since a batch that begins with a duplicate is over, the first after a failure has one event, and each that succeeds
doubles the next. (nats-py's own `publish_async` hangs for ever on an error, #985.)
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from summit_models.event import ingest
from summit_runtime.backoff import Backoff
from summit_runtime.fast_batch import MAX_MESSAGES, FastBatch, Message, Outcome

logger = logging.getLogger("summit.nats")

WINDOW_EVENTS = 2048
"""Four batches: while one is on its way the callers fill the next. Bounds the memory, at ~1.3 KB an event to 3 MB."""
ANSWER_TIMEOUT_SECONDS = 5.0
LOOK_SECONDS = 0.1
"""How soon a lost connection, and its return, are seen while an answer is awaited."""


@dataclass
class Publisher:
    """Publishes events of any number of clusters over one connection. Made by `publishing`."""

    client: Client
    inbox: str = field(init=False)
    _queue: deque[Message] = field(default_factory=deque, init=False)
    _batch: FastBatch | None = field(default=None, init=False)
    _batch_limit: int = field(default=MAX_MESSAGES, init=False)
    _window: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(WINDOW_EVENTS), init=False)
    _waiting: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _idle: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _backoff: Backoff = field(default_factory=lambda: Backoff(initial_seconds=0.25, max_seconds=5.0), init=False)
    published: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.inbox = self.client.new_inbox()
        self._idle.set()

    async def publish(self, subject: str, body: bytes, event_id: str) -> None:
        """Hand over one event for its public subject; returns once it has its place in the queue.

        Waits while 2048 events are unacknowledged. An event is lost only with the process; `flush` tells when all
        are stored.
        """
        await self._window.acquire()
        self._queue.append(Message(ingest(subject), body, event_id))
        self._waiting.set()
        self._idle.clear()

    async def flush(self) -> None:
        """Wait until every event handed over is stored."""
        await self._idle.wait()

    @property
    def unacknowledged(self) -> int:
        return len(self._queue)

    async def run(self) -> None:
        """Publish what waits, one batch after the other, for ever."""
        while True:
            await self._waiting.wait()
            while not self.client.is_connected:  # noqa: ASYNC110  nats-py has nothing to wait for
                await asyncio.sleep(LOOK_SECONDS)
            self._batch = FastBatch(self.inbox, list(islice(self._queue, self._batch_limit)))
            await self._settle(self._batch, await self._send(self._batch))

    async def answer(self, message: Msg) -> None:
        if self._batch:
            self._batch.answer(message)

    async def _send(self, batch: FastBatch) -> Outcome:
        """Send a batch and wait for its outcome; an empty one when the connection was lost meanwhile."""
        reconnects = self.client.stats["reconnects"]
        deadline = time.monotonic() + ANSWER_TIMEOUT_SECONDS
        await batch.send(self.client)
        while not batch.outcome.done():
            await asyncio.wait([batch.outcome], timeout=LOOK_SECONDS)
            if not self.client.is_connected or self.client.stats["reconnects"] != reconnects:
                return Outcome()
            if time.monotonic() > deadline:
                return Outcome(refusal=f"no answer within {ANSWER_TIMEOUT_SECONDS:g} s")
        return batch.outcome.result()

    async def _settle(self, batch: FastBatch, outcome: Outcome) -> None:
        for _ in range(outcome.stored):
            self._forget(0)
        complete = outcome.stored == len(batch.messages) and not outcome.duplicate
        self._batch_limit = min(2 * self._batch_limit, MAX_MESSAGES) if complete else 1
        if outcome.stored:
            self.published += outcome.stored
            self._recovered()
        elif outcome.unstorable is not None:
            event_id = batch.messages[outcome.unstorable].id
            logger.error("event %s cannot be stored and is dropped: %s", event_id, outcome.refusal)
            self._forget(outcome.unstorable)
        elif outcome.refusal:
            await self._refused(outcome.refusal)

    def _forget(self, index: int) -> None:
        del self._queue[index]
        self._window.release()
        if not self._queue:
            self._waiting.clear()
            self._idle.set()

    async def _refused(self, reason: str) -> None:
        """Wait before the next attempt; said once, however many it takes."""
        if not self._backoff.attempt:
            logger.warning("NATS does not store events (%s); trying again until it does", reason)
        await asyncio.sleep(self._backoff.next_seconds())

    def _recovered(self) -> None:
        if self._backoff.attempt:
            logger.warning("NATS stores events again")
            self._backoff.reset()


@asynccontextmanager
async def publishing(client: Client) -> AsyncIterator[Publisher]:
    """A publisher for the length of the block; leaving it waits for nothing, call `flush` first."""
    publisher = Publisher(client)
    subscription = await client.subscribe(f"{publisher.inbox}.>", cb=publisher.answer)
    sender = asyncio.create_task(publisher.run())
    try:
        yield publisher
    finally:
        sender.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sender
        with contextlib.suppress(NatsError):
            await subscription.unsubscribe()
