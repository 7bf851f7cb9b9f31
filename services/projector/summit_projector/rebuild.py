"""The tables once more, from the log's first event on, beside the live ones; then what differs is put right at once.

A shadow schema `<schema>_rebuild` is made by the same migrations and filled by the same code as the live tables, which
go on being read and written meanwhile. When it has what they have, the projector is held at the row of its checkpoint
for as long as it takes to compare, and all differences are put right in one transaction (see `swap`). History, which is
large and only ever added to, is merged as it is replayed.

Run by `summit-connect rebuild`, or by `python -m summit_projector.rebuild` with the projector's environment.
"""

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
from nats.aio.client import Client
from nats.errors import Error as NatsError
from pydantic import SecretStr
from sqlalchemy.exc import SQLAlchemyError

from summit_models.subject import STREAM
from summit_models.tables import SCHEMA_REVISION
from summit_projector import migrate
from summit_projector.progress import Progress
from summit_projector.project import NONE_KNOWN
from summit_projector.recovery import swap
from summit_projector.recovery.difference import Difference, Rebuilt
from summit_projector.recovery.shadow import shadow_schema
from summit_projector.recovery.stream_identity import Position, mismatch
from summit_projector.settings import ProjectorSettings
from summit_projector.tables.store import new_generation, open_store
from summit_runtime import database, process
from summit_runtime.nats import bus
from summit_runtime.nats.consumer import Consumer, StreamMessage, consume
from summit_runtime.nats.stream import stream_state
from summit_runtime.process import FatalError

logger = logging.getLogger("summit.projector")

BATCH_EVENTS = 2000
MERGE_BATCHES = 10
"""History is moved to the live table after so many batches, so that it never takes its space twice."""

EVENT_SECONDS = 30.0
"""For the next event, which the log had a moment ago. Else it is cut or away, and the projector may be held."""

_LOCK = "SELECT pg_try_advisory_lock(hashtext('summit-rebuild'), hashtext(current_schema()))"
_POSITION = "SELECT stream_created_at, revision, event_id, generation FROM checkpoint WHERE stream = $1"


class RebuildError(FatalError):
    """The tables cannot be rebuilt now; the sentence says why. They are as they were."""


async def rebuild(client: Client, database_url: SecretStr) -> Rebuilt:
    """Rebuild the tables from the log and put right what differs. Raises RebuildError."""
    try:
        return await _rebuild(client, database_url)
    except (*database.OUTAGE, SQLAlchemyError, NatsError) as error:
        raise RebuildError(f"the tables are as they were: {type(error).__name__}: {error}; run it again") from error


async def _rebuild(client: Client, database_url: SecretStr) -> Rebuilt:
    started = time.monotonic()
    async with _live(database_url) as live, _shadow(live) as shadow:
        shadow_url = database.in_schema(database_url, shadow)
        await migrate.upgrade(shadow_url)
        async with open_store(shadow_url) as store, consume(client, after=0) as consumer:
            await store.prepare()
            position = await store.position((await stream_state(client)).created_at)
            replay = Replay(client, live, shadow, consumer, Progress(store, position, NONE_KNOWN))
            await replay.approach()
            async with live.transaction():
                tables = await replay.meet()
    return Rebuilt(replay.first, replay.revision, time.monotonic() - started, tables)


