"""How many pages of lists are read at one time, over all clusters.

A page has some MB, and fifty clusters start at one time. Streaming lists need no slot: they are read in small pieces.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

PAGES_AT_ONCE = 8
"""About 32 MB."""


class PageSlots:
    """A page that is read slowly keeps its slot for `seconds` only, so that slow clusters do not hold up the others."""

    def __init__(self, seconds: float, *, pages: int = PAGES_AT_ONCE) -> None:
        self._seconds = seconds
        self._free = asyncio.Semaphore(pages)

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Hold a slot while the block runs, or for `seconds`."""
        await self._free.acquire()
        with ExitStack() as slot:
            slot.callback(self._free.release)
            slow = asyncio.get_running_loop().call_later(self._seconds, slot.close)
            slot.callback(slow.cancel)
            yield
