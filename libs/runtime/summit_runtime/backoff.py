"""Waiting longer after each failure: 0.8 s doubling to 15 s, each sleep in [d, 2d), so from 0.8 s to 30 s.

About 0.3 requests a second of six list-watches against a sick server, and no two in step. Source: client-go
tools/cache/reflector.go, defaultBackoffInit … defaultBackoffReset; there 30 s is the longest delay before the jitter.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

INITIAL_SECONDS = 0.8
MAX_SECONDS = 30.0
RESET_AFTER_SECONDS = 120.0


@dataclass
class Backoff:
    """The delay before the next attempt; starts again after two healthy minutes or an explicit `reset`."""

    initial_seconds: float = INITIAL_SECONDS
    max_seconds: float = MAX_SECONDS
    """No sleep is longer, unless the server asks for it."""
    clock: Callable[[], float] = time.monotonic
    attempt: int = 0
    _delay: float = field(default=0.0, init=False)
    _last: float = field(default=float("-inf"), init=False)

    def next_seconds(self, at_least: float = 0.0) -> float:
        """Seconds to sleep before the next attempt; `at_least` is what the server asked for (Retry-After)."""
        now = self.clock()
        if now - self._last > RESET_AFTER_SECONDS + 2 * self._delay:
            self.reset()
        self._last = now
        self.attempt += 1
        self._delay = min(self._delay * 2 or self.initial_seconds, self.max_seconds / 2)
        jittered = self._delay * (1 + random.random())  # noqa: S311  jitter, not a secret
        return max(jittered, at_least)

    def reset(self) -> None:
        self.attempt = 0
        self._delay = 0.0
