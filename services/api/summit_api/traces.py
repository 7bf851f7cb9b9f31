"""Which changes belong to a trace. The projector notifies of them with its commit; nobody else keeps them.

https://www.w3.org/TR/trace-context/ is the form of their contexts.
"""

import time

from summit_runtime import tracing

KEPT = 1000
"""Traces of changes that the feed does not have yet, such as ten batches while it catches up."""


class Traces:
    """By revision, until the feed has the change."""

    def __init__(self) -> None:
        self._parents: dict[int, tuple[str, int]] = {}
        """The context that the event carries, and when its commit was noticed."""

    def note(self, notification: str) -> None:
        """Take in `<revision>:<traceparent>`, any number of them with spaces in between."""
        now = time.time_ns()
        for part in notification.split():
            revision, _, traceparent = part.partition(":")
            if revision.isdecimal():
                self._parents[int(revision)] = traceparent, now
        while len(self._parents) > KEPT:
            del self._parents[next(iter(self._parents))]

    def handed_over(self, revision: int) -> None:
        """The clients of the feed have every change up to this revision."""
        for known in [number for number in self._parents if number <= revision]:
            parent, began_ns = self._parents.pop(known)
            tracing.record("feed", parent, start_ns=began_ns, revision=known)
