"""Watches of one resource: one request, its lines, and their events on the way to the sink until it ends."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from summit_watcher.kube.bounds import LINE_BYTES, LINE_SECONDS, LIST_OBJECTS
from summit_watcher.kube.connection import ClusterConnection
from summit_watcher.kube.errors import (
    ErrorEvent,
    HistoryEndedError,
    LostError,
    OversizedError,
    RegressedError,
    StatusError,
    UndecodableLine,
    WatcherError,
)
from summit_watcher.kube.resources import Resource, WatchEvent
from summit_watcher.kube.transport import Timeouts
from summit_watcher.listwatch.events import Sink, event_of
from summit_watcher.listwatch.page_slots import PageSlots
from summit_watcher.listwatch.state import Next, WatchEnd, Watching, after_watch, has_regressed
from summit_watcher.listwatch.status import ListWatchStatus
from summit_watcher.settings import WatcherTimes

Batches: TypeAlias = AsyncGenerator[Sequence[WatchEvent[Any]]]

BATCH_EVENTS = 256
"""A busy stream gives the event loop back at least so often, or one cluster would starve the others' idle timers."""


@dataclass(frozen=True, kw_only=True)
class WatchedResource:
    """One resource of one cluster, as each request of its list-watch needs it."""

    connection: ClusterConnection
    resource: Resource[Any]
    sink: Sink
    """While it is busy nothing is read, and the server cuts off a watch that stalls for long. So a sink that may be
    slow has a queue, and raises BackpressureError when that is full: the watch is closed, and resumed after what the
    sink has taken."""
    page_slots: PageSlots
    deletions: Callable[[], tuple[int, int]]
    """How many objects are known, and how many of these the present list has not contained."""
    known: Callable[[], int]
    """How many objects are known."""
    status: ListWatchStatus
    times: WatcherTimes

    def check_room(self) -> None:
        """Raise OversizedError when there are more objects than one cluster has: without it, a watch could bring more
        and more of them, and so could lists that are never complete.
        """
        if self.known() > LIST_OBJECTS:
            raise OversizedError(f"there are more than {LIST_OBJECTS} {self.resource.plural}")

    def check_version(self, seen: str, resource_version: str) -> None:
        """Raise RegressedError when the server was further before."""
        if has_regressed(seen, resource_version):
            self.status.metrics.regressions.inc()
            raise RegressedError(self.resource.plural, seen, resource_version)


async def watch(watched: WatchedResource, watching: Watching) -> Next:
    """Watch on from a resourceVersion until the watch ends."""
    async with aclosing(batches(watched, {"resourceVersion": watching.resource_version})) as received:
        return await follow(watched, watching, None, received)


async def batches(watched: WatchedResource, params: Mapping[str, str | int]) -> Batches:
    """One watch request: events in order, in batches of what the socket already holds.

    The first batch is empty: the request was accepted. Raises ErrorEvent, UndecodableLine, IdleError or
    LostError after all events before it, and whatever `ClusterConnection.get` raises.
    """
    times, resource, status = watched.times, watched.resource, watched.status
    end = random.randint(*times.watch_seconds)  # noqa: S311
    query = {"watch": 1, "allowWatchBookmarks": "true", **params, "timeoutSeconds": end}
    async with watched.connection.get(resource.path, query, timeouts=Timeouts(times.idle_seconds)) as reply:
        status.contact()
        yield ()
        lines = LineBuffer()
        async for chunk in reply.chunks():
            status.contact()
            for batch in decoded(resource, lines.feed(chunk)):
                yield batch
                if len(batch) == BATCH_EVENTS:
                    await asyncio.sleep(0)
        if lines.has_rest:
            raise LostError(f"the watch of {resource.plural} ended in the middle of a line")


async def follow(
    watched: WatchedResource, watching: Watching, first: Sequence[WatchEvent[Any]] | None, received: Batches
) -> Next:
    """Pass the events of a watch on until it ends; `first` have been received before. None: it is not accepted yet.

    A watch works when it has lasted a while, and not with its first event: it may end with the second.
    """
    progress = _Progress(watching.resource_version)
    error: WatcherError | None = None
    with ExitStack() as stack:
        try:
            batch = await anext(received) if first is None else first
            works = asyncio.get_running_loop().call_later(watched.times.short_watch_seconds, watched.status.synced)
            stack.callback(works.cancel)
            await _pass_on(watched, batch, progress)
            async for batch in received:
                await _pass_on(watched, batch, progress)
        except HistoryEndedError:
            raise
        except WatcherError as caught:
            error = caught
    following = after_watch(watching, progress.end(error), watched.times)
    watched.status.metrics.watch_ended(error or following.failure)
    return following


@dataclass
class _Progress:
    """How far a watch has come. The resourceVersion advances when the sink has taken a batch."""

    resource_version: str
    began_at: float = field(default_factory=time.monotonic)

    def end(self, error: WatcherError | None) -> WatchEnd:
        return WatchEnd(self.resource_version, self.began_at, time.monotonic(), error)


async def _pass_on(watched: WatchedResource, batch: Sequence[WatchEvent[Any]], progress: _Progress) -> None:
    if not batch:
        return
    status = watched.status
    status.metrics.received([event.type for event in batch])
    seen, has_changes = progress.resource_version, False
    for event in batch:
        if event.type == "BOOKMARK":
            watched.check_version(seen, event.resource_version)
            seen = event.resource_version
        else:
            has_changes = True
            if event.type == "ADDED":
                watched.check_room()
    await watched.sink([event_of(event) for event in batch])
    progress.resource_version = batch[-1].resource_version
    if has_changes:
        status.last_event = status.last_contact


def decoded(resource: Resource[Any], lines: Sequence[bytes]) -> Iterator[Sequence[WatchEvent[Any]]]:
    """The events of some lines, in batches. Raises ErrorEvent or UndecodableLine after the events before it."""
    batch: list[WatchEvent[Any]] = []
    for line in lines:
        try:
            batch.append(resource.decode_event(line))
        except StatusError as error:
            yield batch
            raise ErrorEvent(error.code, error.reason, error.message, error.retry_after_seconds) from error
        except UndecodableLine:
            yield batch
            raise
        if len(batch) == BATCH_EVENTS:
            yield batch
            batch = []
    if batch:
        yield batch


class LineBuffer:
    r"""Cuts a stream of bytes at "\n"; the beginning of a line waits for its end."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._parts: list[bytes] = []
        self._length = 0
        self._since = 0.0
        """When the line began that waits for its end."""

    @property
    def has_rest(self) -> bool:
        return bool(self._parts)

    def feed(self, chunk: bytes) -> Sequence[bytes]:
        r"""The lines that are complete now, each with its "\n". Raises UndecodableLine for an endless one."""
        end = chunk.rfind(b"\n") + 1
        lines = chunk[:end].splitlines(keepends=True)
        if lines:
            lines[0] = b"".join((*self._parts, lines[0]))
            self._parts.clear()
            self._length = 0
        if end < len(chunk):
            if not self._parts:
                self._since = self._clock()
            self._parts.append(chunk[end:])
            self._length += len(chunk) - end
        if self._length > LINE_BYTES or (self._parts and self._clock() > self._since + LINE_SECONDS):
            raise UndecodableLine("a watch line does not end", b"".join(self._parts))
        return lines
