"""Asking NATS again, for work of minutes that a moment without an answer must not end.

A cluster whose leader has died elects another one within ten seconds, and answers nothing until then.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from nats.errors import Error as NatsError

T = TypeVar("T")

PATIENCE_SECONDS = 20.0
"""Twice what an election takes. Postgres ends a transaction that stands still for 30 s."""
PAUSE_SECONDS = 0.5


async def patiently(ask: Callable[[], Awaitable[T]], *, seconds: float = PATIENCE_SECONDS) -> T:
    """Ask until there is an answer, for so long; then raise what the last question has raised."""
    give_up_at = time.monotonic() + seconds
    while True:
        try:
            return await ask()
        except (NatsError, TimeoutError):
            if time.monotonic() > give_up_at:
                raise
        await asyncio.sleep(PAUSE_SECONDS)
