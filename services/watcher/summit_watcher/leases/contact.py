"""Since when this watcher is in contact with the others: whether it knows enough to take what it did not have.

While NATS is away all entries expire, and the watchers return one after the other. A watcher that was suspended, alone
or with its machine, finds the entries of all others old. Each waits for a moment before it takes a cluster that it did
not have, so that those who have them can renew. A watcher that starts has missed nothing, and waits for nobody.
"""

from collections.abc import Callable

from summit_runtime.steady import steady


class Contact:
    def __init__(self, lease_seconds: float, grace_seconds: float, steady_time: Callable[[], float] = steady) -> None:
        """A pause of more than `lease_seconds` between two renewals breaks the contact, for `grace_seconds` more."""
        self._lease_seconds, self._grace_seconds, self._steady = lease_seconds, grace_seconds, steady_time
        self._renewed_at: float | None = None
        self._broken_at = float("-inf")
        """When the first renewal after a break succeeded."""

    def renewed(self) -> None:
        """Note that NATS has stored a renewal."""
        now = self._steady()
        if self.is_broken:
            self._broken_at = now
        self._renewed_at = now

    @property
    def is_whole(self) -> bool:
        """Whether this watcher may take what it did not have."""
        return not self.is_broken and self._steady() >= self._broken_at + self._grace_seconds

    @property
    def is_broken(self) -> bool:
        """Whether NATS has stored no renewal for so long that the others do not count on this watcher any more."""
        return self._renewed_at is not None and self._steady() > self._renewed_at + self._lease_seconds
