"""The projector's life: forever → one session → one batch.

A session is one Postgres connection that holds the lock, and one reader of the stream that starts after the checkpoint.
Whatever goes wrong ends the session, and the next one starts from what the database says: nothing is remembered that a
crash could make wrong, and while Postgres is away nothing is read.
"""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nats.aio.client import Client
from nats.errors import Error as NatsError
from sqlalchemy.exc import SQLAlchemyError

from summit_models.tables import SCHEMA_REVISION
from summit_projector import metrics
from summit_projector.apply_loop import Health, Session
from summit_projector.progress import Progress
from summit_projector.recovery import rewind
from summit_projector.recovery.stream_identity import Position, StreamReplacedError, mismatch
from summit_projector.settings import ProjectorSettings
from summit_projector.tables.store import CheckpointMovedError, Store, open_store
from summit_runtime import database
from summit_runtime.backoff import Backoff
from summit_runtime.nats import bus
from summit_runtime.nats.consumer import consume
from summit_runtime.nats.stream import ensure_stream, stream_state
from summit_runtime.probes import serve_probes
from summit_runtime.waiting import end, wait

logger = logging.getLogger("summit.projector")

STANDBY_SECONDS = 1.0
"""How long a projector that waits for the lock takes at most to see that it is free."""
STOP_SECONDS = 2.5
"""The batch under way is committed within this, or left to the next start; `summit-connect` waits for 3.5 in all."""

_OUTAGE = (*database.OUTAGE, SQLAlchemyError, NatsError)
"""Of Postgres, the migrations' way to it, and NATS; each passes without our doing."""


async def serve(settings: ProjectorSettings, stop: asyncio.Event) -> None:
    """Apply events until `stop`; then finish the batch under way, for `STOP_SECONDS` at most, and return."""
    _collect_garbage_rarely()
    health = Health()
    work = asyncio.create_task(_serve(settings, stop, health))
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if health.trouble is None:  # else there is no batch to finish, but maybe a server to wait for
            await asyncio.wait({work}, timeout=STOP_SECONDS)
    finally:
        await end(stopped)
        await end(work)
    if not work.cancelled():
        work.result()


async def _serve(settings: ProjectorSettings, stop: asyncio.Event, health: Health) -> None:
    async with _connected(settings) as client:
        checks = {
            "nats": lambda: None if client.is_connected else "not connected",
            "applying": health.applying,
            "lag": health.lag,
        }
        async with serve_probes(settings.probe_host, settings.probe_port, checks), asyncio.TaskGroup() as tasks:
            watch = tasks.create_task(bus.watch_connection(client))
            await Projector(settings, client, health).run(stop)
            watch.cancel()


@asynccontextmanager
async def _connected(settings: ProjectorSettings) -> AsyncIterator[bus.EventClient]:
    client = await bus.connect(settings.nats_url, name="projector")
    try:
        await ensure_stream(client)
        yield client
    finally:
        await bus.close(client)


class Projector:
    def __init__(self, settings: ProjectorSettings, client: Client, health: Health) -> None:
        self._settings = settings
        self._client = client
        self._health = health

    async def run(self, stop: asyncio.Event) -> None:
        """One session after another until `stop`."""
        backoff = Backoff(initial_seconds=0.1, max_seconds=5.0)
        while not stop.is_set():
            try:
                await self._session(stop)
            except (CheckpointMovedError, StreamReplacedError) as error:
                logger.warning("the projector starts anew: %s", error)
                _count_restart(error)
            except _OUTAGE as error:
                self._tell_trouble(error)
                _count_restart(error)
            finally:
                metrics.ACTIVE.set(0)
            await wait(stop, backoff.next_seconds())

    async def _session(self, stop: asyncio.Event) -> None:
        async with open_store(self._settings.database_url, history_months=self._settings.history_months) as store:
            if not await self._lock(store, stop):
                return
            if await store.schema_revision() != SCHEMA_REVISION:
                from summit_projector import migrate  # alembic: 0.2 s of each start that need not migrate

                await migrate.upgrade(self._settings.database_url)
            await store.prepare()
            position, stream_end = await self._start_position(store)
            self._health.trouble = None
            metrics.ACTIVE.set(1)
            metrics.REVISION.set(position.revision)
            metrics.DEAD_LETTERS_KEPT.set(await store.count_dead_letters())
            end = max(stream_end, position.revision)
            logger.info("applying events after revision %d; the stream ends at %d", position.revision, end)
            async with consume(self._client, after=position.revision) as consumer:
                session = Session(
                    client=self._client,
                    progress=Progress(store, position, await store.epochs()),
                    consumer=consumer,
                    stream_end=stream_end,
                    health=self._health,
                )
                await session.run(stop, self._settings.batch_events)

    async def _lock(self, store: Store, stop: asyncio.Event) -> bool:
        """Wait for the lock; False when `stop` came first."""
        if await store.try_lock():
            return True
        logger.info("another projector is active; standing by")
        self._health.trouble = None
        while not await wait(stop, STANDBY_SECONDS):
            if await store.try_lock():
                return True
        return False

    async def _start_position(self, store: Store) -> tuple[Position, int]:
        """Where to go on, and where the stream ends now."""
        state = await stream_state(self._client)
        position = await store.position(state.created_at)
        state, reason = await mismatch(self._client, position)
        if reason:
            metrics.REWINDS.inc()
            told = f"the stream is not the one that was applied up to revision {position.revision}: {reason}; "
            if common := await rewind.common_position(self._client, store, position, state):
                logger.warning("%sgoing back to revision %d, up to which it is the same", told, common.revision)
                return await rewind.go_back(self._client, store, position, common), state.last_sequence
            logger.warning("%sreplaying it beside the tables, which show the old one until then", told)
        elif position.revision or not await store.holds_rows():
            return position, state.last_sequence
        from summit_projector.recovery import replacement  # and with it alembic

        self._health.trouble = "the log was replaced: it is replayed beside the tables, which show the old one"
        return await replacement.replace(self._client, store, self._settings.database_url, position), 0

    def _tell_trouble(self, error: Exception) -> None:
        """Once for each sort of trouble, not for each attempt."""
        sentence = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        if sentence != self._health.trouble:
            logger.warning("events wait: %s; trying again", sentence)
        self._health.trouble = sentence


def _count_restart(error: Exception) -> None:
    match error:
        case CheckpointMovedError():
            reason = "checkpoint_moved"
        case StreamReplacedError():
            reason = "stream_replaced"
        case NatsError():
            reason = "nats"
        case _:
            reason = "postgres"
    metrics.RESTARTS.labels(reason).inc()


def _collect_garbage_rarely() -> None:
    """Decoded events are many and hold no cycles: looking for some took 30 µs of 70 µs an event (measured)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
