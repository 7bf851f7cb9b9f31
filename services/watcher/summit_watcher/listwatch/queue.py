"""What the list-watches of a cluster have read and the inventory has not taken in yet: bounded, as NATS may be away.

A list-watch must not wait for NATS: an API server cuts off who does not read. So it reads on until the queue is full;
when it stays full, the watch is closed on purpose and resumed where it was, once there is room. A list is different: it
cannot be resumed in the middle, and is compared with what is known, so each part of it is awaited.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from summit_watcher.kube.errors import BackpressureError
from summit_watcher.kube.resources import Resource
from summit_watcher.listwatch.events import Apply, Bookmark, Delete, ListWatchEvent

QUEUE_EVENTS = 1024
"""Bounds the memory of each cluster to a few MB; a second of a storm."""

_Told = Sequence[ListWatchEvent[Any]]
Take = Callable[[Resource[Any], _Told], Awaitable[None]]
"""Takes in what a list-watch told; returns when its events have their place on the way to NATS."""


@dataclass(frozen=True, eq=False)
class _Part:
    resource: Resource[Any]
    told: _Told
    taken: asyncio.Event = field(default_factory=asyncio.Event)


class EventQueue:
    """Give `offer` to the list-watches as their sink, and let `run` run."""

    def __init__(self, take: Take, *, limit: int = QUEUE_EVENTS, patience_seconds: float) -> None:
        self._take = take
        self._limit = limit
        self._patience_seconds = patience_seconds
        self._parts: deque[_Part] = deque()
        self._changed = asyncio.Condition()
        self.waiting = 0
        """Events in the queue."""

    async def run(self) -> None:
        """Take in what was offered, in order, for ever."""
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._parts)
            part = self._parts[0]
            await self._take(part.resource, part.told)
            async with self._changed:
                self._parts.popleft()
                self.waiting -= len(part.told)
                self._changed.notify_all()
            part.taken.set()

    async def offer(self, resource: Resource[Any], told: _Told) -> None:
        """Queue a part of a watch; wait until a part of a list is taken in. Raises BackpressureError."""
        is_watch = isinstance(told[0], Apply | Delete | Bookmark)
        part = _Part(resource, told)
        async with self._changed:
            if is_watch:
                await self._room(len(told))
            self._parts.append(part)
            self.waiting += len(told)
            self._changed.notify_all()
        if not is_watch:
            await part.taken.wait()

    async def _room(self, count: int) -> None:
        try:
            async with asyncio.timeout(self._patience_seconds):
                await self._changed.wait_for(lambda: not self._parts or self.waiting + count <= self._limit)
        except TimeoutError:
            raise BackpressureError(self.waiting, self._half_empty) from None

    async def _half_empty(self) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self.waiting <= self._limit // 2)
