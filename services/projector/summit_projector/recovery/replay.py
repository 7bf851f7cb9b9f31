"""The stream once more, from its first event on, into tables of their own in a schema beside the live ones.

The shadow schema is made by the same migrations and filled by the same code as the live tables, which are read and
written meanwhile. Two purposes need it: a rebuild, which compares both, and the replacement of the tables of another
stream. The journal, which is large and only ever added to, is merged into the live one on the way, so that it never
takes its space twice.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg
from nats.aio.client import Client
from pydantic import SecretStr

from summit_projector import migrate
from summit_projector.progress import Progress
from summit_projector.recovery import swap
from summit_projector.recovery.difference import Difference
from summit_projector.recovery.epochs import newest_epochs
from summit_projector.settings import ProjectorTimes
from summit_projector.tables.checkpoint import Checkpoint
from summit_projector.tables.writer import open_writer
from summit_runtime.nats.connection.patience import patiently
from summit_runtime.nats.streams.consumer import Consumer, StreamMessage, consume
from summit_runtime.nats.streams.stream import stream_state
from summit_runtime.postgres import database
from summit_runtime.waiting import end

logger = logging.getLogger("summit.projector")

MERGE_BATCHES = 10


@asynccontextmanager
async def replaying(
    client: Client, live: asyncpg.Connection, url: SecretStr, times: ProjectorTimes, *, purpose: str, batch_events: int
) -> AsyncIterator["Replay"]:
    """A replay into the schema `<live schema>_<purpose>`, which is dropped at the end of the block."""
    async with migrate.shadow_schema(live, purpose) as shadow:
        shadow_url = database.in_schema(url, shadow)
        await migrate.upgrade(shadow_url)
        async with open_writer(shadow_url, times) as writer, consume(client, after=0) as consumer:
            await writer.prepare()
            state = await patiently(lambda: stream_state(client))
            checkpoint = await writer.checkpoint(state.created_at)
            replay = Replay(
                live, shadow, consumer, Progress(writer, checkpoint, await newest_epochs(client)), batch_events
            )
            try:
                yield replay
            finally:
                await replay.close()


@dataclass
class Replay:
    live: asyncpg.Connection
    shadow: str
    """The schema with the tables."""
    consumer: Consumer
    progress: Progress
    batch_events: int
    first: int = 0
    """The stream's first revision: it cannot confirm or deny rows from before it."""
    journal: Difference = field(default_factory=lambda: Difference("events", 0))
    """Differences found when entries were merged into the live journal."""
    _batches: int = 0
    _ahead: Sequence[StreamMessage] = ()
    _reading: asyncio.Task[list[StreamMessage]] | None = None

    @property
    def checkpoint(self) -> Checkpoint:
        return self.progress.checkpoint

    async def advance(self, seconds: float, *, up_to: int | None = None) -> bool:
        """Apply the next events, none of them after `up_to`; False when there is none of these within `seconds`."""
        self._ahead = self._ahead or await self._read(seconds)
        due = [message for message in self._ahead if up_to is None or message.sequence <= up_to]
        if not due:
            return False
        self.first = self.first or due[0].sequence
        await self.progress.apply(due)
        self._ahead = self._ahead[len(due) :]
        self._batches += 1
        if self._batches % MERGE_BATCHES == 0:
            await self.merge_journal()
            logger.info("the stream is replayed up to revision %d", self.checkpoint.revision)
        return True

    async def merge_journal(self) -> None:
        """Move the replayed entries into the live journal."""
        self.journal = self.journal + await swap.merge_journal(self.live, self.shadow)

    async def close(self) -> None:
        if self._reading:
            await end(self._reading)

    async def _read(self, seconds: float) -> Sequence[StreamMessage]:
        """A read that is not done in time goes on: a cancelled one would lose what it has taken already."""
        reading = self._reading or asyncio.create_task(self.consumer.next_batch(self.batch_events))
        await asyncio.wait({reading}, timeout=seconds)
        self._reading = None if reading.done() else reading
        return reading.result() if reading.done() else ()
