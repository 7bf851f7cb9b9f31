"""The cluster's time: real, accelerated, or moved by hand.

One idea: timers are kept in simulated seconds. With speed 0 nothing ever happens by itself, and a test moves
the clock; with speed 20 a boot that takes KubeVirt 16 s is done in 0.8 s.
"""

import asyncio
import contextlib
import heapq
import itertools
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class Timer:
    """One call in the future, which may be cancelled."""

    __slots__ = ("callback", "cancelled", "due")

    def __init__(self, due: float, callback: Callable[[], None]) -> None:
        self.due = due
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        """Forget the call; harmless after it was made."""
        self.cancelled = True


class Clock:
    """Simulated seconds since start, and the wall time that objects are stamped with."""

    def __init__(self, *, speed: float = 0.0, epoch: datetime | None = None) -> None:
        self.speed = speed
        self._epoch = epoch  # None: the real time of day
        self._origin = time.monotonic()
        self._moved = 0.0  # seconds moved by hand
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()  # equal times fire in the order they were set
        self._changed = asyncio.Event()

    def seconds(self) -> float:
        """Simulated seconds since the clock was made."""
        return (time.monotonic() - self._origin) * self.speed + self._moved

    def now(self) -> datetime:
        """The time of day for creationTimestamp and the like.

        Accelerated clocks still stamp the real time: readers compare it with their own.
        """
        base = self._epoch or datetime.now(UTC)
        return base + timedelta(seconds=self._moved)

    def call_after(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call back once, that many simulated seconds from now."""
        timer = Timer(self.seconds() + seconds, callback)
        heapq.heappush(self._timers, (timer.due, next(self._order), timer))
        self._changed.set()
        return timer

    def next_due(self) -> float | None:
        """Seconds until the next timer, never negative; None when none is set."""
        due = self._first_due()
        return None if due is None else max(0.0, due - self.seconds())

    def advance(self, seconds: float) -> None:
        """Move the clock by hand and fire what falls due on the way, each at its own time."""
        target = self.seconds() + seconds
        while (due := self._first_due()) is not None and due <= target:
            self._moved += max(0.0, due - self.seconds())
            _, _, timer = heapq.heappop(self._timers)
            timer.callback()
        self._moved += max(0.0, target - self.seconds())

    def _first_due(self) -> float | None:
        while self._timers and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    async def run(self) -> None:
        """Fire timers as real time passes, for ever. A clock of speed 0 only moves by hand."""
        while True:
            self._changed.clear()
            wait = self.next_due()
            if wait is None or not self.speed:
                await self._changed.wait()
                continue
            if wait > 0:
                await self._sleep(wait / self.speed)
            self.advance(0.0)

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
