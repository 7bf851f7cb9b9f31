"""The projector's life: forever → one session → one batch.

A session is one Postgres connection that holds the lock, and one reader of the stream that starts after the checkpoint.
Any failure ends the session, and the next one starts from the checkpoint in the database. So nothing is kept in memory
that a crash could make wrong, and while Postgres is away nothing is read.
"""

import asyncio
import logging

from nats.errors import Error as NatsError
from sqlalchemy.exc import SQLAlchemyError

from summit_models.tables import SCHEMA_REVISION
from summit_projector import metrics
from summit_projector.apply_loop import ApplyLoop, Health
from summit_projector.progress import Progress
from summit_projector.recovery import rewind
from summit_projector.recovery.epochs import newest_epochs
from summit_projector.recovery.stream_identity import StreamReplacedError, mismatch
from summit_projector.settings import TIMES, ProjectorSettings, ProjectorTimes
from summit_projector.tables.checkpoint import Checkpoint, CheckpointMovedError
from summit_projector.tables.retention import Retention
from summit_projector.tables.writer import TableWriter, open_writer
from summit_runtime.backoff import Backoff
from summit_runtime.condition import Condition
from summit_runtime.nats.connection import bus
from summit_runtime.nats.connection.bus import EventClient
from summit_runtime.nats.connection.clock import Clock
from summit_runtime.nats.publishing.availability import Availability
from summit_runtime.nats.streams.consumer import consume
from summit_runtime.nats.streams.stream import ensure_stream, stream_state
from summit_runtime.postgres import database
from summit_runtime.probes import serve_probes
from summit_runtime.waiting import run_until, wait

logger = logging.getLogger("summit.projector")

SLOWEST_EVENTS_A_SECOND = 2000
"""A projector that makes rows of a batch asks nothing meanwhile. It makes 8 000 and more on an idle machine."""

_OUTAGE = (*database.OUTAGE, SQLAlchemyError, NatsError)
"""Postgres, the way of the migrations to it, or NATS is away; each passes without our doing."""


async def serve(
    settings: ProjectorSettings, stop: asyncio.Event, times: ProjectorTimes = TIMES, clock: Clock | None = None
) -> None:
    """Apply events until `stop`; then finish the batch under way, for `stop_seconds` at most, and return."""
    health = Health()
    # Without a session there is no batch to finish, but maybe a server to wait for.
    work = _serve(settings, stop, times, health, clock)
    await run_until(stop, work, lambda: 0 if health.trouble else times.stop_seconds)


async def _serve(
    settings: ProjectorSettings, stop: asyncio.Event, times: ProjectorTimes, health: Health, clock: Clock | None
) -> None:
    async with bus.connected(settings.nats_url, name="projector", clock=clock, login=settings.nats_login) as client:
        await ensure_stream(client, settings.nats_storage)
        availability = Availability(client)
        checks = {
            "nats": lambda: availability.trouble,
            "applying": lambda: health.trouble,
            "lag": health.lag,
        }
        async with serve_probes(settings.probe_host, settings.probe_port, checks), asyncio.TaskGroup() as tasks:
            background = [
                tasks.create_task(bus.watch_connection(client)),
                tasks.create_task(availability.follow(client.times.ping_seconds)),
                tasks.create_task(client.clock.follow(client, client.times.ping_seconds)),
            ]
            await Projector(settings, times, client, health).run(stop)
            for task in background:
                task.cancel()


