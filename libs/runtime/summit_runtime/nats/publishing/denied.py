"""Events that NATS does not permit us to publish: held back and tried again, while those of other subjects go on.

The server answers a denied event with an error about its subject, and with nothing else. So all events of that subject
are held here, in their order. They keep their places in the window of their cluster, which bounds them: a cluster whose
window is full holds its watches back, as it does while NATS is away. From time to time the events of a few subjects are
sent again; when one of them is stored, the permission was granted, and all are sent.
"""

import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from summit_runtime.backoff import Backoff
from summit_runtime.nats.publishing.fair_queue import Entry

TRIED_AT_ONCE = 8
"""Subjects, each time: enough for a few clusters, and each is a line in the server's log."""


@dataclass
class Denied:
    """The held events, by their subject in lower case, as the server's error has it."""

    retry_seconds: tuple[float, float]
    """First and longest pause before the next attempt."""
    events: int = field(default=0, init=False)
    _held: dict[str, deque[Entry]] = field(default_factory=dict, init=False)
    _tried: set[str] = field(default_factory=set, init=False)
    _backoff: Backoff = field(init=False)
    _retry_at: float = field(default=float("inf"), init=False)
    _permitted: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._backoff = Backoff(*self.retry_seconds)

    @property
    def due_in_seconds(self) -> float:
        return max(0.0, self._retry_at - time.monotonic())

    def hold(self, entry: Entry) -> None:
        """Keep an event whose subject was denied."""
        subject = entry.message.subject.lower()
        self._tried.discard(subject)
        self._held.setdefault(subject, deque()).append(entry)
        self.events += 1
        if self._retry_at == float("inf"):
            self._retry_at = time.monotonic() + self._backoff.next_seconds()

    def holds(self, entry: Entry) -> bool:
        """Whether events of the same subject are held; this one must not overtake them."""
        return bool(self._held) and entry.message.subject.lower() in self._held

    def due(self) -> Sequence[Entry]:
        """The events to send again now: those of a few subjects in turn, or all if one of them was permitted."""
        if time.monotonic() < self._retry_at:
            return ()
        subjects = list(self._held) if self._permitted else list(self._held)[:TRIED_AT_ONCE]
        entries = [entry for subject in subjects for entry in self._held.pop(subject)]
        self.events -= len(entries)
        self._tried.update(subjects)
        self._permitted = False
        self._retry_at = time.monotonic() + self._backoff.next_seconds() if self._held else float("inf")
        return entries

    def hurry(self) -> None:
        """Try again at once: the server is another one, or has restarted."""
        if self._held:
            self._retry_at = 0.0

    def stored(self, entries: Iterable[Entry]) -> bool:
        """Note what was stored; return whether a subject was denied before."""
        permitted = self._tried and self._tried.intersection(e.message.subject.lower() for e in entries)
        if not permitted:
            return False
        self._tried -= permitted
        self._permitted = True
        self._backoff.reset()
        self.hurry()
        return True
