"""The work between two troubles: batch after batch, with a look at the stream and the database now and then.

A batch is whatever has arrived when the commit before it has ended: one event when all is quiet, so that it is visible
after a single commit, and thousands in a burst. In between, when events come faster than commits, a moment is spent on
gathering: a commit costs about as much for fifty events as for ten.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from nats.aio.client import Client

from summit_projector import metrics
from summit_projector.progress import Progress
from summit_projector.project import Batch, DeadLetter
from summit_projector.recovery.stream_identity import StreamReplacedError, mismatch
from summit_runtime.nats.consumer import Consumer, StreamMessage
from summit_runtime.waiting import end, wait

logger = logging.getLogger("summit.projector")

CHECK_SECONDS = 5.0
BUSY_EVENTS = 16
GATHER_SECONDS = 0.025
"""After a batch of so many, the next one is given so long to grow. Far below the 150 ms that a busy time may take."""
DEAD_LETTER_LINES = 5
"""Of a batch. The table `dead_letters` has them all."""
READY_LAG_EVENTS = 10_000
"""Two seconds at the budget of 5 000 events a second: readers would see a picture older than that."""


@dataclass
class Health:
    """What the probes tell."""

    trouble: str | None = "not started yet"
    lag_events: int = 0

    def applying(self) -> str | None:
        return self.trouble

    def lag(self) -> str | None:
        return f"{self.lag_events} events behind the stream" if self.lag_events > READY_LAG_EVENTS else None


@dataclass(kw_only=True)
class Session:
    """`stream_end` is the last revision when the session began: from there on, the picture is complete."""

    client: Client
    progress: Progress
    consumer: Consumer
    stream_end: int
    health: Health
    caught_up: bool = False
    met_outdated: bool = False
    looked_at: tuple[int, int] | None = None
    """The connection and the consumer over which the log was seen to be the right one."""
    replaying: bool = field(init=False)
    """From the stream's beginning, until caught up: how old such events are says nothing of us."""

    def __post_init__(self) -> None:
        self.replaying = self.progress.position.revision == 0

    async def run(self, stop: asyncio.Event, batch_events: int) -> None:
        """Apply until `stop`, and then end between two batches. Raises what ends the session."""
        self._when_caught_up()
        stopped = asyncio.create_task(stop.wait())
        reading = asyncio.create_task(self.consumer.next_batch(batch_events))
        check_at = time.monotonic() + CHECK_SECONDS
        try:
            while not stop.is_set():
                await _first(reading, stopped, timeout=check_at - time.monotonic())
                if time.monotonic() >= check_at:
                    await self._check()
                    check_at = time.monotonic() + CHECK_SECONDS
                if reading.done():
                    messages = reading.result()
                    await self._apply(messages)
                    if BUSY_EVENTS <= len(messages) < batch_events:
                        await wait(stop, GATHER_SECONDS)
                    reading = asyncio.create_task(self.consumer.next_batch(batch_events))
        finally:
            # What a cancelled read had taken already is read again: the consumer goes with the session.
            await end(stopped)
            await end(reading)

    async def _apply(self, messages: Sequence[StreamMessage]) -> None:
        """Apply, after a look at the log if the connection or the consumer is another one than before.

        A log that has lost its end meanwhile uses our last numbers once more: what comes now would follow a gap.
        """
        connection = self.client.stats["reconnects"], self.consumer.created
        if connection != self.looked_at:
            await self._check()
            self.looked_at = connection
        with metrics.COMMIT_SECONDS.time():
            batches = await self.progress.apply(messages)
        for batch in batches:
            self._tell(batch)
        metrics.BATCH_EVENTS.observe(len(messages))
        self._set_lag(messages[-1].pending)
        self._when_caught_up()

    def _tell(self, batch: Batch) -> None:
        metrics.REVISION.set(batch.revision)
        if batch.oldest and not self.replaying:
            age_seconds = (datetime.now(UTC) - batch.oldest).total_seconds()
            metrics.EVENT_TO_ROW_SECONDS.observe(max(age_seconds, 0))  # below 0: the watcher has another clock
        _log_dead_letters(batch.dead_letters)
        if batch.outdated and not self.met_outdated:
            self.met_outdated = True
            logger.warning(
                "%d events before revision %d are ignored: their clusters have a later epoch. "
                "Two watchers watch one cluster, or one was cut off for a while",
                batch.outdated,
                batch.revision,
            )

    async def _check(self) -> None:
        """Look whether the stream is still the same one, how far ahead it is, and whether Postgres answers."""
        await self.progress.store.ping()
        if not self.client.is_connected:
            return
        state, reason = await mismatch(self.client, self.progress.position)
        if reason:
            raise StreamReplacedError(f"the stream was replaced: {reason}")
        self._set_lag(state.last_sequence - self.progress.position.revision)

    def _set_lag(self, events: int) -> None:
        self.health.lag_events = events
        metrics.LAG.set(events)

    def _when_caught_up(self) -> None:
        """Once what was there at the start is applied, the picture is of now."""
        if self.caught_up or self.progress.position.revision < self.stream_end:
            return
        self.caught_up, self.replaying = True, False
        logger.info("caught up with the stream at revision %d", self.progress.position.revision)


async def _first(*tasks: asyncio.Task[object], timeout: float) -> None:
    await asyncio.wait(tasks, timeout=max(timeout, 0), return_when=asyncio.FIRST_COMPLETED)


def _log_dead_letters(rows: Sequence[DeadLetter]) -> None:
    """The first ones by name: a writer that errs may err in each event."""
    metrics.DEAD_LETTERS.inc(len(rows))
    metrics.DEAD_LETTERS_KEPT.inc(len(rows))
    for row in rows[:DEAD_LETTER_LINES]:
        logger.warning("event %d on %s is set aside: %s", row.revision, row.subject, row.reason)
    if more := rows[DEAD_LETTER_LINES:]:
        logger.warning("so are %d more up to revision %d: table dead_letters has them", len(more), more[-1].revision)
