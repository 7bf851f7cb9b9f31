"""How many messages may be on their way at a time: as many as the line to NATS carries within about a second.

All that a process exchanges with NATS shares one connection. A thousand events are two megabytes, for which a line to
the edge may need a minute; until then no heartbeat, no lease and no answer passes, and what was sent is taken for lost.
"""

FIRST = 32
"""50 kB: a second of a bad line. A good line carries 1000 after five answers, in some milliseconds."""
GROWS_BELOW_SECONDS = 0.9
"""Above the round trip by a satellite, 0.65 s."""
SHRINKS_ABOVE_SECONDS = 1.25
"""Leases are renewed every second, and last three."""


class Window:
    def __init__(self, largest: int) -> None:
        self.size = min(FIRST, largest)
        self._largest = largest

    def took(self, seconds: float, *, size: int, was_full: bool = True) -> None:
        """Note how long messages were on their way, while at most `size` might be.

        `was_full`: as many were. Fewer do not show that the line carries more.
        """
        if seconds > SHRINKS_ABOVE_SECONDS:
            self.size = max(size // 2, 1)
        elif seconds < GROWS_BELOW_SECONDS and was_full:
            self.size = min(2 * size, self._largest)
