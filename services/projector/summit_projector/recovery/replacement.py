"""Another stream under the same name: it is replayed beside the tables, and the result takes their place at once.

Until then readers see the rows of the old stream, and after it those of the new one, but never a mixture. After an
interruption the tables are as they were, and the next start begins again.
"""

import asyncio
import logging
import time
from dataclasses import dataclass

import asyncpg
from nats.aio.client import Client

from summit_projector import metrics
from summit_projector.recovery import swap
from summit_projector.recovery.replay import Replay, replaying
from summit_projector.recovery.stream_identity import StreamReplacedError, mismatch
from summit_projector.settings import ProjectorSettings, ProjectorTimes
from summit_projector.tables.checkpoint import Checkpoint
from summit_projector.tables.writer import TableWriter
from summit_runtime.nats.connection.patience import patiently
from summit_runtime.nats.streams.stream import stream_state
from summit_runtime.postgres import database

logger = logging.getLogger("summit.projector")

# Clusters that the live tables show, and those of them that the new stream has not listed yet.
_CLUSTERS = """
SELECT count(*) AS known, count(*) FILTER (WHERE coalesce(s.state, 'starting') IN ('starting', 'listing')) AS unlisted
FROM clusters AS l LEFT JOIN "{shadow}".clusters AS s USING (name) WHERE l.state <> 'retired'
"""


async def replace(
    client: Client, writer: TableWriter, settings: ProjectorSettings, times: ProjectorTimes, checkpoint: Checkpoint
) -> Checkpoint:
    """Exchange the tables of `checkpoint`, which are of another stream, for those of the stream that is there.

    Returns the new checkpoint. An empty stream denies nothing, since its writers have yet to come back: wait for its
    first event. Raises StreamReplacedError when the stream is replaced once more.
    """
    state = await patiently(lambda: stream_state(client))
    if state.is_empty:
        if (checkpoint.stream_created_at, checkpoint.revision) != (state.created_at, 0):
            checkpoint = await writer.disown(checkpoint, state.created_at)
        await _first_event(client, writer, checkpoint, times)
    url = settings.database_url
    live = await database.connect(url, application="summit-replacement")
    try:
        purpose, batch_events = "replacement", settings.batch_events
        async with replaying(client, live, url, times, purpose=purpose, batch_events=batch_events) as replay:
            completion = _Completion(client, writer, live, replay, times)
            while not await completion.reached():
                await replay.advance(times.look_seconds)
            removed = await swap.take_place(live, replay.shadow, checkpoint, replay.checkpoint, writer.generation)
    finally:
        live.terminate()
    metrics.SWEPT.inc(removed)
    logger.warning("the tables are those of the new stream; %d rows that it does not have were deleted", removed)
    await writer.prepare()
    return await writer.checkpoint(state.created_at)


async def _first_event(client: Client, writer: TableWriter, checkpoint: Checkpoint, times: ProjectorTimes) -> None:
    logger.warning(
        "the stream is empty, and the tables were filled from another one: they show its rows until the first event"
    )
    while (state := await patiently(lambda: stream_state(client))).is_empty:
        if state.created_at != checkpoint.stream_created_at:
            raise StreamReplacedError("the stream was replaced once more")
        await writer.ping()  # the lock is this connection's
        await asyncio.sleep(times.look_seconds)


@dataclass
class _Completion:
    """When the replay has all that the stream has, and the stream has all clusters that the live tables show."""

    client: Client
    writer: TableWriter
    live: asyncpg.Connection
    replay: Replay
    times: ProjectorTimes
    last_at_begin: int = 0
    """The stream's last revision when the replay began."""
    caught_up_at: float | None = None
    listed_at: float | None = None

    async def reached(self) -> bool:
        checkpoint = self.replay.checkpoint
        state, reason = await patiently(lambda: mismatch(self.client, checkpoint))
        if reason:
            raise StreamReplacedError(f"the stream was replaced once more: {reason}")
        await self.writer.ping()  # the lock is this connection's
        behind = state.last_sequence - checkpoint.revision
        metrics.LAG.set(behind)
        self.last_at_begin = self.last_at_begin or state.last_sequence
        caught_up = checkpoint.revision >= self.last_at_begin and behind <= self.replay.batch_events
        return caught_up and await self._is_listed()

    async def _is_listed(self) -> bool:
        """Whether the stream has all clusters that the tables show, or they have been waited for long enough."""
        known, unlisted = await self.live.fetchrow(_CLUSTERS.format(shadow=self.replay.shadow))
        now = time.monotonic()
        self.caught_up_at = self.caught_up_at or now
        self.listed_at = None if unlisted else self.listed_at or now
        settled = self.listed_at is not None and (not known or now - self.listed_at >= self.times.settle_seconds)
        return settled or now - self.caught_up_at >= self.times.patience_seconds
