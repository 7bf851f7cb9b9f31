"""Where the frames of the feed and its clients meet: frames are put in, and clients wait for the next ones."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime

from summit_api.feed.frame import Cause, Frame, Topic, frame
from summit_api.feed.ring import Ring
from summit_api.metrics import FEED_MESSAGES
from summit_api.query.position import Position
from summit_models.contract import Revision


class Hub:
    """The ring, how far it is, and the event that wakes all clients."""

    def __init__(self, buffer_bytes: int) -> None:
        self.ring = Ring(buffer_bytes)
        self.position = Position(Revision(0), "")
        """A client that begins here and now has seen everything up to this position in the tables."""
        self.turn = 0
        """Raised when everything that clients know has become worthless; 0 before the feed has begun."""
        self.cause, self.reason = Cause.BEGUN, ""
        """Of the last turn."""
        self.closed = False
        self._next = asyncio.Event()

    def restart(self, *, since: Revision, position: Position, cause: Cause, reason: str) -> None:
        """Start over: frames after `since` follow, and all clients are reset to `position`."""
        self.ring.restart(since)
        self.position = position
        self.turn += 1
        self.cause, self.reason = cause, reason
        self._wake()

    def publish(self, frames: Iterable[Frame], revision: Revision | None = None) -> None:
        """Hand frames to all clients. With `revision`, no frame up to it is missing any longer."""
        for published in frames:
            self.ring.append(published)
            FEED_MESSAGES.labels(published.topic).inc()
        if revision is not None:
            self.ring.advance(revision)
            self.position = self.position._replace(revision=max(self.position.revision, revision))
        self._wake()

    def test_event(self, text: str) -> None:
        """Send `test:event`, which has no journal entry, to all clients of this process."""
        self.publish([frame(Topic.TEST, "test", {"msg": text}, time=datetime.now(UTC), before=None, after=None)])

    def close(self) -> None:
        """End every client's feed."""
        self.closed = True
        self._wake()

    async def next(self) -> None:
        """Wait for the next frame, turn or end."""
        await self._next.wait()

    def _wake(self) -> None:
        awaited, self._next = self._next, asyncio.Event()
        awaited.set()
