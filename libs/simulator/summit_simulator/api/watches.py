"""WATCH: a stream of JSON lines that reads the store's history with a cursor.

There is no queue per watcher. A stream remembers the revision it has sent up to, is woken by a write, and sends
whatever came after; one that lags out of the window of history is closed, as a real apiserver closes it.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from aiohttp import web

from summit_simulator.api.list_options import WatchOptions
from summit_simulator.objects.manifest import Manifest, encode
from summit_simulator.objects.resources import Resource
from summit_simulator.objects.status import StatusError
from summit_simulator.objects.store import Compacted, Event, Store, event_line

# cacher.go: one bookmark ~2 s before the deadline, beside the periodic ones.
BOOKMARK_BEFORE_DEADLINE_SECONDS = 2.0
# ~2 MB of objects per write to the socket.
EVENTS_PER_WRITE = 256

Ending = Literal["end", "abort"]


class Injection(NamedTuple):
    """Bytes that a fault puts into a stream, and what happens to it then."""

    data: bytes
    then: Ending | None = None


class WatchStream:
    def __init__(
        self,
        store: Store,
        resource: Resource,
        options: WatchOptions,
        *,
        bookmark_seconds: float,
    ) -> None:
        self.resource = resource
        self._options = options
        self._selects = options.selection.selects
        self._store = store
        self._cursor = options.revision if options.revision is not None else store.revision
        self._bookmark_seconds = bookmark_seconds
        self._awake = asyncio.Event()
        self._injections: list[Injection] = []
        self._ending: Ending | None = None
        self._bookmark_wanted = False
        self.stalled = False

    def end(self) -> None:
        """End the response cleanly at the next opportunity."""
        self._ending = self._ending or "end"
        self._awake.set()

    def abort(self) -> None:
        self._ending = "abort"
        self._awake.set()

    def inject(self, injection: Injection) -> None:
        """Put bytes into the stream, between two events."""
        self._injections.append(injection)
        self._awake.set()

    def send_bookmark(self) -> None:
        """Send a bookmark now instead of at its time, if the watch allows bookmarks."""
        self._bookmark_wanted = True
        self._awake.set()

    def stall(self) -> None:
        """Send nothing more until resumed, and keep the connection open: half-open."""
        self.stalled = True

    def resume(self) -> None:
        """Send again, including what was held back."""
        self.stalled = False
        self._awake.set()

    async def run(self, response: web.StreamResponse) -> None:
        """Send lines until the deadline, an error, or a fault ends the stream."""
        wakers = self._store.wakers[self.resource]
        wakers.add(self._awake.set)
        try:
            await self._run(response)
        finally:
            wakers.discard(self._awake.set)

    async def _run(self, response: web.StreamResponse) -> None:
        now = asyncio.get_running_loop().time
        deadline = now() + self._options.timeout_seconds
        bookmarks = _bookmark_times(now(), deadline, self._bookmark_seconds)
        next_bookmark = next(bookmarks)
        for lines in self._initial_lines():
            await response.write(lines)
        while self._ending is None and (self.stalled or now() < deadline):
            if self.stalled:  # a dead peer does not keep its deadline either
                await self._wait(float("inf"))
                continue
            await self._send_news(response)
            if now() >= next_bookmark:
                next_bookmark = next(bookmarks)
                self._bookmark_wanted = True
            await self._send_bookmark(response)
            if self._ending is None:
                await self._wait(min(deadline, next_bookmark))
        if self._ending == "abort":
            raise ConnectionAbortedError

    async def _send_news(self, response: web.StreamResponse) -> None:
        self._awake.clear()
        while self._injections and not self.stalled:
            injection = self._injections.pop(0)
            await response.write(injection.data)
            if injection.then:
                self._ending = injection.then
                return
        try:
            events = self._store.events_after(self.resource, self._cursor)
        except Compacted:
            oldest = self._store.oldest_of(self.resource)
            await response.write(error_line(StatusError(410, f"too old resource version: {self._cursor} ({oldest})")))
            self._ending = "end"
            return
        self._cursor = max(self._cursor, self._store.revision)
        for lines in _chunks(self._event_lines(events)):
            await response.write(lines)

    async def _send_bookmark(self, response: web.StreamResponse) -> None:
        # A watch from the future is silent until the revisions have come that far (etcd #16028).
        is_due = self._bookmark_wanted and self._cursor <= self._store.revision
        if is_due and self._options.bookmarks and self._ending is None:
            await response.write(self._bookmark_line())
        self._bookmark_wanted = False

    async def _wait(self, until: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(None if until == float("inf") else until):
                await self._awake.wait()
        if self.stalled:
            self._awake.clear()

    def _initial_lines(self) -> Iterator[bytes]:
        options = self._options
        wants_state = options.revision is None if options.initial_events is None else options.initial_events
        if not wants_state:
            return
        # "Not older than": a state at the newest revision always satisfies it.
        self._cursor = max(self._cursor, self._store.revision)
        revision = self._store.revision
        chosen = [record for record in self._store.records(self.resource) if self._selects(record)]
        yield from _chunks(event_line("ADDED", record.data) for record in chosen)
        if options.initial_events and options.bookmarks:
            yield self._bookmark_line(initial_events_end=True, revision=revision)

    def _event_lines(self, events: Iterable[Event]) -> Iterator[bytes]:
        for event in events:
            if self._options.selection.selects_all:
                yield event.line
            elif kind := self._seen_as(event):
                yield event_line(kind, event.record.data)

    def _seen_as(self, event: Event) -> str | None:
        """An object that begins or ceases to match a selector is ADDED or DELETED for this watch."""
        before = event.previous is not None and self._selects(event.previous)
        after = event.type != "DELETED" and self._selects(event.record)
        if before and after:
            return "MODIFIED"
        if after:
            return "ADDED"
        return "DELETED" if before else None

    def _bookmark_line(self, *, initial_events_end: bool = False, revision: int | None = None) -> bytes:
        meta: Manifest = {"resourceVersion": str(revision or self._cursor)}
        if initial_events_end:
            meta["annotations"] = {"k8s.io/initial-events-end": "true"}
        manifest = {"apiVersion": self.resource.api_version, "kind": self.resource.kind, "metadata": meta}
        return event_line("BOOKMARK", encode(manifest))


def error_line(error: StatusError) -> bytes:
    """An ERROR event: a Status inside HTTP 200."""
    return event_line("ERROR", encode(error.body()))


def _bookmark_times(start: float, deadline: float, every: float) -> Iterator[float]:
    """Times for bookmarks: periodic ones, one shortly before the deadline, then never."""
    last = deadline - BOOKMARK_BEFORE_DEADLINE_SECONDS
    moment = start + every
    while moment < last:
        yield moment
        moment += every
    if last > start:
        yield last
    while True:
        yield float("inf")


def _chunks(lines: Iterable[bytes]) -> Iterator[bytes]:
    held: list[bytes] = []
    for line in lines:
        held.append(line)
        if len(held) == EVENTS_PER_WRITE:
            yield b"".join(held)
            held.clear()
    if held:
        yield b"".join(held)
