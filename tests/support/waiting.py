"""Waiting for a condition on the other side of a socket or a process, which has no event to wait for."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx2

DEADLINE_SECONDS = 40.0
"""A test fails after it, so it is long enough for everything that starts on two busy cores."""
POLL_SECONDS = 0.01

T = TypeVar("T")


async def until(
    question: Callable[[], T | Awaitable[T]],
    wanted: Callable[[T], object] = bool,
    *,
    seconds: float = DEADLINE_SECONDS,
    shown: Callable[[], object] | None = None,
) -> T:
    """Ask again and again until the answer is as wanted, and return it.

    A server or a file that is not there yet is no answer. The failure shows the last answer, or what `shown` returns.
    """
    last: Any = None
    try:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    last = answer = await _answer(question)
                    if wanted(answer):
                        return answer
                except (OSError, httpx2.HTTPError) as error:
                    last = error
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        seen = shown() if shown else last
        raise AssertionError(f"not within {seconds:.0f} s; last seen: {seen!r:.4000}") from None


async def _answer(question: Callable[[], T | Awaitable[T]]) -> Any:
    answer = question()
    return await answer if inspect.isawaitable(answer) else answer
