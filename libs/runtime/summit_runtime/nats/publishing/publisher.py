"""Publishing to the log: no event is forgotten before the server has it, and no two events of a VM change places.

Events wait in a fair queue and enter, cluster by cluster, one send queue. Its content is sent as one batch (see
fast_batch). The batch stays open while more events come than the server has answered, and is committed with the last
event that waits; the next one begins when it is answered. So a batch is long when events come fast, and a lone event is
a batch of one, acknowledged within a millisecond: one way to publish, with one order.

After any failure (refused, no answer, connection lost) a new batch begins with the oldest unacknowledged event, under
the same `Nats-Msg-Id`. Events that were sent before may still arrive, even between the new ones: nats-py sends its
buffer after a reconnect. This does no harm. Each attempt is a run of the same sequence that begins where nothing before
it is missing, and the server stores a prefix of it; whichever attempt stores an event has stored all earlier ones, and
the second one to come is a duplicate. It holds as long as an attempt is not older than the stream's duplicate window.

Stored events may be lost again with the server's power or disk; those go to the head of the queue (see acknowledged).
The first batch after a failure has one event, so that a server that stores nothing does not receive a thousand with
every attempt. An event that we may not publish ends its batch too; all events of its subject are held back (see
denied), and the others go on. (nats-py's own `publish_async` hangs for ever on an error, #985.)
"""

import asyncio
import contextlib
import logging
import math
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from summit_models.contract import ClusterName, DatacenterId
from summit_models.subject import ingest
from summit_runtime import metrics
from summit_runtime.backoff import Backoff
from summit_runtime.condition import Condition
from summit_runtime.nats.connection.bus import EventClient
from summit_runtime.nats.publishing.acknowledged import RECENT_EVENTS, Acknowledged, LogLostError
from summit_runtime.nats.publishing.denied import Denied
from summit_runtime.nats.publishing.fair_queue import ClusterQueue, Entry, FairQueue
from summit_runtime.nats.publishing.fast_batch import MAX_UNANSWERED, FastBatch, Message, Outcome
from summit_runtime.nats.publishing.window import Window
from summit_runtime.nats.streams.stream import RESTARTS
from summit_runtime.process import FatalError
from summit_runtime.tracing import Span
from summit_runtime.waiting import end, wait

logger = logging.getLogger("summit.nats")

LOOK_SECONDS = 0.1
"""How soon a lost connection, and its return, are noticed while an answer is awaited."""
COMMIT_SECONDS = 0.5
"""A batch under constant load is committed after so long: only the answer to a commit has a place in the log."""
COMMIT_EVENTS = RECENT_EVENTS // 2
"""Or after so many: what was confirmed of a batch in which NATS loses its leader must be among what is remembered. Else
more may be missing than can be sent again, and the process restarts."""
COMMIT_ANSWERS = 5
"""Or after so many times as an answer takes, if that is longer: nothing is sent until a commit is answered."""


