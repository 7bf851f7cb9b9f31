"""Where the frames of the feed come from: the journal, read once for all clients of the process.

The projector writes an entry in the transaction that changes the row, so a feed and a list cannot disagree, and
`?since=` a list's position continues exactly there. A notification wakes the source after each commit. When the era
changes, because the log was replaced or the tables were rebuilt, revisions start over and all clients are reset.

Frames of the last changes are in memory. Clients that were away for longer read the journal, a piece at a time
(`replay`).
"""

import asyncio
import logging
from datetime import UTC, datetime

from summit_api.access.principal import EVERYTHING
from summit_api.feed.clusters import Clusters
from summit_api.feed.frame import Cause, Frame
from summit_api.feed.hub import Hub
from summit_api.feed.limits import FeedLimits
from summit_api.feed.messages import frame_of
from summit_api.query import clusters as cluster_query
from summit_api.query import journal
from summit_api.query.errors import QueryError
from summit_api.query.journal import Entry
from summit_api.query.position import Position
from summit_api.query.read_transaction import ReadModels, ReadTransaction
from summit_api.render.moment import Moment
from summit_api.revisions import Revisions
from summit_api.settings import ApiTimes
from summit_models.contract import Revision
from summit_runtime.backoff import Backoff
from summit_runtime.condition import Condition
from summit_runtime.waiting import wait

logger = logging.getLogger("summit.api")

PIECE_ENTRIES = 1000
"""Read at once: some megabytes, and a tenth of a second."""


class OtherEraError(Exception):
    """The tables were changed otherwise than by the next event."""


class TooOldError(Exception):
    """The changes after that revision can no longer be sent; the sentence says why."""


class Source:
    """Reads the journal into the hub, and again for clients that were away for long."""

    def __init__(
        self,
        hub: Hub,
        clusters: Clusters,
        read_models: ReadModels,
        revisions: Revisions,
        *,
        times: ApiTimes,
        limits: FeedLimits,
    ) -> None:
        self._hub = hub
        self._clusters = clusters
        self._read_models = read_models
        self._revisions = revisions
        self._look_seconds = times.look_seconds
        self._limits = limits
        self._replays = asyncio.Semaphore(limits.replays_at_once)

    async def follow(self) -> None:
        """Publish each change of the tables, for ever; wait while Postgres is away."""
        waits = Condition(logger)
        backoff = Backoff(initial_seconds=0.1, max_seconds=5.0)
        while True:
            committed = self._revisions.next()  # before the look: a commit after it sets it
            try:
                await self._catch_up()
            except QueryError as error:
                waits.holds("the live feed waits: %s", error)
                await asyncio.sleep(backoff.next_seconds())
            else:
                waits.ends("the live feed continues")
                backoff.reset()
                await wait(committed, self._look_seconds)

    async def replay(self, after: Revision) -> tuple[list[Frame], Revision]:
        """Read the journal again after `after`: one piece, not beyond where the ring begins.

        Gives the frames, and up to where they reach. Raises TooOldError when the changes can no longer be sent,
        OtherEraError when the tables have changed otherwise, QueryError when they cannot be read.
        """
        async with self._replays, self._read_models.transaction() as transaction:
            if transaction.position.era != self._hub.position.era:
                raise OtherEraError
            until = self._hub.ring.since
            if (complete_after := await journal.complete_after(transaction)) > after:
                raise TooOldError(f"the journal begins after revision {complete_after}")
            if (missed := until - after) > (most := self._limits.replay_revisions):
                raise TooOldError(f"{missed} events have been missed, and no more than {most} are repeated")
            return await self._frames(transaction, after, until)

    async def newest(self) -> Position:
        """How far the tables are."""
        async with self._read_models.transaction() as transaction:
            return transaction.position

    async def _catch_up(self) -> None:
        """Publish all changes up to now, each piece of them from one transaction."""
        reached, now = Revision(0), Revision(1)
        while reached < now:
            async with self._read_models.transaction() as transaction:
                if transaction.stream_created_at is None:
                    return  # the projector has not begun
                if transaction.position.era != self._hub.position.era:
                    await self._begin(transaction)
                now = transaction.revision
                frames, reached = await self._frames(transaction, self._hub.ring.last, now)
            self._hub.publish(frames, reached)

    async def _begin(self, transaction: ReadTransaction) -> None:
        """Start over in the era of the tables, some revisions back."""
        begun = self._hub.turn > 0
        self._clusters.note(await cluster_query.listed(transaction, EVERYTHING))
        look_back = Revision(max(transaction.revision - self._limits.look_back_revisions, 0))
        self._hub.restart(
            since=max(look_back, await journal.complete_after(transaction)),
            position=transaction.position,
            cause=Cause.REPLACED if begun else Cause.BEGUN,
            reason="the log was replaced, or the tables were rebuilt" if begun else "the feed has only now begun",
        )

    async def _frames(
        self, transaction: ReadTransaction, after: Revision, until: Revision
    ) -> tuple[list[Frame], Revision]:
        """The frames of the next piece, and the revision that it reaches."""
        entries = await journal.entries(transaction, after, until=until, limit=PIECE_ENTRIES)
        if any(entry.collection == "clusters" for entry in entries):
            self._clusters.note(await cluster_query.listed(transaction, EVERYTHING))
        now = datetime.now(UTC)
        moment, era = self._clusters.moment(now), transaction.position.era
        frames = [self._frame(entry, moment, Position(entry.revision, era)) for entry in entries]
        reached = entries[-1].revision if len(entries) == PIECE_ENTRIES else until
        return [frame for frame in frames if frame], reached

    def _frame(self, entry: Entry, moment: Moment, position: Position) -> Frame | None:
        if entry.collection == "clusters":
            return self._clusters.changed(entry, moment.now, position)
        return frame_of(entry, moment, position)
