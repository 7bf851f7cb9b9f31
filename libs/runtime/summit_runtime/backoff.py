"""Waiting longer after each failure: client-go's numbers, 0.8 s doubling to 30 s, each sleep in [d, 2d).

About 0.2 requests a second against a sick server, and no two watchers in step.
Source: client-go tools/cache/reflector.go, defaultBackoffInit … defaultBackoffReset.
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
        self._delay = min(self._delay * 2, self.max_seconds) if self._delay else self.initial_seconds
        jittered = self._delay * (1 + random.random())  # noqa: S311  jitter, not a secret
        return max(jittered, at_least)

    def reset(self) -> None:
        self.attempt = 0
        self._delay = 0.0
