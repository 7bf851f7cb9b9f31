"""The live feed of this process: the journal, read once for all its clients.

The projector writes an entry in the transaction that changes the row, so a feed and a list cannot disagree, and
`?since=` a list's position continues exactly there. A notification wakes the feed after each commit. When the era
changes, because the log was replaced or the tables were rebuilt, revisions start over and all clients are reset.

Frames of the last changes are in memory. Clients that were away for longer read the journal, a piece at a time
(`replay`).
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from summit_api.access.principal import EVERYTHING
from summit_api.feed.clusters import Clusters
from summit_api.feed.frame import Cause, Frame
from summit_api.feed.hub import Hub
from summit_api.feed.messages import frame_of
from summit_api.feed.selection import Selection
from summit_api.feed.snapshot import Snapshot, chunks
from summit_api.freshness import Freshness
from summit_api.limits.turns import Turns
from summit_api.metrics import EVENT_TO_FEED_SECONDS
from summit_api.query import datacenters, journal
from summit_api.query.journal import Entry
from summit_api.query.transaction.errors import QueryError, SchemaNewerError
from summit_api.query.transaction.position import Position
from summit_api.query.transaction.read_transaction import ReadModels, ReadTransaction
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


@dataclass(frozen=True)
class FeedLimits:
    """How much the feed keeps and does at once, for all clients of a process together."""

    buffer_bytes: int = 32 * 1024 * 1024
    """About eight thousand changes: those of hours on a quiet day, of a quarter of a minute at 500 a second."""
    look_back_revisions: int = 5000
    """Read at the start of a process, in half a second, so that not each client that comes back reads them."""
    replay_revisions: int = 100_000
    """A client that missed more had better list again: the list of the largest fleet is not longer."""
    replays_at_once: int = 4
    """Each is work that live clients wait for."""
    snapshots_at_once: int = 2
    """Each holds a connection of the pool and a transaction for as long as its client takes."""


class OtherEraError(Exception):
    """The tables were changed otherwise than by the next event."""


class TooOldError(Exception):
    """The changes after that revision can no longer be sent; the sentence says why."""


class _Piece(NamedTuple):
    frames: list[Frame]
    reached: Revision
    """The frames are those of all entries up to this revision."""
    oldest: datetime | None
    """When the first of its events was observed, by the clock of NATS."""


class Feed:
    """`follow` and `watch_clusters` run for the life of the process; each client has a subscription."""

    def __init__(
        self,
        read_models: ReadModels,
        freshness: Freshness,
        revisions: Revisions,
        *,
        times: ApiTimes,
        limits: FeedLimits,
        bulk_changed: asyncio.Event,
    ) -> None:
        self.hub = Hub(limits.buffer_bytes)
        self.clusters = Clusters(freshness)
        self.refusal: str | None = None
        """Why nobody can open a feed: it would never have a message."""
        self._freshness = freshness
        self._read_models = read_models
        self._revisions = revisions
        self._times = times
        self._limits = limits
        self._replays = Turns(limits.replays_at_once)
        self._snapshots = Turns(limits.snapshots_at_once)
        self._bulk_changed = bulk_changed
        """Set with each change of an operation on many VMs, or of a part of one: others than clients wait for that."""

    async def follow(self) -> None:
        """Publish each change of the tables, for ever; wait while Postgres is away."""
        waits = Condition(logger)
        backoff = Backoff(initial_seconds=0.1, max_seconds=5.0)
        while True:
            committed = self._revisions.next()  # before the look: a commit after it sets it
            try:
                await self._catch_up()
            except QueryError as error:
                self.refusal = str(error) if isinstance(error, SchemaNewerError) else None
                waits.holds("the live feed waits: %s", error)
                await asyncio.sleep(backoff.next_seconds())
            else:
                self.refusal = None
                waits.ends("the live feed continues")
                backoff.reset()
                await wait(committed, self._times.look_seconds)

    async def watch_clusters(self) -> None:
        """Publish which clusters become stale or fresh, for ever: also without NATS, when all become stale."""
        while True:
            self.hub.publish(self.clusters.turned(self._moment()))
            await asyncio.sleep(self._times.staleness_seconds)

    async def replay(self, after: Revision, client: str) -> tuple[list[Frame], Revision]:
        """Read the journal again after `after`: one piece, not beyond where the ring begins.

        Gives the frames, and up to where they reach. Raises TooOldError when the changes can no longer be sent,
        OtherEraError when the tables have changed otherwise, QueryError when they cannot be read.
        """
        async with self._replays.take(client), self._read_models.transaction() as transaction:
            if transaction.position.era != self.hub.position.era:
                raise OtherEraError
            until = self.hub.ring.since
            if (complete_after := await journal.complete_after(transaction)) > after:
                raise TooOldError(f"the journal begins after revision {complete_after}")
            if (missed := until - after) > (most := self._limits.replay_revisions):
                raise TooOldError(f"{missed} events have been missed, and no more than {most} are repeated")
            piece = await self._piece(transaction, after, until, live=False)
        return piece.frames, piece.reached

    def present_clusters(self) -> list[Frame]:
        """Each cluster as it is now, for a client that begins or returns."""
        return self.clusters.present(self._moment())

    async def newest(self) -> Position:
        """How far the tables are."""
        async with self._read_models.transaction() as transaction:
            return transaction.position

    @asynccontextmanager
    async def snapshot(self, selection: Selection, client: str) -> AsyncIterator[Snapshot]:
        """The list of a client, read in one transaction."""
        async with self._snapshots.take(client), self._read_models.transaction() as transaction:
            moment = self._moment()
            seconds = self._times.snapshot_seconds
            yield Snapshot(transaction.position, chunks(transaction, selection, moment, seconds))

    def _moment(self) -> Moment:
        return self._freshness.moment(datetime.now(UTC))

    async def _catch_up(self) -> None:
        """Publish all changes up to now, each piece of them from one transaction."""
        reached, now, looks_back = Revision(0), Revision(1), False
        while reached < now:
            async with self._read_models.transaction() as transaction:
                if transaction.stream_created_at is None:
                    return  # the projector has not begun
                if transaction.position.era != self.hub.position.era:
                    await self._begin(transaction)
                    looks_back = True
                now = transaction.revision
                piece = await self._piece(transaction, self.hub.ring.last, now, live=True)
            reached = piece.reached
            self.hub.publish(piece.frames, reached)
            self._revisions.traces.handed_over(reached)
            if piece.oldest and not looks_back:
                age_seconds = (self._freshness.clock.now() - piece.oldest).total_seconds()
                EVENT_TO_FEED_SECONDS.observe(max(age_seconds, 0))

    async def _begin(self, transaction: ReadTransaction) -> None:
        """Start over in the era of the tables, some revisions back."""
        begun = self.hub.turn > 0
        self.clusters.note(await datacenters.clusters(transaction, EVERYTHING))
        look_back = Revision(max(transaction.revision - self._limits.look_back_revisions, 0))
        self.hub.restart(
            since=max(look_back, await journal.complete_after(transaction)),
            position=transaction.position,
            cause=Cause.REPLACED if begun else Cause.BEGUN,
            reason="the log was replaced, or the tables were rebuilt" if begun else "the feed has only now begun",
        )

    async def _piece(self, transaction: ReadTransaction, after: Revision, until: Revision, *, live: bool) -> _Piece:
        """The next piece.

        Only what is `live` changes what the feed knows of the clusters: a replay is for one client and may be older.
        """
        entries = await journal.entries(transaction, after, until=until, limit=PIECE_ENTRIES)
        if live and any(entry.collection == "clusters" for entry in entries):
            self.clusters.note(await datacenters.clusters(transaction, EVERYTHING))
        if live and any(map(_is_bulk, entries)):
            self._bulk_changed.set()
        moment, era = self._moment(), transaction.position.era
        frames = [self._frame(entry, moment, Position(entry.revision, era), live=live) for entry in entries]
        reached = entries[-1].revision if len(entries) == PIECE_ENTRIES else until
        oldest = min((entry.time for entry in entries), default=None)
        return _Piece([frame for frame in frames if frame], reached, oldest)

    def _frame(self, entry: Entry, moment: Moment, position: Position, *, live: bool) -> Frame | None:
        if entry.collection == "clusters":
            return self.clusters.changed(entry, moment, position, live=live)
        return frame_of(entry, moment, position)


def _is_bulk(entry: Entry) -> bool:
    return entry.collection == "bulk_operations" or (
        entry.collection == "operations" and entry.data.get("parent") is not None
    )
