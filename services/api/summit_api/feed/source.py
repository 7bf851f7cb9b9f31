"""Where the feed's frames come from: one reader of the log for the process, held back by the tables.

A message of the log is told when the tables contain it, and only if they took it in: what a reader of lists cannot see
is not told either. So list and feed never disagree, and `?since=` a list's revision continues exactly there. Each run
of messages is looked at in one transaction, whose era tells whether they still are what
the log made of them step by step. When they are not - the log was replaced, the tables rebuilt - all clients are reset.

At its start the feed looks back a few thousand messages, so that clients which come back after a restart of the api
find in memory what they missed. Those that were away for longer read the log again, a few at a time (`replay`).
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from nats.aio.client import Client
from nats.errors import Error as NatsError

from summit_api.access.scope import EVERYTHING
from summit_api.feed.change import Change, changes_in
from summit_api.feed.clusters import Clusters
from summit_api.feed.frame import Frame
from summit_api.feed.hub import Hub
from summit_api.feed.messages import frame_of
from summit_api.feed.reset import Cause
from summit_api.query import clusters as cluster_query
from summit_api.query.applied import applied
from summit_api.query.errors import QueryError
from summit_api.query.position import Position
from summit_api.query.read_transaction import ReadModels, ReadTransaction
from summit_api.render.moment import Moment
from summit_api.revisions import Revisions
from summit_api.settings import ApiTimes
from summit_models.contract import Revision
from summit_runtime.backoff import Backoff
from summit_runtime.nats import bus
from summit_runtime.nats.bus import StreamState
from summit_runtime.nats.consumer import PULL_MESSAGES, StreamMessage, consume
from summit_runtime.waiting import end

logger = logging.getLogger("summit.api")

LOOK_BACK_EVENTS = 5000
"""Half a second's work at the start of a process; minutes of a busy fleet, hours of a quiet one."""
REPLAY_EVENTS = 100_000
"""A client that missed more had better list again: the list of the largest fleet is not longer."""
REPLAYS_AT_ONCE = 4
"""Each is a consumer on the server, and work that live clients wait for."""
REPLAY_SECONDS = 30.0
"""For a thousand messages; they take a tenth of a second, unless the log was replaced and they will never come."""

OUTAGE = (OSError, TimeoutError, NatsError, QueryError)
"""NATS or Postgres is away, or the projector has not migrated yet; each passes without our doing."""


_REPLACED = (Cause.REPLACED, "the log was replaced, or the tables were rebuilt")


class GenerationError(Exception):
    """The tables were changed otherwise than by the next event."""


class OtherLogError(Exception):
    """The log is not the one that the tables are of. The projector sees to that, and makes them those of the log."""


class TooOldError(Exception):
    """What happened after that revision cannot be told any more; the sentence says why."""


