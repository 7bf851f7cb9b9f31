"""Another log under the same name: its picture is made beside the tables, and takes the place of theirs at once.

Until then readers see what the old log said, and after it what the new one says; never a mixture, which nobody could
follow. Whatever interrupts this leaves the tables as they were, and the next start begins anew.
"""

import asyncio
import logging
import time

import asyncpg
from nats.aio.client import Client
from pydantic import SecretStr

from summit_projector import metrics, migrate
from summit_projector.progress import Progress
from summit_projector.project import NONE_KNOWN
from summit_projector.recovery import swap
from summit_projector.recovery.shadow import shadow_schema
from summit_projector.recovery.stream_identity import Position, StreamReplacedError, mismatch
from summit_projector.tables.store import Store, open_store
from summit_runtime import database
from summit_runtime.nats.consumer import Consumer, consume
from summit_runtime.nats.stream import stream_state
from summit_runtime.waiting import end

logger = logging.getLogger("summit.projector")

BATCH_EVENTS = 2000
MERGE_BATCHES = 10
"""History is moved to the live table after so many batches, so that it never takes its space twice."""
LOOK_SECONDS = 0.5
"""How often it is looked whether the log has its first event, or its last cluster."""
SETTLE_SECONDS = 2.0
"""When a watcher has told that its cluster is synced, all that it knows is in the log by then."""
PATIENCE_SECONDS = 60.0
"""For clusters that the tables show and the log does not tell yet. Watchers notice within seconds that the log was
replaced; a cluster whose watcher is gone for longer is shown again when that is back."""

_TOLD = """
SELECT count(*) AS known, count(*) FILTER (WHERE coalesce(s.state, 'starting') IN ('starting', 'listing')) AS untold
FROM clusters AS l LEFT JOIN "{shadow}".clusters AS s USING (name) WHERE l.state <> 'retired'
"""


async def replace(client: Client, store: Store, url: SecretStr, position: Position) -> Position:
    """Make the tables of `position`, which is of another log, those of the log that is there; give the new position.

    A log that is empty denies nothing: its writers have yet to come back, and it is waited for. Raises
    StreamReplacedError when the log is replaced once more.
    """
    state = await stream_state(client)
    if state.is_empty:
        if (position.stream_created_at, position.revision) != (state.created_at, 0):
            position = await store.disown(position, state.created_at)
        await _first_event(client, store, position)
    live = await database.connect(url, application="summit-replacement")
    try:
        async with shadow_schema(live, "replacement") as shadow:
            await _Replay(client, store, live, shadow).run(database.in_schema(url, shadow), position)
    finally:
        live.terminate()
    await store.prepare()
    return await store.position(state.created_at)


async def _first_event(client: Client, store: Store, position: Position) -> None:
    logger.warning("the log is empty, and the tables are of another one: their rows serve until it has spoken")
    while (state := await stream_state(client)).is_empty:
        if state.created_at != position.stream_created_at:
            raise StreamReplacedError("the stream was replaced once more")
        await store.ping()  # the lock is this connection's
        await asyncio.sleep(LOOK_SECONDS)


class _Replay:
    """The new log's way into the tables of the schema `shadow`, and from there into the live ones."""

    def __init__(self, client: Client, store: Store, live: asyncpg.Connection, shadow: str) -> None:
        self._client = client
        self._store = store
        self._live = live
        self._shadow = shadow
        self._begun_end = 0
        """Where the log ended when the replay began."""
        self._caught_up_at: float | None = None
        self._told_at: float | None = None

    async def run(self, shadow_url: SecretStr, before: Position) -> None:
        await migrate.upgrade(shadow_url)
        async with open_store(shadow_url) as store, consume(self._client, after=0) as consumer:
            await store.prepare()
            position = await store.position((await stream_state(self._client)).created_at)
            progress = Progress(store, position, NONE_KNOWN)
            await self._follow(progress, consumer)
            removed = await swap.take_place(self._live, self._shadow, before, progress.position)
        metrics.SWEPT.inc(removed)
        logger.warning("the tables are those of the new log; %d rows of the old one it does not know", removed)

    async def _follow(self, progress: Progress, consumer: Consumer) -> None:
        """Apply what the log has, until its picture is complete."""
        batches = 0
        reading = asyncio.create_task(consumer.next_batch(BATCH_EVENTS))
        try:
            while not await self._is_complete(progress.position):
                await asyncio.wait({reading}, timeout=LOOK_SECONDS)
                if reading.done():
                    await progress.apply(reading.result())
                    reading = asyncio.create_task(consumer.next_batch(BATCH_EVENTS))
                    if (batches := batches + 1) % MERGE_BATCHES == 0:
                        await swap.merge_journal(self._live, self._shadow)
        finally:
            await end(reading)

    async def _is_complete(self, position: Position) -> bool:
        state, reason = await mismatch(self._client, position)
        if reason:
            raise StreamReplacedError(f"the stream was replaced once more: {reason}")
        await self._store.ping()  # the lock is this connection's
        behind = state.last_sequence - position.revision
        metrics.LAG.set(behind)
        self._begun_end = self._begun_end or state.last_sequence
        return position.revision >= self._begun_end and behind <= BATCH_EVENTS and await self._is_told()

    async def _is_told(self) -> bool:
        """Whether the log tells of all clusters that the tables show, or they have been waited for long enough."""
        known, untold = await self._live.fetchrow(_TOLD.format(shadow=self._shadow))
        now = time.monotonic()
        self._caught_up_at = self._caught_up_at or now
        self._told_at = None if untold else self._told_at or now
        settled = self._told_at is not None and (not known or now - self._told_at >= SETTLE_SECONDS)
        return settled or now - self._caught_up_at >= PATIENCE_SECONDS