@dataclass
class Publisher:
    """Publishes events of any number of clusters over one connection. Made by `publishing`."""

    client: EventClient
    inbox: str = field(init=False)
    published: int = field(default=0, init=False)
    _fair_queue: FairQueue = field(default_factory=FairQueue, init=False)
    _queue: deque[Entry] = field(default_factory=deque, init=False)
    _denied: Denied = field(init=False)
    _denials: set[str] = field(default_factory=set, init=False)
    """Subjects that the server has denied since the last look at them."""
    _batch: FastBatch | None = field(default=None, init=False)
    _window: Window = field(default_factory=lambda: Window(MAX_UNANSWERED), init=False)
    _answer_seconds: float = field(default=0.0, init=False)
    """How long the newest answer took."""
    _failing: bool = field(default=False, init=False)
    _waiting: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _backoff: Backoff = field(default_factory=lambda: Backoff(initial_seconds=0.25, max_seconds=5.0), init=False)
    _refusal: Condition = field(default_factory=lambda: Condition(logger), init=False)
    _acknowledged: Acknowledged = field(init=False)

    def __post_init__(self) -> None:
        self.inbox = self.client.new_inbox()
        self._denied = Denied(self.client.times.denied_retry_seconds)
        self._acknowledged = Acknowledged(self.client)

    async def publish(self, subject: str, body: bytes, event_id: str, span: Span | None = None) -> None:
        """Hand over one event for its public subject; returns once it has its place in the queue of its cluster.

        Waits while 2048 events of that cluster are unacknowledged. An event is lost only with the process; `flush`
        waits until all are stored. `span` ends then, and the event carries its trace.
        """
        await self._fair_queue.add(Message(ingest(subject), body, event_id, span))
        self._waiting.set()

    async def flush(self) -> None:
        """Wait until every event that was handed over before is stored, whatever is handed over meanwhile."""
        await self._fair_queue.flush()

    def cluster_queue(self, datacenter: DatacenterId, cluster: ClusterName) -> ClusterQueue:
        """The queue of one cluster, to flush its events alone."""
        return self._fair_queue.of(datacenter, cluster)

    @property
    def unacknowledged(self) -> int:
        return self._fair_queue.unsettled

    @property
    def denied(self) -> int:
        """How many of the unacknowledged events wait for a permission."""
        return self._denied.events

    async def run(self) -> None:
        """Publish the events that wait, one batch after the other, for ever.

        Raises FatalError when the log has lost more events than are remembered here.
        """
        while True:
            while not self.client.is_connected:  # noqa: ASYNC110  nats-py has nothing to wait for
                await asyncio.sleep(LOOK_SECONDS)
            await self._take_back_lost()
            self._waiting.clear()
            self._queue += self._denied.due()
            self._fill()
            if self._queue:
                self._batch = FastBatch(self.inbox, self._window.size)
                await self._settle(self._batch, await self._publish_batch(self._batch))
            else:
                await wait(self._waiting, min(self.client.times.loss_check_seconds, self._denied.due_in_seconds))

    async def answer(self, message: Msg) -> None:
        if self._batch:
            self._batch.answer(message)

    def on_denied(self, subject: str) -> None:
        """Note that the server does not permit us to publish events of a subject."""
        self._denials.add(subject)
        if self._batch:
            self._batch.wake()

    def _fill(self) -> None:
        """Move events from the fair queue to the send queue, in turn, as far as they may be sent soon.

        That is one more than may be on its way: only the next event shows that a batch does not end yet.
        """
        while len(self._queue) <= self._window.size and (entry := self._fair_queue.take()):
            if self._denied.holds(entry):
                self._denied.hold(entry)
            else:
                self._queue.append(entry)

    async def _take_back_lost(self) -> None:
        """Queue again, before all others, what the log has confirmed and lost."""
        if self.client.stats["reconnects"] != self._acknowledged.reconnects:
            self._denied.hurry()
        try:
            lost = await self._acknowledged.check()
        except LogLostError as error:
            raise FatalError(f"NATS has lost events that it had stored: {error}; {RESTARTS}") from error
        if lost:
            logger.warning(
                "NATS has lost %d events that it had confirmed, as after a loss of power; sent again", len(lost)
            )
            metrics.REPUBLISHED.inc(len(lost))
            self._queue.extendleft(reversed(list(self._fair_queue.restore(lost))))

    async def _publish_batch(self, batch: FastBatch) -> Outcome:
        reconnects, answered_at = self.client.stats["reconnects"], time.monotonic()
        began_at, answer_seconds = answered_at, self.client.times.answer_seconds
        while not batch.outcome:
            lasts_seconds = max(COMMIT_SECONDS, COMMIT_ANSWERS * self._answer_seconds)
            is_old = time.monotonic() - began_at > lasts_seconds or batch.sent >= COMMIT_EVENTS
            await self._feed(batch, commit=is_old or self._window.size > batch.most_unanswered)
            if await batch.answered(LOOK_SECONDS):
                answered_at = time.monotonic()
                self._note_answer(batch)
            elif time.monotonic() - answered_at > answer_seconds:
                self._window.took(math.inf, size=batch.most_unanswered)
                return _failed("unanswered", f"no answer within {answer_seconds:g} s")
            self._stored(batch.take_stored())
            if self._hold_denied():
                return _failed("denied")
            if not self.client.is_connected or self.client.stats["reconnects"] != reconnects:
                return _failed("disconnected")
        return batch.outcome if batch.outcome.complete else _failed("refused", *batch.outcome[1:3])

    def _note_answer(self, batch: FastBatch) -> None:
        if batch.answer_seconds is not None:
            self._window.took(batch.answer_seconds, size=batch.most_unanswered, was_full=batch.was_full)
            self._answer_seconds, batch.answer_seconds = batch.answer_seconds, None

    async def _feed(self, batch: FastBatch, *, commit: bool) -> None:
        """Send the events that wait, as far as there is room; commit with the last one, or when it is time."""
        self._fill()
        first = batch.unanswered
        waiting = 1 - batch.sent if self._failing else len(self._queue) - first
        count = min(waiting, batch.most_unanswered - first)
        batch.was_full |= count < waiting
        if count and not batch.committed:
            messages = [entry.message for entry in islice(self._queue, first, first + count)]
            await batch.send(self.client, messages, commit=commit or count == waiting)

    def _hold_denied(self) -> bool:
        """Hold back the events of denied subjects; return whether there were any in the queue.

        The server reports a denied event before it answers the batch that this event breaks.
        """
        denials, self._denials = self._denials, set()
        denied = [e for e in self._queue if e.message.subject.lower() in denials] if denials else []
        if not denied:
            return False
        for entry in denied:
            self._denied.hold(entry)
        self._queue = deque(e for e in self._queue if e.message.subject.lower() not in denials)
        return True

    async def _settle(self, batch: FastBatch, outcome: Outcome) -> None:
        self._failing = not outcome.complete
        if outcome.complete:
            self._acknowledged.committed(outcome.sequence)
        else:
            metrics.RESENT.inc(batch.unanswered)
        if outcome.unstorable is not None:
            self._drop(outcome.unstorable - 1 - batch.taken, outcome.refusal)
        elif outcome.refusal:
            self._refusal.holds("NATS does not store events (%s); trying again until it does", outcome.refusal)
            await asyncio.sleep(self._backoff.next_seconds())

    def _stored(self, count: int) -> None:
        if not count:
            return
        entries = [self._queue.popleft() for _ in range(count)]
        self._acknowledged.stored([entry.message for entry in entries])
        for entry in entries:
            self._fair_queue.settle(entry)
            if entry.message.span:
                entry.message.span.end()
        self.published += count
        metrics.PUBLISHED.inc(count)
        metrics.PUBLISH_SECONDS.observe(time.monotonic() - entries[0].queued_at)
        if self._denied.stored(entries):
            self.client.denial.ends("NATS stores events again that it did not permit before")
        if not self._failing or not self._queue:  # after a failure the server may confirm what it had stored before
            self._refusal.ends("NATS stores events again")
        self._backoff.reset()

    def _drop(self, index: int, reason: str) -> None:
        entry = self._queue[index]
        logger.error("event %s cannot be stored and is dropped: %s", entry.message.id, reason)
        metrics.DROPPED.inc()
        entry.queue.dropped.append(entry.message.id)
        del self._queue[index]
        self._fair_queue.settle(entry)


def _failed(reason: str, refusal: str = "", unstorable: int | None = None) -> Outcome:
    metrics.PUBLISH_FAILURES.labels(reason).inc()
    return Outcome(refusal=refusal, unstorable=unstorable)


@asynccontextmanager
async def publishing(client: EventClient) -> AsyncIterator[Publisher]:
    """A publisher for the length of the block. Leaving it does not wait for events: call `flush` first."""
    publisher = Publisher(client)
    subscription = await client.subscribe(f"{publisher.inbox}.>", cb=publisher.answer)
    client.on_denied = publisher.on_denied
    metrics.UNACKNOWLEDGED.set_function(lambda: publisher.unacknowledged)
    metrics.DENIED.set_function(lambda: publisher.denied)
    try:
        async with asyncio.TaskGroup() as tasks:  # a sender that fails ends the block, not only itself
            sender = tasks.create_task(publisher.run())
            yield publisher
            await end(sender)
    finally:
        with contextlib.suppress(NatsError):
            await subscription.unsubscribe()
