"""One client's feed: where it begins, and how it goes on without a gap.

It is a place in the ring and no queue: what the client has not taken yet costs nothing. It begins here and now, after
the revision that the client has, or with a snapshot of its list. What cannot go on without a gap is reset: the client
is told, and reads anew, or gets a new snapshot if it asked for one.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

from summit_api.feed.clusters import Clusters
from summit_api.feed.frame import HEARTBEAT, HELLO, Frame, bookmark, message
from summit_api.feed.hub import Hub
from summit_api.feed.reset import Cause
from summit_api.feed.selection import Selection
from summit_api.feed.snapshot import Snapshots, TooSlowError
from summit_api.feed.source import OUTAGE, GenerationError, OtherLogError, Source, TooOldError
from summit_api.metrics import FEED_RESETS
from summit_api.query.position import Position
from summit_models.contract import Revision
from summit_runtime.backoff import Backoff

_BEGINNING = Revision(0)


class ResetError(Exception):
    """What the client knows is worthless; the sentence says why. `revision`: if known, what a list shows at least."""

    def __init__(self, cause: Cause, reason: str, revision: Revision = _BEGINNING) -> None:
        super().__init__(reason)
        self.cause = cause
        self.revision = revision


@dataclass(frozen=True)
class Wish:
    """What a client asked for. `after` None: from now on, or with a snapshot."""

    selection: Selection
    after: Position | None = None
    snapshot: bool = False


class Subscription:
    """Chunks of the feed for one client, until the process ends."""

    def __init__(self, wish: Wish, *, hub: Hub, source: Source, clusters: Clusters, snapshots: Snapshots) -> None:
        self._wish = wish
        self._hub = hub
        self._source = source
        self._clusters = clusters
        self._snapshots = snapshots
        self._after = wish.after and wish.after.revision
        """Up to this revision the client has everything; None before its snapshot."""
        self._era = wish.after.era if wish.after else ""
        """What that is a revision of."""
        from_now_on = wish.after is None and not wish.snapshot
        self._turn = hub.turn if from_now_on else None
        """The turn that the client's knowledge belongs to; None for who has yet to be told or asked."""
        self._owes_clusters = not from_now_on

    def heartbeat(self) -> bytes:
        """A comment, and how far the feed is, so that a client whose list seldom changes resumes from here."""
        return HEARTBEAT if self._after is None else HEARTBEAT + bookmark(Position(self._after, self._era))

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Chunks of whole messages. An empty one says nothing."""
        yield HELLO
        backoff = Backoff(initial_seconds=0.1, max_seconds=5.0)
        while not self._hub.closed:
            try:
                async with aclosing(self._session()) as session:
                    async for chunk in session:
                        yield chunk
            except ResetError as reset:
                yield self._reset(reset)
            except TooSlowError:
                return
            except OUTAGE:
                await asyncio.sleep(backoff.next_seconds())
                if self._after is None:
                    yield self._reset(ResetError(Cause.BROKEN_OFF, "the snapshot could not be read to its end"))

    async def _session(self) -> AsyncGenerator[bytes]:
        """The feed up to the first trouble."""
        await self._first_turn()
        if self._after is None and self._wish.snapshot:
            async with self._snapshots.listing(self._wish.selection) as listing:
                async for chunk in listing.chunks:
                    yield chunk
            self._after, self._era = listing.position
        if self._after is None:
            self._after, self._era = self._hub.position
        elif self._era != self._hub.position.era or self._after > self._hub.position.revision:
            await self._look_at_tables(Position(self._after, self._era))
        yield bookmark(Position(self._after, self._era))
        while (offset := self._hub.ring.offset_after(self._after)) is None:
            yield await self._replayed(self._after)
        async with aclosing(self._live(offset)) as live:
            async for chunk in live:
                yield chunk

    async def _first_turn(self) -> None:
        """Before the first frames of the process can be told, nothing can."""
        while not self._hub.turn and not self._hub.closed:
            await self._hub.bell()
        if self._turn is None:
            self._turn = self._hub.turn
        self._check_turn()

    async def _look_at_tables(self, after: Position) -> None:
        """A list may be a moment ahead of the feed; nothing is ahead of the tables, or of what they are not."""
        newest = await self._source.newest()
        self._check_turn()
        if newest.era != self._hub.position.era:
            await self._next_turn()
        if after.era != newest.era:
            reason = "it is of a log that was replaced, or of tables that were rebuilt since"
            raise ResetError(Cause.REPLACED, reason, newest.revision)
        if after.revision > newest.revision:
            reason = f"revision {after.revision} is not there yet, the newest is {newest.revision}"
            raise ResetError(Cause.FUTURE, reason, newest.revision)

    async def _replayed(self, after: Revision) -> bytes:
        """A piece of what the ring has no longer."""
        try:
            frames, reached = await self._source.replay(after)
        except TooOldError as error:
            raise ResetError(Cause.TOO_OLD, f"what followed revision {after} is not kept: {error}") from error
        except (GenerationError, OtherLogError):
            await self._next_turn()
            return b""
        chunk = self._chunk(frames)
        self._after = reached
        return chunk

    async def _next_turn(self) -> None:
        """The tables are of another generation than the feed, which will see it, too."""
        while not self._hub.closed:
            self._check_turn()
            await self._hub.bell()

    async def _live(self, offset: int) -> AsyncGenerator[bytes]:
        ring = self._hub.ring
        while not self._hub.closed:
            self._check_turn()
            if offset < ring.begin:
                raise ResetError(Cause.TOO_SLOW, "this connection was too slow for all that happened")
            if frames := ring.take(offset):
                offset += len(frames)
                yield self._chunk(frames)
            elif self._owes_clusters and (self._after or 0) <= self._hub.position.revision:  # a list may be ahead
                self._owes_clusters = False
                yield self._chunk(self._clusters.present(datetime.now(UTC)))
            else:
                self._after = max(self._after or ring.last, ring.last)
                await self._hub.bell()

    def _chunk(self, frames: Iterable[Frame]) -> bytes:
        """Messages of those frames that are news to the client and change its list."""
        told = []
        for frame in frames:
            if frame.revision is not None:
                if self._after is not None and frame.revision <= self._after:
                    continue
                self._after = frame.revision
            if (text := self._wish.selection.told(frame)) is not None:
                told.append(text)
        return b"".join(told)

    def _check_turn(self) -> None:
        if self._turn != self._hub.turn:
            raise ResetError(self._hub.cause, self._hub.reason)

    def _reset(self, error: ResetError) -> bytes:
        """Tell the client to read anew. The original's page does so when it hears `refresh`."""
        revision = max(error.revision, self._hub.position.revision)
        position = Position(revision, self._hub.position.era)
        self._turn = self._hub.turn
        self._after, self._era = None if self._wish.snapshot else revision, position.era
        self._owes_clusters = True
        FEED_RESETS.labels(error.cause).inc()
        now = datetime.now(UTC)
        payload = {"cause": error.cause, "reason": str(error), "revision": revision}
        return message("reset", payload, time=now, position=position) + message("refresh", {}, time=now)
