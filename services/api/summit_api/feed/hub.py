"""Where the frames of the feed and its clients meet: frames are put in, and clients wait for the next ones.

The newest frames are in one ring for all clients: each only has a place in it. So a slow client costs no memory. When
the ring drops the frame at its place, the client is reset.
"""

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from summit_api.feed.frame import Cause, Frame, Topic, frame
from summit_api.metrics import FEED_MESSAGES, FEED_RESETS
from summit_api.query.transaction.position import Position
from summit_models.contract import Revision

for _topic in Topic:
    FEED_MESSAGES.labels(_topic)  # so that a series is there before its first message
for _cause in Cause:
    FEED_RESETS.labels(_cause)

CHUNK_BYTES = 64 * 1024
"""Sent to a client at once: as much as the server buffers for one connection before it waits for the client."""


class _Entry(NamedTuple):
    revision: Revision
    """The frame's, or for a frame without one that of the ring when the frame was added."""
    frame: Frame


class Ring:
    """Frames have offsets that only rise. All frames of revisions above `since` are here."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: deque[_Entry] = deque()
        self._bytes = 0
        self.begin = 0
        self.since = Revision(0)
        self.last = Revision(0)
        """All frames up to this revision have been added."""

    @property
    def end(self) -> int:
        return self.begin + len(self._entries)

    def restart(self, since: Revision) -> None:
        """Drop all frames, and continue after `since`."""
        self.begin = self.end
        self._entries.clear()
        self._bytes = 0
        self.since = self.last = since

    def append(self, frame: Frame) -> None:
        self.last = max(self.last, frame.revision or self.last)
        self._entries.append(_Entry(self.last, frame))
        self._bytes += frame.size
        while self._bytes > self._max_bytes:
            oldest = self._entries.popleft()
            self._bytes -= oldest.frame.size
            self.begin += 1
            self.since = oldest.revision

    def advance(self, revision: Revision) -> None:
        """Note that all frames up to this revision have been added."""
        self.last = max(self.last, revision)

    def offset_after(self, revision: Revision) -> int | None:
        """Where the frames above `revision` begin; None when some of them are gone."""
        if revision < self.since:
            return None
        return self.begin + bisect_right(self._entries, revision, key=lambda entry: entry.revision)

    def take(self, offset: int) -> list[Frame]:
        """Frames from `offset` on, about as many as make a chunk. The offset must not be below `begin`.

        From the right end, where nearly all clients are, a deque is indexed fast.
        """
        frames: list[Frame] = []
        size = 0
        for position in range(offset - self.begin, len(self._entries)):
            frame = self._entries[position].frame
            frames.append(frame)
            size += len(frame.present)
            if size >= CHUNK_BYTES:
                break
        return frames


class Hub:
    """The ring, how far it is, and the event that wakes all clients."""

    def __init__(self, buffer_bytes: int) -> None:
        self.ring = Ring(buffer_bytes)
        self.position = Position(Revision(0), "")
        """A client that begins here and now has seen everything up to this position in the tables."""
        self.turn = 0
        """Raised when everything that clients know has become worthless; 0 before the feed has begun."""
        self.cause, self.reason = Cause.BEGUN, ""
        """The cause of the last turn, and the reason in a sentence."""
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