class Source:
    """Reads the log into the hub, and reads it again for those who were away for long."""

    def __init__(
        self, hub: Hub, clusters: Clusters, read_models: ReadModels, revisions: Revisions, times: ApiTimes
    ) -> None:
        self._hub = hub
        self._clusters = clusters
        self._read_models = read_models
        self._revisions = revisions
        self._look_seconds = times.look_seconds
        self._client: Client | None = None
        self._era = ""
        self._stream_created_at: datetime | None = None
        self._replays = asyncio.Semaphore(REPLAYS_AT_ONCE)
        self._backoff = Backoff(initial_seconds=0.1, max_seconds=5.0)
        self._waits = False

    async def follow(self, client: Client) -> None:
        """Tell all that the tables take in, for ever; a lost server is waited for."""
        self._client = client
        while True:
            try:
                await self._session(client)
            except GenerationError:
                continue
            except (OtherLogError, *OUTAGE) as error:
                if not self._waits:
                    logger.warning("the live feed waits: %s", str(error) or type(error).__name__)
                self._waits = True
            await asyncio.sleep(self._backoff.next_seconds())

    async def replay(self, after: Revision) -> tuple[list[Frame], Revision]:
        """Read the log again after `after`, a thousand messages or up to where the ring begins.

        Gives the frames, and up to where they reach. Raises TooOldError when the log does not reach back so far,
        GenerationError when the tables change under it, OtherLogError when the log does, and what servers that are
        away make of it.
        """
        if self._client is None:
            raise TimeoutError("NATS has not been reached yet")
        async with self._replays:
            state = await self._log(self._client)
            if after + 1 < state.first_sequence:
                raise TooOldError(f"the log begins with revision {state.first_sequence}")
            if (missed := self._hub.ring.since - after) > REPLAY_EVENTS:
                raise TooOldError(f"{missed} events have been missed, and no more than {REPLAY_EVENTS} are repeated")
            async with asyncio.timeout(REPLAY_SECONDS), consume(self._client, after=after) as consumer:
                messages = await consumer.next_batch()
                while len(messages) < PULL_MESSAGES and messages[-1].sequence < self._hub.ring.since:
                    messages += await consumer.next_batch()
                await self._log(self._client)  # still the same one
                return await self._told(messages)

    async def newest(self) -> Position:
        """How far the tables are."""
        async with self._read_models.transaction() as transaction:
            return transaction.position

    async def _session(self, client: Client) -> None:
        after = await self._begin(client)
        async with consume(client, after=after) as consumer:
            await consumer.session()
            await self._log(client)
            if self._waits:
                logger.warning("the live feed goes on")
            self._waits = False
            self._backoff.reset()
            reading = asyncio.create_task(consumer.next_batch())
            try:
                while True:
                    await asyncio.wait({reading}, timeout=self._look_seconds)
                    if not reading.done():
                        await self._look()
                        continue
                    if consumer.made_anew > 1:
                        return  # the log may be another one than it was
                    await self._publish(reading.result())
                    reading = asyncio.create_task(consumer.next_batch())
            finally:
                await end(reading)

    async def _begin(self, client: Client) -> Revision:
        """Where to read from. What clients know is worthless if the tables or the log were replaced meanwhile."""
        state = await bus.stream_state(client)
        async with self._read_models.transaction() as transaction:
            self._clusters.declare(await cluster_query.listed(transaction, EVERYTHING))
        if transaction.stream_created_at is None:
            raise OtherLogError("the tables have yet to follow the log that is there")
        last = self._hub.ring.last
        position = transaction.position
        if self._era == position.era and state.first_sequence - 1 <= last <= position.revision:
            return last
        cause, reason = _REPLACED if self._era else (Cause.BEGUN, "the feed has only now begun")
        self._era, self._stream_created_at = position.era, transaction.stream_created_at
        since = Revision(max(state.first_sequence - 1, position.revision - LOOK_BACK_EVENTS, 0))
        if state.created_at != self._stream_created_at:
            since = position.revision  # what is in that log tells nothing of these tables
        self._hub.restart(since=since, position=position, cause=cause, reason=reason)
        return since

    async def _log(self, client: Client) -> StreamState:
        """The state of the log, which must be the one that the tables are of."""
        state = await bus.stream_state(client)
        if state.created_at != self._stream_created_at:
            raise OtherLogError("the tables have yet to follow the log that is there")
        return state

    async def _look(self) -> None:
        async with self._read_models.transaction() as transaction:
            self._check(transaction)

    async def _publish(self, messages: Sequence[StreamMessage]) -> None:
        while messages:
            frames, revision = await self._told(messages)
            self._hub.publish(frames, revision)
            messages = [message for message in messages if message.sequence > revision]

    async def _told(self, messages: Sequence[StreamMessage]) -> tuple[list[Frame], Revision]:
        """The frames of those messages that the tables have reached, at least one, and the last one's revision."""
        while True:
            await self._revisions.wait_for(messages[0].sequence, self._look_seconds)
            async with self._read_models.transaction() as transaction:
                self._check(transaction)
                if reached := [message for message in messages if message.sequence <= transaction.revision]:
                    changes = await applied(transaction, list(changes_in(reached)))
                    if any(change.collection == "clusters" for change in changes):
                        self._clusters.declare(await cluster_query.listed(transaction, EVERYTHING))
                    return self._frames(changes), Revision(reached[-1].sequence)

    def _frames(self, changes: Sequence[Change]) -> list[Frame]:
        now = datetime.now(UTC)
        moment = self._clusters.moment(now)
        frames = (self._frame(change, now, moment) for change in changes)
        return [frame for frame in frames if frame]

    def _frame(self, change: Change, now: datetime, moment: Moment) -> Frame | None:
        position = Position(change.revision, self._era)
        if change.collection == "clusters":
            return self._clusters.changed(change, now, position)
        return frame_of(change, moment, position)

    def _check(self, transaction: ReadTransaction) -> None:
        if transaction.position.era != self._era:
            raise GenerationError
