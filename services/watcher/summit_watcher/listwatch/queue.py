"""The event queue of one cluster: what its list-watches have read and the session has not taken yet. It is bounded.

A list-watch must not wait for NATS: an API server cuts off a client that does not read. So it reads on until the queue
is full; when it stays full, the watch is closed on purpose and resumed where it was, once there is room. A list is
different: it cannot be resumed in the middle, and is compared with what is known, so each part of it is awaited.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from summit_watcher.kube.errors import BackpressureError, FirstListsError
from summit_watcher.kube.resources import Resource
from summit_watcher.listwatch.events import Apply, Bookmark, Delete, ListWatchEvent

QUEUE_EVENTS = 1024
"""Bounds the memory of each cluster to a few MB; a second of a storm."""


@dataclass(frozen=True, eq=False)
class Part:
    """Some events of one list-watch, in order."""

    resource: Resource[Any]
    events: Sequence[ListWatchEvent]
    taken: asyncio.Event = field(default_factory=asyncio.Event)
    read_ns: int = field(default_factory=time.time_ns)
    """When they were read, in nanoseconds since 1970, for traces."""


class EventQueue:
    """List-watches `put` events, and one consumer takes them part by part."""

    def __init__(self, patience_seconds: float, *, limit: int = QUEUE_EVENTS) -> None:
        self._limit = limit
        self._patience_seconds = patience_seconds
        self._parts: deque[Part] = deque()
        self._changed = asyncio.Condition()
        self._is_open = asyncio.Event()
        self.waiting = 0
        """Events in the queue."""

    def open_for_watches(self) -> None:
        """Let watches in. Before, only lists may be put: no change can be published before the first are complete."""
        self._is_open.set()

    @property
    def is_open_for_watches(self) -> bool:
        return self._is_open.is_set()

    @asynccontextmanager
    async def take(self) -> AsyncIterator[Part]:
        """The oldest part, when there is one. It leaves the queue at the end of the block."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._parts)
        part = self._parts[0]
        yield part
        async with self._changed:
            self._parts.popleft()
            self.waiting -= len(part.events)
            self._changed.notify_all()
        part.taken.set()

    async def put(self, resource: Resource[Any], events: Sequence[ListWatchEvent]) -> None:
        """Queue events of a watch; wait until those of a list are taken. Raises BackpressureError."""
        is_watch = isinstance(events[0], Apply | Delete | Bookmark)
        if is_watch and not self._is_open.is_set():
            await self._opened()
        part = Part(resource, events)
        async with self._changed:
            if is_watch:
                await self._room(len(events))
            self._parts.append(part)
            self.waiting += len(events)
            self._changed.notify_all()
        if not is_watch:
            await part.taken.wait()

    async def _opened(self) -> None:
        """Wait for the first lists, but no longer than a server waits for a reader: one of them may hang."""
        try:
            async with asyncio.timeout(self._patience_seconds):
                await self._is_open.wait()
        except TimeoutError:
            reason = "its changes wait for the first lists of the other resources"
            raise FirstListsError(reason, self._is_open.wait) from None

    async def _room(self, count: int) -> None:
        try:
            async with asyncio.timeout(self._patience_seconds):
                await self._changed.wait_for(lambda: not self._parts or self.waiting + count <= self._limit)
        except TimeoutError:
            reason = f"{self.waiting} changes wait for NATS, which is away or slow"
            raise BackpressureError(reason, self._half_empty) from None

    async def _half_empty(self) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self.waiting <= self._limit // 2)
