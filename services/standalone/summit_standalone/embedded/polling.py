"""Waiting for what has no event: a file, a lock, another process."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

POLL_SECONDS = 0.01

T = TypeVar("T")


async def poll(question: Callable[[], Awaitable[T]], seconds: float) -> T | None:
    """Ask until the answer is true, and return it; None when it is not true within `seconds`."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not (answer := await question()):  # noqa: ASYNC110  there is no event to wait for
                await asyncio.sleep(POLL_SECONDS)
            return answer
    return None
