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
from summit_api.feed.source import OUTAGE, GenerationError, Source, TooOldError
from summit_api.metrics import FEED_RESETS
from summit_models.contract import Revision
from summit_runtime.backoff import Backoff

_BEGINNING = Revision(0)


class ResetError(Exception):
    """What the client knows is worthless; the sentence says why. `position`: if known, what a list shows at least."""

    def __init__(self, cause: Cause, reason: str, position: Revision = _BEGINNING) -> None:
        super().__init__(reason)
        self.cause = cause
        self.position = position


@dataclass(frozen=True)
class Wish:
    """What a client asked for. `after` None: from now on, or with a snapshot."""

    selection: Selection
    after: Revision | None = None
    snapshot: bool = False


class Subscription:
    """Chunks of the feed for one client, until the process ends."""

    def __init__(self, wish: Wish, *, hub: Hub, source: Source, clusters: Clusters, snapshots: Snapshots) -> None:
        self._wish = wish
        self._hub = hub
        self._source = source
        self._clusters = clusters
        self._snapshots = snapshots
        self._after = wish.after
        """Up to this revision the client has everything; None before its snapshot."""
        from_now_on = wish.after is None and not wish.snapshot
        self._turn = hub.turn if from_now_on else None
        """The turn that the client's knowledge belongs to; None for who has yet to be told or asked."""
        self._owes_clusters = not from_now_on

    def heartbeat(self) -> bytes:
        """A comment, and how far the feed is, so that a client whose list seldom changes resumes from here."""
        return HEARTBEAT if self._after is None else HEARTBEAT + bookmark(self._after)

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
            self._after = listing.revision
        if self._after is None:
            self._after = self._hub.position
        elif self._after > self._hub.position:
            await self._refuse_future(self._after)
        yield bookmark(self._after)
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

    async def _refuse_future(self, after: Revision) -> None:
        """A list may be a moment ahead of the feed; nothing is ahead of the tables."""
        newest = await self._source.newest()
        self._check_turn()  # else it may be a revision of another log
        if after > newest:
            raise ResetError(Cause.FUTURE, f"revision {after} is not there yet, the newest is {newest}", newest)

    async def _replayed(self, after: Revision) -> bytes:
        """A piece of what the ring has no longer."""
        try:
            frames, reached = await self._source.replay(after)
        except TooOldError as error:
            raise ResetError(Cause.TOO_OLD, f"what followed revision {after} is not kept: {error}") from error
        except GenerationError:
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
            elif self._owes_clusters:
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
        position = max(error.position, self._hub.position)
        self._turn = self._hub.turn
        self._after = None if self._wish.snapshot else position
        self._owes_clusters = True
        FEED_RESETS.labels(error.cause).inc()
        now = datetime.now(UTC)
        payload = {"cause": error.cause, "reason": str(error), "revision": position}
        return message("reset", payload, time=now, revision=position) + message("refresh", {}, time=now)
