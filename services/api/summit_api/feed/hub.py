"""Where the feed's frames and its clients meet: whoever tells puts frames in, clients wait for the next ones."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime

from summit_api.feed.frame import Frame, Topic, frame
from summit_api.feed.reset import Cause
from summit_api.feed.ring import Ring
from summit_api.metrics import FEED_MESSAGES
from summit_api.query.position import Position
from summit_models.contract import Revision

BUFFER_BYTES = 32 * 1024 * 1024
"""About ten thousand changes: those of hours on a quiet day, of half a minute at 500 a second."""


class Hub:
    """The ring, how far it is, and the bell that wakes all clients."""

    def __init__(self, buffer_bytes: int) -> None:
        self.ring = Ring(buffer_bytes)
        self.position = Position(Revision(0), "")
        """A client that begins here and now has seen all up to it in the tables."""
        self.turn = 0
        """Raised whenever what clients know has become worthless; 0 until the first frames can be told."""
        self.cause, self.reason = Cause.BEGUN, ""
        """Of the last turn."""
        self.closed = False
        self._bell = asyncio.Event()

    def restart(self, *, since: Revision, position: Position, cause: Cause, reason: str) -> None:
        """Begin anew: frames after `since` follow, and all clients are told to read anew, as of `position`."""
        self.ring.restart(since)
        self.position = position
        self.turn += 1
        self.cause, self.reason = cause, reason
        self._ring_bell()

    def publish(self, frames: Iterable[Frame], revision: Revision | None = None) -> None:
        """Tell all clients. All of the log up to `revision` has been told then."""
        for told in frames:
            self.ring.append(told)
            FEED_MESSAGES.labels(told.topic).inc()
        if revision is not None:
            self.ring.advance(revision)
            self.position = self.position._replace(revision=max(self.position.revision, revision))
        self._ring_bell()

    def test_event(self, words: str) -> None:
        """Tell all clients of this process `test:event`, which is not in the log."""
        self.publish([frame(Topic.TEST, "test", {"msg": words}, time=datetime.now(UTC), before=None, after=None)])

    def close(self) -> None:
        """End every client's feed."""
        self.closed = True
        self._ring_bell()

    async def bell(self) -> None:
        """Wait for the next frame, turn or end."""
        await self._bell.wait()

    def _ring_bell(self) -> None:
        bell, self._bell = self._bell, asyncio.Event()
        bell.set()