class Replay:
    """The shadow's way through the log. It never overtakes the live tables: only what both have can be compared."""

    def __init__(
        self, client: Client, live: asyncpg.Connection, shadow: str, consumer: Consumer, progress: Progress
    ) -> None:
        self.first = 0
        """The log's first revision; of rows from before it, it says nothing."""
        self._client = client
        self._live = live
        self._shadow = shadow
        self._consumer = consumer
        self._progress = progress
        self._ahead: Sequence[StreamMessage] = ()
        self._generation = -1
        """Of the live tables; -1 before they were looked at."""
        self._journal = Difference("events", 0)

    @property
    def revision(self) -> int:
        return self._progress.position.revision

    async def approach(self) -> None:
        """Come close to the live tables, moving the history to them on the way."""
        while (await self._applied()).revision - self.revision > BATCH_EVENTS:
            live = await self._applied()
            for _ in range(MERGE_BATCHES):
                if self.revision < live.revision:
                    await self._next(live.revision)
            await self._merge_journal()
            logger.info("rebuilding: at revision %d of %d", self.revision, live.revision)

    async def meet(self) -> Sequence[Difference]:
        """Hold the projector, come to where it is, and make its tables what the shadow's are; in a transaction."""
        live = await self._applied(hold=True)
        while self.revision < live.revision:
            await self._next(live.revision)
        if self._progress.position.event_id != live.event_id:
            raise RebuildError(f"revision {live.revision} of the log is not the event that was applied: run it again")
        await self._merge_journal()
        compared = [self._journal]
        for twin in swap.twins(first=self.first, last=live.revision, stream_created_at=live.stream_created_at):
            difference = await swap.compare(self._live, self._shadow, twin)
            if difference.found:
                await swap.put_right(self._live, self._shadow, twin)
            compared.append(difference)
        if any(difference.found for difference in compared):
            await new_generation(self._live, self._generation)
        return compared

    async def _next(self, revision: int) -> None:
        """Apply the next events, none after `revision`, which is in the log."""
        messages = self._ahead or await self._read()
        self.first = self.first or messages[0].sequence
        due = [message for message in messages if message.sequence <= revision]
        if not due:
            raise RebuildError(f"what was applied up to revision {revision} has aged out of the log meanwhile")
        self._ahead = messages[len(due) :]
        await self._progress.apply(due)

    async def _read(self) -> Sequence[StreamMessage]:
        try:
            async with asyncio.timeout(EVENT_SECONDS):
                return await self._consumer.next_batch(BATCH_EVENTS)
        except TimeoutError:
            raise RebuildError(f"the log says nothing after revision {self.revision}: run it again") from None

    async def _merge_journal(self) -> None:
        self._journal = self._journal + await swap.merge_journal(self._live, self._shadow)

    async def _applied(self, *, hold: bool = False) -> Position:
        """How far the live tables are; with `hold` the projector stays there until the transaction ends.

        Raises RebuildError when that is no place in the log, or when they have been of another one meanwhile: what was
        replayed is of both then, also where the log is right again.
        """
        row = await self._live.fetchrow(_POSITION + (" FOR UPDATE" if hold else ""), STREAM)
        if row is None or row["revision"] == 0:
            raise RebuildError("no event has been applied to the tables yet: the projector fills them from the log")
        *place, generation = row
        position = Position(*place)
        if self._generation not in (-1, generation):
            raise RebuildError("the log was replaced, or had lost its end, and the tables followed it: run it again")
        self._generation = generation
        state, reason = await mismatch(self._client, position)
        if reason or position.revision < state.first_sequence:
            reason = reason or f"it begins with event {state.first_sequence}, after revision {position.revision}"
            raise RebuildError(
                f"the log is not the one that the tables are of: {reason}; the projector sees to that itself"
            )
        return position


@asynccontextmanager
async def _live(url: SecretStr) -> AsyncIterator[asyncpg.Connection]:
    """A connection to the live tables, as the only rebuild."""
    live = await database.connect(url, application="summit-rebuild")
    try:
        if not await live.fetchval(_LOCK):
            raise RebuildError("another rebuild of these tables is under way")
        revision = None
        if await live.fetchval("SELECT to_regclass('alembic_version')"):
            revision = await live.fetchval("SELECT version_num FROM alembic_version")
        if revision != SCHEMA_REVISION:
            raise RebuildError(
                f"the tables are at schema revision {revision}, this version's are at {SCHEMA_REVISION}: "
                "start its projector first, which migrates them"
            )
        yield live
    finally:
        live.terminate()


@asynccontextmanager
async def _shadow(live: asyncpg.Connection) -> AsyncIterator[str]:
    try:
        async with shadow_schema(live, "rebuild") as shadow:
            yield shadow
    except asyncpg.InsufficientPrivilegeError as error:
        raise RebuildError(f"the user of DATABASE_URL needs CREATE on the database: {error}") from error


async def _serve(settings: ProjectorSettings, _: asyncio.Event) -> None:
    client = await bus.connect(settings.nats_url, name="rebuild")
    try:
        rebuilt = await rebuild(client, settings.database_url)
    finally:
        await bus.close(client)
    sys.stdout.write(f"{rebuilt.as_text()}\n")


if __name__ == "__main__":
    process.main("rebuild", ProjectorSettings, _serve)
