"""The work between two outages: batch after batch, with a look at the stream and the database now and then.

A batch is whatever has arrived when the commit before it has ended: one event when all is quiet, so that it is visible
after a single commit, and thousands in a burst. When events come faster than commits, the next batch may grow for a
moment: a commit costs about as much for fifty events as for ten.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from nats.errors import Error as NatsError

from summit_projector import metrics
from summit_projector.progress import Progress
from summit_projector.project import Batch, DeadLetter
from summit_projector.recovery.stream_identity import StreamReplacedError, mismatch
from summit_projector.settings import ProjectorTimes
from summit_projector.tables.retention import Retention
from summit_runtime import tracing
from summit_runtime.condition import Condition
from summit_runtime.nats.connection.bus import EventClient
from summit_runtime.nats.streams.consumer import Consumer, StreamMessage
from summit_runtime.waiting import end, wait

logger = logging.getLogger("summit.projector")

BUSY_EVENTS = 16
"""After a batch of so many, the next one may grow for `gather_seconds`."""
DEAD_LETTER_LINES = 5
"""Log lines for the dead letters of a batch. The table `dead_letters` has them all."""
READY_LAG_EVENTS = 10_000
"""Two seconds at the budget of 5 000 events a second: readers would see rows older than that."""


@dataclass
class Health:
    """The state that the probes report."""

    trouble: str | None = "not started yet"
    lag_events: int = 0

    def lag(self) -> str | None:
        return f"{self.lag_events} events behind the stream" if self.lag_events > READY_LAG_EVENTS else None


@dataclass(kw_only=True)
class ApplyLoop:
    """`stream_end` is the last revision when the loop began: from there on, the tables are complete."""

    client: EventClient
    progress: Progress
    retention: Retention
    consumer: Consumer
    times: ProjectorTimes
    stream_end: int
    health: Health
    caught_up: bool = False
    checked_over: tuple[int, int] | None = None
    """The connection and the consumer over which the stream was last seen to be the right one."""
    replaying: bool = field(init=False)
    """From the stream's beginning, until caught up: the age of such events is no measure of the projector."""
    stale_epochs: Condition = field(default_factory=lambda: Condition(logger))
    stale_at: float = 0.0
    """When the last event of a stale epoch was met."""

    def __post_init__(self) -> None:
        self.replaying = self.progress.checkpoint.revision == 0

    async def run(self, stop: asyncio.Event, batch_events: int) -> None:
        """Apply until `stop`, and then end between two batches. Raises what ends the loop."""
        self._when_caught_up()
        await self.progress.writer.begin_applying()
        stopped = asyncio.create_task(stop.wait())
        reading = asyncio.create_task(self.consumer.next_batch(batch_events))
        check_at = time.monotonic() + self.times.check_seconds
        try:
            while not stop.is_set():
                timeout = max(check_at - time.monotonic(), 0)
                await asyncio.wait({reading, stopped}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
                if time.monotonic() >= check_at:
                    await self._check()
                    if self.caught_up:  # what is carried over from dropped months is their last state
                        await self.retention.look(self.client.clock.earlier())
                    check_at = time.monotonic() + self.times.check_seconds
                if reading.done():
                    messages = reading.result()
                    await self._apply(messages)
                    if BUSY_EVENTS <= len(messages) < batch_events:
                        await wait(stop, self.times.gather_seconds)
                    reading = asyncio.create_task(self.consumer.next_batch(batch_events))
        finally:
            # What a cancelled read had taken already is read again: the consumer ends with the loop.
            await end(stopped)
            await end(reading)

    async def _apply(self, messages: Sequence[StreamMessage]) -> None:
        """Apply, after a look at the stream if the connection or the consumer is another one than before.

        A stream that has lost its end meanwhile uses our last numbers again: these messages would follow a gap. Raises
        NatsError when nobody can look: the next session begins at the checkpoint.
        """
        connection = self.client.stats["reconnects"], self.consumer.created
        if connection != self.checked_over:
            if not await self._check():
                raise NatsError("the connection was lost before the stream could be compared with the tables")
            self.checked_over = connection
        began_ns = time.time_ns()
        with metrics.COMMIT_SECONDS.time():
            batches = await self.progress.apply(messages)
        for batch in batches:
            self._report(batch)
            for revision, traceparent in batch.traces:
                tracing.record("row", traceparent, start_ns=began_ns, revision=revision)
        metrics.BATCH_EVENTS.observe(len(messages))
        self._set_lag(messages[-1].pending)
        self._when_caught_up()

    def _report(self, batch: Batch) -> None:
        metrics.REVISION.set(batch.revision)
        if batch.oldest and not self.replaying:
            age_seconds = (self.client.clock.now() - batch.oldest).total_seconds()
            metrics.EVENT_TO_ROW_SECONDS.observe(max(age_seconds, 0))
        _report_dead_letters(batch.dead_letters)
        if batch.stale:
            self.stale_at = time.monotonic()
            self.stale_epochs.holds(
                "%d events up to revision %d are ignored: their clusters have a later epoch. "
                "Two watchers watch one cluster, or one was cut off for a while",
                batch.stale,
                batch.revision,
            )

    async def _check(self) -> bool:
        """Look whether the stream is still the same one, how far ahead it is, and whether Postgres answers.

        False when NATS is away, so that nobody has looked at the stream.
        """
        await self.progress.writer.ping()
        if time.monotonic() - self.stale_at > self.times.stale_quiet_seconds:
            self.stale_epochs.ends("no event of a stale epoch has come for %g s", self.times.stale_quiet_seconds)
        if not self.client.is_connected:
            return False
        state, reason = await mismatch(self.client, self.progress.checkpoint)
        if reason:
            raise StreamReplacedError(f"the stream was replaced: {reason}")
        self._set_lag(state.last_sequence - self.progress.checkpoint.revision)
        return True

    def _set_lag(self, events: int) -> None:
        self.health.lag_events = events
        metrics.LAG.set(events)

    def _when_caught_up(self) -> None:
        """Log once that all events of the start are applied: from now on the tables show the present."""
        if self.caught_up or self.progress.checkpoint.revision < self.stream_end:
            return
        self.caught_up, self.replaying = True, False
        logger.info("caught up with the stream at revision %d", self.progress.checkpoint.revision)


def _report_dead_letters(letters: Sequence[DeadLetter]) -> None:
    """Name the first ones only: a writer with a bug may have it in each event."""
    metrics.DEAD_LETTERS.inc(len(letters))
    metrics.DEAD_LETTERS_KEPT.inc(len(letters))
    for letter in letters[:DEAD_LETTER_LINES]:
        logger.warning("event %d on %s is a dead letter: %s", letter.revision, letter.subject, letter.reason)
    if more := letters[DEAD_LETTER_LINES:]:
        logger.warning("%d more dead letters up to revision %d: see table dead_letters", len(more), more[-1].revision)
