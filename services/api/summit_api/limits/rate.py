"""A rate for each of many clients, in bounded memory.

The generic cell rate algorithm: a token bucket that keeps one number per client, the time at which its bucket will be
full again.
"""

from collections import OrderedDict

MOST_CLIENTS = 10_000
"""The client that has been idle for longest is forgotten and has a full bucket again. It is a megabyte in all."""


class Rate:
    """`per_second` on average, and up to `burst` at once."""

    def __init__(self, per_second: float, burst: int) -> None:
        self._seconds_each = 1 / per_second
        self._tolerance = (burst - 1) * self._seconds_each
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def take(self, client: str, now: float) -> float:
        """Take one and return 0, or take none and return the seconds until there is one. `now` is monotonic."""
        full_at = max(self._full_at.get(client, now), now)
        wait = full_at - now - self._tolerance
        if wait > 0:
            return wait
        self._full_at[client] = full_at + self._seconds_each
        self._full_at.move_to_end(client)
        if len(self._full_at) > MOST_CLIENTS:
            self._full_at.popitem(last=False)
        return 0.0
