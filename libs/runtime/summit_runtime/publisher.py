"""Publishing to the log: nothing is forgotten before the server has it, and no two events change places.

All events stand in one queue. What waits is sent as one batch (see fast_batch), which goes on while more comes than
the server has answered and is committed with the last event that waits; the next begins when it is answered. So a
batch is long when events come fast, and a lone event is a batch of one, acknowledged within a millisecond. There is no
second way to publish, hence no order to keep between two, and none is left open and idle.

After any failure (refused, no answer, connection lost) a new batch begins with the oldest unacknowledged event, under
the same `Nats-Msg-Id`. Whatever was sent before may still arrive, even between the new messages: nats-py sends what it
had buffered after a reconnect. That does no harm. Each try is a run of the same sequence that begins where nothing
before it is missing and of which the server takes a prefix; whichever stores an event has passed all earlier ones, and
the second to come is a duplicate. It holds as long as a try is not older than the stream's duplicate window.

What is stored may be lost again with a server's power or disk. So after each reconnect, and every few seconds, the log
is asked for the newest event that it has confirmed (see acknowledged); what it lost goes to the head of the queue.

The first batch after a failure has one event, so that a server that stores nothing is not sent a thousand with every
attempt. (nats-py's own `publish_async` hangs for ever on an error, #985.)
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from summit_models.event import INGEST_ROOT, ingest
from summit_runtime import metrics
from summit_runtime.acknowledged import Acknowledged, LogLostError
from summit_runtime.backoff import Backoff
from summit_runtime.bus import STARTS_ANEW
from summit_runtime.fast_batch import MAX_UNANSWERED, FastBatch, Message, Outcome
from summit_runtime.process import FatalError, end, sleep_unless

logger = logging.getLogger("summit.nats")

WINDOW_EVENTS = 2048
"""Bounds the memory: 3 MB of events of 1.3 KB. Twice what may be unanswered: while that is on its way, more waits."""
ANSWER_TIMEOUT_SECONDS = 5.0
LOOK_SECONDS = 0.1
"""How soon a lost connection, and its return, are seen while an answer is awaited."""
CHECK_SECONDS = 5.0
"""How often a log that has lost its end is looked for while the connection holds."""
COMMIT_SECONDS = 0.5
"""A batch under constant load is committed after so long: only a commit tells a place in the log."""


@dataclass
class Publisher:
    """Publishes events of any number of clusters over one connection. Made by `publishing`."""

    client: Client
    inbox: str = field(init=False)
    _queue: deque[Message] = field(default_factory=deque, init=False)
    _batch: FastBatch | None = field(default=None, init=False)
    _failing: bool = field(default=False, init=False)
    _window: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(WINDOW_EVENTS), init=False)
    _waiting: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _settled: int = field(default=0, init=False)
    """Events that have left the queue, of all that were handed over."""
    _flushes: deque[tuple[int, asyncio.Future[None]]] = field(default_factory=deque, init=False)
    """Who waits for how many events to be settled; whoever began later waits for no fewer."""
    _backoff: Backoff = field(default_factory=lambda: Backoff(initial_seconds=0.25, max_seconds=5.0), init=False)
    _acknowledged: Acknowledged = field(default_factory=Acknowledged, init=False)
    _returned: int = field(default=0, init=False)
    """Events at the head of the queue that have been stored and lost: they have left the window already."""
    _compared: tuple[int, float] = field(default=(0, float("-inf")), init=False)
    """At which number of reconnects, and when, the log was last asked for what it has confirmed."""
    _timed: tuple[int, float] | None = field(default=None, init=False)
    """One event in the queue, by how many must leave it first, and when it came."""
    published: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.inbox = self.client.new_inbox()

    async def publish(self, subject: str, body: bytes, event_id: str) -> None:
        """Hand over one event for its public subject; returns once it has its place in the queue.

        Waits while 2048 events are unacknowledged. An event is lost only with the process; `flush` tells when all
        are stored.
        """
        await self._window.acquire()
        if self._timed is None:
            self._timed = len(self._queue), time.monotonic()
        self._queue.append(Message(ingest(subject), body, event_id))
        self._waiting.set()

    async def flush(self) -> None:
        """Wait until every event that was handed over before is stored, whatever is handed over meanwhile."""
        if self._queue:
            stored = asyncio.get_running_loop().create_future()
            self._flushes.append((self._settled + len(self._queue), stored))
            await stored

    @property
    def unacknowledged(self) -> int:
        return len(self._queue)

    async def run(self) -> None:
        """Publish what waits, one batch after the other, for ever.

        Raises FatalError when the log has lost more than is remembered here.
        """
        while True:
            while not self.client.is_connected:  # noqa: ASYNC110  nats-py has nothing to wait for
                await asyncio.sleep(LOOK_SECONDS)
            await self._compare()
            if self._queue:
                self._batch = FastBatch(self.inbox)
                await self._settle(self._batch, await self._publish_batch(self._batch))
            else:
                await sleep_unless(self._waiting, CHECK_SECONDS)

    async def answer(self, message: Msg) -> None:
        if self._batch:
            self._batch.answer(message)

    async def _compare(self) -> None:
        """Ask the log for what it has confirmed, when that is due, and take back what it has lost.

        After a reconnect nothing is published before it has answered, unless it does not answer at all.
        """
        reconnects, now = self.client.stats["reconnects"], time.monotonic()
        if reconnects == self._compared[0] and now < self._compared[1] + CHECK_SECONDS:
            return
        give_up_at = now + (ANSWER_TIMEOUT_SECONDS if reconnects != self._compared[0] else 0)
        self._compared = reconnects, now
        error_before = self.client.last_error  # an older denial says nothing of this question
        while self.client.stats["reconnects"] == reconnects:
            try:
                self._take_back(await self._acknowledged.lost(self.client))
                break
            except LogLostError as error:
                raise FatalError(f"NATS has lost what it had stored: {error}; {STARTS_ANEW}") from error
            except (NatsError, TimeoutError):  # away, or not ready yet, as in the first moments of its start
                if self.client.last_error is not error_before and _is_denied(self.client.last_error, "$JS.API."):
                    self._compared = reconnects, float("inf")  # each question would cost a wait for no answer
                    logger.warning("what NATS may lose cannot be seen: %s", self.client.last_error)
                if time.monotonic() > give_up_at:
                    break
                await asyncio.sleep(LOOK_SECONDS)

    def _take_back(self, lost: Sequence[Message]) -> None:
        if lost:
            logger.warning(
                "NATS has lost %d events that it had confirmed, as after a loss of power; sent again", len(lost)
            )
            metrics.REPUBLISHED.inc(len(lost))
            self._queue.extendleft(reversed(lost))
            self._returned += len(lost)
            self._settled -= len(lost)
            self._waiting.set()

    async def _publish_batch(self, batch: FastBatch) -> Outcome:
        reconnects, heard_at = self.client.stats["reconnects"], time.monotonic()
        error, commit_at = self.client.last_error, heard_at + COMMIT_SECONDS
        while not batch.outcome:
            await self._feed(batch, commit=time.monotonic() > commit_at)
            if await batch.hear(LOOK_SECONDS):
                heard_at = time.monotonic()
            elif time.monotonic() - heard_at > ANSWER_TIMEOUT_SECONDS:
                return _failed("unanswered", f"no answer within {ANSWER_TIMEOUT_SECONDS:g} s")
            self._stored(batch.take_stored())
            if not self.client.is_connected or self.client.stats["reconnects"] != reconnects:
                return _failed("disconnected")
            if self.client.last_error is not error and _is_denied(self.client.last_error, INGEST_ROOT):
                return _failed("denied", f"it does not permit the user of NATS_URL to: {self.client.last_error}")
        return batch.outcome if batch.outcome.complete else _failed("refused", *batch.outcome[1:3])

    async def _feed(self, batch: FastBatch, *, commit: bool) -> None:
        """Send what waits, as far as there is room; commit when that is all, or all that this batch may have."""
        first = batch.unanswered
        waiting = 1 - batch.sent if self._failing else len(self._queue) - first
        count = min(waiting, MAX_UNANSWERED - first)
        if count and not batch.committed:
            messages = list(islice(self._queue, first, first + count))
            await batch.send(self.client, messages, commit=commit or count == waiting)

    async def _settle(self, batch: FastBatch, outcome: Outcome) -> None:
        self._failing = not outcome.complete
        if outcome.complete:
            self._acknowledged.committed(outcome.sequence)
        else:
            metrics.RESENT.inc(batch.unanswered)
        if outcome.unstorable is not None:
            self._drop(outcome.unstorable - 1 - batch.taken, outcome.refusal)
        elif outcome.refusal:
            await self._refused(outcome.refusal)

    def _stored(self, count: int) -> None:
        self._acknowledged.stored(islice(self._queue, count))
        for _ in range(count):
            self._forget(0)
        self.published += count
        metrics.PUBLISHED.inc(count)
        self._measure(count)
        if count and self._backoff.attempt:
            logger.warning("NATS stores events again")
            self._backoff.reset()

    def _drop(self, index: int, reason: str) -> None:
        logger.error("event %s cannot be stored and is dropped: %s", self._queue[index].id, reason)
        metrics.DROPPED.inc()
        self._measure(1)
        self._forget(index)

    def _forget(self, index: int) -> None:
        del self._queue[index]
        if self._returned:
            self._returned -= 1
        else:
            self._window.release()
        self._settled += 1
        if not self._queue:
            self._waiting.clear()
        while self._flushes and self._flushes[0][0] <= self._settled:
            _, stored = self._flushes.popleft()
            if not stored.done():
                stored.set_result(None)

    def _measure(self, gone: int) -> None:
        """Take the time of the one event that is timed, when it has left the queue with so many others."""
        if self._timed:
            ahead, since = self._timed[0] - gone, self._timed[1]
            self._timed = (ahead, since) if ahead >= 0 else None
            if ahead < 0:
                metrics.PUBLISH_SECONDS.observe(time.monotonic() - since)

    async def _refused(self, reason: str) -> None:
        """Wait before the next attempt; said once, however many it takes."""
        if not self._backoff.attempt:
            logger.warning("NATS does not store events (%s); trying again until it does", reason)
        await asyncio.sleep(self._backoff.next_seconds())


def _is_denied(error: Exception | None, subject: str) -> bool:
    """Whether the server said that we may not publish there: to what was published itself there is no answer."""
    return f'permissions violation for publish to "{subject}'.lower() in str(error or "").lower()


def _failed(reason: str, refusal: str = "", unstorable: int | None = None) -> Outcome:
    metrics.PUBLISH_FAILURES.labels(reason).inc()
    return Outcome(refusal=refusal, unstorable=unstorable)


@asynccontextmanager
async def publishing(client: Client) -> AsyncIterator[Publisher]:
    """A publisher for the length of the block; leaving it waits for nothing, call `flush` first."""
    publisher = Publisher(client)
    subscription = await client.subscribe(f"{publisher.inbox}.>", cb=publisher.answer)
    metrics.UNACKNOWLEDGED.set_function(lambda: publisher.unacknowledged)
    try:
        async with asyncio.TaskGroup() as tasks:  # a sender that fails ends the block, not only itself
            sender = tasks.create_task(publisher.run())
            yield publisher
            await end(sender)
    finally:
        with contextlib.suppress(NatsError):
            await subscription.unsubscribe()
