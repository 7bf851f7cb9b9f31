"""A rebuild: the stream is replayed beside the live tables, and what differs in these is corrected at once.

The replay follows the live tables and never overtakes them: only what both have can be compared. When it has what they
have, the projector is held at the row of its checkpoint for as long as the comparison takes, and all differences are
corrected in one transaction (see `swap`).

Run by `summit-connect rebuild`, or by `python -m summit_projector.rebuild` with the projector's environment.
"""

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
from nats.aio.client import Client
from nats.errors import Error as NatsError
from pydantic import SecretStr
from sqlalchemy.exc import SQLAlchemyError

from summit_models.tables import SCHEMA_REVISION, newer_schema
from summit_projector.recovery import swap
from summit_projector.recovery.difference import Difference, Rebuilt
from summit_projector.recovery.replay import Replay, replaying
from summit_projector.recovery.stream_identity import mismatch
from summit_projector.settings import TIMES, ProjectorSettings, ProjectorTimes
from summit_projector.tables import checkpoint as checkpoints
from summit_projector.tables.checkpoint import Checkpoint
from summit_runtime import process
from summit_runtime.nats.connection import bus
from summit_runtime.nats.connection.patience import patiently
from summit_runtime.postgres import database
from summit_runtime.process import FatalError

logger = logging.getLogger("summit.projector")

RELEASE_SECONDS = 2.0
_LOCK = "SELECT pg_try_advisory_lock(hashtext('summit-rebuild'), hashtext(current_schema()))"


class RebuildError(FatalError):
    """The tables cannot be rebuilt now; the sentence has the reason. They are as they were."""


async def rebuild(client: Client, settings: ProjectorSettings, times: ProjectorTimes = TIMES) -> Rebuilt:
    """Rebuild the tables from the stream and correct what differs. Raises RebuildError."""
    started = time.monotonic()
    url, batch_events = settings.database_url, settings.batch_events
    try:
        async with (
            _live(url) as live,
            replaying(client, live, url, times, purpose="rebuild", batch_events=batch_events) as replay,
        ):
            rebuilding = _Rebuild(client, live, replay, times)
            await rebuilding.approach()
            async with live.transaction():
                tables = await rebuilding.meet()
    except asyncpg.InsufficientPrivilegeError as error:
        raise RebuildError(f"the user of DATABASE_URL needs CREATE on the database: {error}") from error
    except NatsError as error:
        raise RebuildError(f"the tables are as they were: NATS does not answer: {error}; run it again") from error
    except (*database.OUTAGE, SQLAlchemyError) as error:
        raise RebuildError(f"the tables are as they were: {database.outage(error)}; run it again") from error
    return Rebuilt(replay.first, replay.checkpoint.revision, time.monotonic() - started, tables)


@dataclass
class _Rebuild:
    """One replay on its way to the live tables."""

    client: Client
    live: asyncpg.Connection
    replay: Replay
    times: ProjectorTimes
    generation: int | None = None
    """Generation of the live tables; None before the first look at them."""

    async def approach(self) -> None:
        """Come close to the live tables."""
        while (live := await self._applied()).revision - self.replay.checkpoint.revision > self.replay.batch_events:
            await self._advance(live.revision)

    async def meet(self) -> Sequence[Difference]:
        """Hold the projector, come to where it is, and correct its tables by the shadow's; in a transaction."""
        live = await self._applied(hold=True)
        while self.replay.checkpoint.revision < live.revision:
            await self._advance(live.revision)
        if self.replay.checkpoint.event_id != live.event_id:
            raise RebuildError(
                f"revision {live.revision} of the stream is not the event that was applied: run it again"
            )
        await self.replay.merge_journal()
        compared = [self.replay.journal]
        for twin in swap.twins(self.replay.first, live):
            difference = await swap.compare(self.live, self.replay.shadow, twin)
            if difference.found:
                await swap.put_right(self.live, self.replay.shadow, twin)
            compared.append(difference)
        if any(difference.found for difference in compared):
            await checkpoints.new_generation(self.live, self.generation or 0)
        return compared

    async def _advance(self, up_to: int) -> None:
        """Apply the next events that the live tables have, which the stream had a moment ago."""
        if not await self.replay.advance(self.times.event_seconds, up_to=up_to):
            at = self.replay.checkpoint.revision
            raise RebuildError(f"the stream has lost its events after revision {at}, or does not answer: run it again")

    async def _applied(self, *, hold: bool = False) -> Checkpoint:
        """How far the live tables are; with `hold` the projector stays there until the transaction ends.

        Raises RebuildError when the stream does not have that event, or when the tables have followed another stream
        meanwhile: then the replay is of both, even if the stream is the right one again.
        """
        found = await checkpoints.read(self.live, hold=hold)
        if found is None or found[0].revision == 0:
            raise RebuildError("no event has been applied to the tables yet: the projector fills them from the stream")
        checkpoint, generation = found
        if self.generation not in (None, generation):
            raise RebuildError("the stream was replaced, or had lost its end, and the tables followed it: run it again")
        self.generation = generation
        state, reason = await patiently(lambda: mismatch(self.client, checkpoint))
        if reason or checkpoint.revision < state.first_sequence:
            reason = reason or f"it begins with event {state.first_sequence}, after revision {checkpoint.revision}"
            raise RebuildError(
                f"the tables were filled from another stream: {reason}; the projector replays the present one by itself"
            )
        return checkpoint


@asynccontextmanager
async def _live(url: SecretStr) -> AsyncIterator[asyncpg.Connection]:
    """A connection to the live tables, as the only rebuild."""
    live = await database.connect(url, application="summit-rebuild")
    try:
        if not await live.fetchval(_LOCK):
            raise RebuildError("another rebuild of these tables is under way")
        if (revision := await checkpoints.schema_revision(live)) != SCHEMA_REVISION:
            raise RebuildError(
                newer_schema(revision)
                or f"the tables are at schema revision {revision}, this version's are at {SCHEMA_REVISION}: "
                "start its projector first, which migrates them"
            )
        yield live
    finally:
        with contextlib.suppress(*database.OUTAGE):  # waits until Postgres has released the lock: another may follow
            await live.close(timeout=RELEASE_SECONDS)


async def _serve(settings: ProjectorSettings, _: asyncio.Event) -> None:
    async with bus.connected(settings.nats_url, name="rebuild", login=settings.nats_login) as client:
        rebuilt = await rebuild(client, settings)
    sys.stdout.write(f"{rebuilt.as_text()}\n")


if __name__ == "__main__":
    process.main("rebuild", ProjectorSettings, _serve)
