"""One client's feed: where it begins, and how it continues without a gap.

It is a place in the ring and not a queue: frames that the client has not taken yet cost nothing. It begins now, after
the position that the client has, or with a snapshot of its list. When it cannot continue without a gap, the client gets
a reset and lists again, or gets a new snapshot if it began with one.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

from summit_api.feed.feed import Feed, OtherEraError, TooOldError
from summit_api.feed.frame import HEARTBEAT, HELLO, Cause, Frame, bookmark, message
from summit_api.feed.selection import Selection
from summit_api.feed.snapshot import TooSlowError
from summit_api.metrics import FEED_RESETS
from summit_api.query.transaction.errors import QueryError
from summit_api.query.transaction.position import Position
from summit_models.contract import Revision
from summit_runtime.backoff import Backoff

_BEGINNING = Revision(0)


class ResetError(Exception):
    """The client has to list again; the sentence says why. A list shows `revision` or a later one."""

    def __init__(self, cause: Cause, reason: str, revision: Revision = _BEGINNING) -> None:
        super().__init__(reason)
        self.cause = cause
        self.revision = revision


@dataclass(frozen=True)
class FeedRequest:
    """The request of a client. With `after` None the feed begins now, or with a snapshot."""

    client: str
    selection: Selection
    after: Position | None = None
    snapshot: bool = False


class Subscription:
    """Chunks of the feed for one client, until the process ends."""

    def __init__(self, request: FeedRequest, feed: Feed) -> None:
        self._request = request
        self._feed = feed
        self._hub = feed.hub
        self._after = request.after and request.after.revision
        """The client has everything up to this revision; None before its snapshot."""
        self._era = request.after.era if request.after else ""
        """The era of that revision."""
        from_now_on = request.after is None and not request.snapshot
        self._turn = feed.hub.turn if from_now_on else None
        """The turn in which the client has begun; None before that."""
        self._needs_clusters = not from_now_on

    def heartbeat(self) -> bytes:
        """A comment, and how far the feed is, so that a client whose list seldom changes resumes from here."""
        return HEARTBEAT if self._after is None else HEARTBEAT + bookmark(Position(self._after, self._era))

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Chunks of whole messages. A chunk may be empty."""
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
            except QueryError:
                await asyncio.sleep(backoff.next_seconds())
                if self._after is None:
                    yield self._reset(ResetError(Cause.BROKEN_OFF, "the snapshot could not be read to its end"))

    async def _session(self) -> AsyncGenerator[bytes]:
        """The feed until something interrupts it."""
        await self._first_turn()
        if self._after is None and self._request.snapshot:
            async with self._feed.snapshot(self._request.selection, self._request.client) as snapshot:
                async for chunk in snapshot.chunks:
                    yield chunk
            self._after, self._era = snapshot.position
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
        """Wait until the feed of the process has begun."""
        while not self._hub.turn and not self._hub.closed:
            await self._hub.next()
        if self._turn is None:
            self._turn = self._hub.turn
        self._check_turn()

    async def _look_at_tables(self, after: Position) -> None:
        """Compare with the tables: a list may be a moment ahead of the feed, but nothing is ahead of the tables."""
        newest = await self._feed.newest()
        self._check_turn()
        if newest.era != self._hub.position.era:
            await self._next_turn()
        if after.era != newest.era:
            reason = "the position is of a log that was replaced, or of tables that were rebuilt since"
            raise ResetError(Cause.REPLACED, reason, newest.revision)
        if after.revision > newest.revision:
            reason = f"revision {after.revision} is not there yet; the newest is {newest.revision}"
            raise ResetError(Cause.FUTURE, reason, newest.revision)

    async def _replayed(self, after: Revision) -> bytes:
        """A piece of what the ring has dropped."""
        try:
            frames, reached = await self._feed.replay(after, self._request.client)
        except TooOldError as error:
            raise ResetError(Cause.TOO_OLD, f"the changes after revision {after} are not kept: {error}") from error
        except OtherEraError:
            await self._next_turn()
            return b""
        chunk = self._chunk(frames)
        self._after = reached
        return chunk

    async def _next_turn(self) -> None:
        """Wait for the reset that follows, because the feed notices the other era of the tables, too."""
        while not self._hub.closed:
            self._check_turn()
            await self._hub.next()

    async def _live(self, offset: int) -> AsyncGenerator[bytes]:
        ring = self._hub.ring
        while not self._hub.closed:
            self._check_turn()
            if offset < ring.begin:
                raise ResetError(Cause.TOO_SLOW, "this connection was too slow for all that happened")
            if frames := ring.take(offset):
                offset += len(frames)
                yield self._chunk(frames)
            elif self._needs_clusters and (self._after or 0) <= self._hub.position.revision:  # a list may be ahead
                self._needs_clusters = False
                yield self._chunk(self._feed.present_clusters())
            else:
                self._after = max(self._after or ring.last, ring.last)
                await self._hub.next()

    def _chunk(self, frames: Iterable[Frame]) -> bytes:
        """The messages of those frames that the client does not have and that change its list."""
        messages = []
        for frame in frames:
            if frame.revision is not None:
                if self._after is not None and frame.revision <= self._after:
                    continue
                self._after = frame.revision
            if (text := self._request.selection.message(frame)) is not None:
                messages.append(text)
        return b"".join(messages)

    def _check_turn(self) -> None:
        if self._turn != self._hub.turn:
            raise ResetError(self._hub.cause, self._hub.reason)

    def _reset(self, error: ResetError) -> bytes:
        """The messages that make the client list again. The page of the original does so at `refresh`."""
        revision = max(error.revision, self._hub.position.revision)
        position = Position(revision, self._hub.position.era)
        self._turn = self._hub.turn
        self._after, self._era = None if self._request.snapshot else revision, position.era
        self._needs_clusters = True
        FEED_RESETS.labels(error.cause).inc()
        now = datetime.now(UTC)
        payload = {"cause": error.cause, "reason": str(error), "revision": revision}
        return message("reset", payload, time=now, position=position) + message("refresh", {}, time=now)