class Projector:
    def __init__(self, settings: ProjectorSettings, times: ProjectorTimes, client: EventClient, health: Health) -> None:
        self._settings = settings
        self._times = times
        self._client = client
        self._health = health
        self._outage = Condition(logger)

    async def run(self, stop: asyncio.Event) -> None:
        """One session after another until `stop`."""
        backoff = Backoff(initial_seconds=0.1, max_seconds=5.0)
        while not stop.is_set():
            try:
                await self._session(stop)
            except (CheckpointMovedError, StreamReplacedError) as error:
                logger.warning("the projector starts again from the checkpoint: %s", error)
                _count_restart(error)
            except _OUTAGE as error:
                self._report_outage(error)
                _count_restart(error)
            finally:
                metrics.ACTIVE.set(0)
            await wait(stop, backoff.next_seconds())

    async def _session(self, stop: asyncio.Event) -> None:
        settings = self._settings
        async with open_writer(settings.database_url, self._times, history_months=settings.history_months) as writer:
            if not await self._lock(writer, stop):
                return
            if settings.reader:  # before tables are made, so that none is ever there without its grant
                await writer.admit(settings.reader, settings.reader_password)
            if await writer.schema_revision() != SCHEMA_REVISION:
                from summit_projector import migrate  # alembic: 0.2 s of each start that need not migrate

                await migrate.upgrade(settings.database_url)
            await writer.prepare()
            checkpoint, stream_end = await self._start(writer)
            self._health.trouble = None
            self._outage.ends("events are applied again")
            metrics.ACTIVE.set(1)
            metrics.REVISION.set(checkpoint.revision)
            metrics.DEAD_LETTERS_KEPT.set(await writer.count_dead_letters())
            end = max(stream_end, checkpoint.revision)
            logger.info("applying events after revision %d; the stream ends at %d", checkpoint.revision, end)
            async with consume(self._client, after=checkpoint.revision) as consumer:
                epochs = await writer.epochs() if checkpoint.revision else await newest_epochs(self._client)
                loop = ApplyLoop(
                    client=self._client,
                    progress=Progress(writer, checkpoint, epochs),
                    retention=Retention(writer.journal, self._times),
                    consumer=consumer,
                    times=self._times,
                    stream_end=stream_end,
                    health=self._health,
                )
                await loop.run(stop, settings.batch_events)

    async def _lock(self, writer: TableWriter, stop: asyncio.Event) -> bool:
        """Wait for the lock; False when `stop` came first."""
        if await writer.try_lock():
            return True
        logger.info("another projector is active; standing by")
        self._health.trouble = None
        silent_seconds = self._times.silent_seconds + self._settings.batch_events / SLOWEST_EVENTS_A_SECOND
        while not await wait(stop, self._times.standby_seconds):
            if await writer.end_silent(silent_seconds):
                logger.warning("the active projector has stood still for %.1f s: taking its place", silent_seconds)
            if await writer.try_lock():
                return True
        return False

    async def _start(self, writer: TableWriter) -> tuple[Checkpoint, int]:
        """The checkpoint from which to go on, and the stream's last revision now."""
        state = await stream_state(self._client)
        checkpoint = await writer.checkpoint(state.created_at)
        state, reason = await mismatch(self._client, checkpoint)
        if reason:
            metrics.REWINDS.inc()
            what = f"the stream is not the one that was applied up to revision {checkpoint.revision}: {reason}; "
            if common := await rewind.common_checkpoint(self._client, writer, checkpoint, state):
                logger.warning("%sgoing back to revision %d, up to which it is the same", what, common.revision)
                checkpoint = await rewind.go_back(self._client, writer, checkpoint, common, self._times)
                return checkpoint, state.last_sequence
            logger.warning("%sreplaying it beside the tables, which show the old one until then", what)
        elif checkpoint.revision or not await writer.holds_rows():
            return checkpoint, state.last_sequence
        from summit_projector.recovery import replacement  # and with it alembic

        self._health.trouble = "the stream was replaced: it is replayed beside the tables, which show the old one"
        return await replacement.replace(self._client, writer, self._settings, self._times, checkpoint), 0

    def _report_outage(self, error: Exception) -> None:
        sentence = f"NATS does not answer: {error}" if isinstance(error, NatsError) else database.outage(error)
        self._outage.holds("events wait: %s; lists show the states before; trying again", sentence, cause=sentence)
        self._health.trouble = sentence


def _count_restart(error: Exception) -> None:
    kinds = {CheckpointMovedError: "checkpoint_moved", StreamReplacedError: "stream_replaced", NatsError: "nats"}
    reason = next((reason for kind, reason in kinds.items() if isinstance(error, kind)), "postgres")
    metrics.RESTARTS.labels(reason).inc()
