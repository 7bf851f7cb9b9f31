"""Work that only a few clients get at a time, and each client once: one that wants much of it waits for itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary


class Turns:
    def __init__(self, places: int) -> None:
        self._places = asyncio.Semaphore(places)
        self._clients = WeakValueDictionary[str, asyncio.Lock]()
        """Of the clients that have a place or wait for one."""

    @asynccontextmanager
    async def take(self, client: str) -> AsyncIterator[None]:
        """Wait for a place, and hold it while the block runs."""
        turn = self._clients.setdefault(client, asyncio.Lock())
        async with turn, self._places:
            yield
