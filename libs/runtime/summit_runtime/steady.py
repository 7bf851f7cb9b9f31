"""A clock that nobody sets, and that goes on while the machine is suspended."""

import time

_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Python's monotonic clock stands still meanwhile on Linux; other systems have no such clock."""


def steady() -> float:
    """Seconds since some moment."""
    return time.clock_gettime(_CLOCK)
