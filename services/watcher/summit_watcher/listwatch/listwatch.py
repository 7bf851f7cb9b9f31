"""Lists one resource of one cluster and watches it, for ever: what a reflector is in client-go, a watcher in kube-rs.

Three levels: for ever → one request and the pause it earns → one request. What follows from what is decided in
`stream_state`, what a failure means in `failure`. Nothing is kept of the objects; the consumer replaces its set at
InitDone, and only a list that was complete, from one snapshot, gets that far.
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import takewhile
from typing import Generic, TypeVar, cast

from summit_models.cluster import ConnectionState
from summit_runtime.backoff import Backoff
from summit_watcher.kube.connection import SHORT, ClusterConnection
from summit_watcher.kube.errors import (
    BackpressureError,
    ErrorEvent,
    HistoryEndedError,
    LostError,
    RegressedError,
    StatusError,
    StreamingListError,
    WatcherError,
)
from summit_watcher.kube.failure import classify
from summit_watcher.kube.manifests import Manifest
from summit_watcher.kube.resources import Page, Resource, WatchEvent
from summit_watcher.kube.transport import Timeouts
from summit_watcher.listwatch.events import Init, InitApply, InitDone, Sink, told
from summit_watcher.listwatch.pages import list_once, pages
from summit_watcher.listwatch.report import OnState, StreamReport
from summit_watcher.listwatch.state import (
    SHORT_WATCH_SECONDS,
    Listing,
    ListReason,
    Next,
    StreamState,
    WatchEnd,
    Watching,
    after_list,
    after_streaming_list,
    after_watch,
    has_regressed,
    is_doubtful,
)
from summit_watcher.listwatch.watch import watch
from summit_watcher.settings import WatcherTimes

T = TypeVar("T", bound=Manifest)

NEWEST = Listing()

Batches = AsyncGenerator[Sequence[WatchEvent[T]]]
Deletions = Callable[[], tuple[int, int]]
"""Answers how many objects are known, and how many of them the list under way has not contained."""
Confirm = Callable[[bool], Awaitable[None]]
"""Makes sure that the right cluster answers; told whether the request before has failed. Raises WatcherError."""


async def _confirmed(_: bool) -> None:
    """Whoever answers is the right one."""


@dataclass
class _Progress:
    """How far a watch has come."""

    resource_version: str
    changes: int = 0
    started: float = field(default_factory=time.monotonic)

    def end(self, error: WatcherError | None) -> WatchEnd:
        return WatchEnd(self.resource_version, self.changes, time.monotonic() - self.started, error)


class ListWatch(Generic[T]):
    """The list-watch of one resource.

    `deletions` lets a list that would delete most of what is known be confirmed by a second one. `confirm` is asked
    before each request. `last_contact` is when the last byte arrived, `last_event` when a watch last told a change,
    `last_sync` when the last list was complete, all UTC.
    """

    def __init__(
        self,
        connection: ClusterConnection,
        resource: Resource[T],
        *,
        on_state: OnState = lambda *_: None,
        deletions: Deletions = lambda: (0, 0),
        confirm: Confirm = _confirmed,
        times: WatcherTimes,
    ) -> None:
        self._connection = connection
        self.resource = resource
        self._deletions = deletions
        self._confirm = confirm
        self._times = times
        self._report = StreamReport(connection, resource, on_state)
        self._backoff = Backoff(*self._times.retry)
        self._relist_at = self._next_relist()
        self._seen = ""
        self._has_failed = False
        self._is_in_doubt = False
        """The watch broke off or fell silent: if etcd was restored meanwhile, the next one would be silent for ever."""
        self.last_contact: datetime | None = None
        self.last_event: datetime | None = None
        self.last_sync: datetime | None = None
        self._report.metrics.ask_last_contact(lambda: self.last_contact)

    async def run(self, sink: Sink[T], start: Listing = NEWEST, *, seen: str = "") -> None:
        """Give every change to `sink`, in order, for ever; begin with the list `start`.

        Raises HistoryEndedError, as soon as the server is found below `seen` or what it has said itself.

        While `sink` is busy nothing is read, and the server cuts off a watch that stalls for long: a sink that may be
        slow has to queue, and to raise BackpressureError when the queue is full: the watch is closed, and resumed after
        what the sink has taken.
        """
        self._seen = seen
        state: StreamState = start
        while True:
            state = await self._session(state, sink)

    async def _session(self, state: StreamState, sink: Sink[T]) -> StreamState:
        """One request, and the pause it earns."""
        try:
            await self._confirm(self._has_failed)
            following = await self._request(state, sink)
        except HistoryEndedError:
            raise
        except WatcherError as error:
            following = Next(state, error)
        self._has_failed = following.failure is not None
        if following.failure is not None:
            await self._pause("list" if isinstance(state, Listing) else "watch", following.failure)
        if isinstance(following.state, Listing) and following.state.reason is not getattr(state, "reason", None):
            self._report.relisting(following.state.reason)
        return following.state

    async def _request(self, state: StreamState, sink: Sink[T]) -> Next:
        match state:
            case Watching() if self._is_in_doubt or self._was_away():
                return await self._verify(state)
            case Watching():
                return await self._watch(state, sink)
            case Listing() if state.at is None and state.may_stream and self._connection.has_streaming_lists:
                return await self._streaming_list(state, sink)
            case Listing():
                return await self._paged_list(state, sink)

    # Lists

    async def _paged_list(self, listing: Listing, sink: Sink[T]) -> Next:
        size = self._times.page_size if listing.in_pages else None
        timeouts = Timeouts(self._times.page_idle_seconds, self._times.page_total_seconds)
        async with self._connection.list_slot:
            listed = pages(
                self._connection, self.resource, size, at=listing.at, timeouts=timeouts, on_contact=self._contact
            )
            try:
                async with aclosing(listed):
                    done = await self._page_by_page(listed, sink)
            except WatcherError as error:
                return after_list(listing, error)
            return await self._finish(listing, done, sink)

    async def _page_by_page(self, listed: AsyncIterator[Page[T]], sink: Sink[T]) -> InitDone:
        done = InitDone("")
        async for page in listed:
            if not done.resource_version:
                await self._begin(sink)
            if page.items:
                await sink([InitApply(item) for item in page.items])
            done = InitDone(page.resource_version, done.undecodable + page.undecodable)
        return done

    async def _streaming_list(self, listing: Listing, sink: Sink[T]) -> Next:
        params = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        async with aclosing(self._batches(params)) as batches:
            try:
                async with self._connection.list_slot:
                    resource_version, rest = await self._initial_events(batches, sink)
            except WatcherError as error:
                return self._after_streaming_list(listing, error)
            following = await self._finish(listing, InitDone(resource_version), sink)
            match following.state:
                case Watching() as watching:
                    return await self._follow(watching, rest, batches, sink)
                case _:
                    return following

    def _after_streaming_list(self, listing: Listing, error: WatcherError) -> Next:
        if isinstance(error, StatusError) and not isinstance(error, ErrorEvent) and error.code in (400, 422):
            self._connection.avoid_streaming_lists()
            return Next(listing)
        return after_streaming_list(listing, error)

    async def _initial_events(self, batches: Batches[T], sink: Sink[T]) -> tuple[str, Sequence[WatchEvent[T]]]:
        """The list that a watch begins with: its resourceVersion, and the events that came after it."""
        begun = False
        async for batch in batches:
            if not begun:
                await self._begin(sink)
                begun = True
            listed = list(takewhile(lambda event: event.type == "ADDED", batch))
            if listed:
                await sink([InitApply(cast("T", event.object)) for event in listed])
            if len(listed) < len(batch):
                end = batch[len(listed)]
                if not end.initial_events_end:
                    raise StreamingListError(f"the streaming list of {self.resource.plural} has no marked end")
                return end.resource_version, batch[len(listed) + 1 :]
        raise StreamingListError(f"the streaming list of {self.resource.plural} ended before its end was marked")

    async def _begin(self, sink: Sink[T]) -> None:
        self._report.listing()
        await sink([Init()])

    async def _finish(self, listing: Listing, done: InitDone, sink: Sink[T]) -> Next:
        """Believe a complete list; one that would delete most of what is known only when a second one agrees."""
        self._see(done.resource_version)
        known, deleted = self._deletions()
        if is_doubtful(known, deleted) and not done.undecodable and listing.reason is not ListReason.DOUBTED:
            return Next(Listing(ListReason.DOUBTED))
        if not done.undecodable:
            self._report.metrics.synthetic_deletes.inc(deleted)
        await sink([done._replace(finds_drift=listing.finds_drift)])
        self.last_sync = datetime.now(UTC)
        self._relist_at = self._next_relist()
        self._report.metrics.lists.inc()
        self._report.synced()
        return Next(Watching(done.resource_version, expiries=listing.expiries))

    # Watches

    async def _watch(self, watching: Watching, sink: Sink[T]) -> Next:
        async with aclosing(self._batches({"resourceVersion": watching.resource_version})) as batches:
            return await self._follow(watching, (), batches, sink)

    def _batches(self, params: Mapping[str, str | int]) -> Batches[T]:
        timeout = {"timeoutSeconds": random.randint(*self._times.watch_seconds)}  # noqa: S311
        return watch(
            self._connection,
            self.resource,
            {**params, **timeout},
            idle_seconds=self._times.idle_seconds,
            on_contact=self._contact,
        )

    async def _follow(
        self, watching: Watching, first: Sequence[WatchEvent[T]], batches: Batches[T], sink: Sink[T]
    ) -> Next:
        """Give on what a watch brings until it ends. The resourceVersion advances when the sink has taken a batch."""
        progress = _Progress(watching.resource_version)
        settled: asyncio.TimerHandle | None = None
        error: WatcherError | None = None
        try:
            await self._give(first, progress, sink)
            async for batch in batches:
                settled = settled or asyncio.get_running_loop().call_later(SHORT_WATCH_SECONDS, self._report.synced)
                await self._give(batch, progress, sink)
        except HistoryEndedError:
            raise
        except WatcherError as caught:
            error = caught
        finally:
            if settled is not None:
                settled.cancel()
        return self._after_watch(watching, progress.end(error))

    async def _give(self, batch: Sequence[WatchEvent[T]], progress: _Progress, sink: Sink[T]) -> None:
        if not batch:
            return
        self._report.metrics.received([event.type for event in batch])
        for event in batch:
            if event.type == "BOOKMARK":
                self._see(event.resource_version)
        await sink([told(event) for event in batch])
        progress.resource_version = self._seen = batch[-1].resource_version
        changes = sum(event.type != "BOOKMARK" for event in batch)
        if changes:
            self.last_event = self.last_contact
        if changes and self._report.state is not ConnectionState.SYNCED:
            self._report.synced()
        progress.changes += changes

    def _after_watch(self, watching: Watching, end: WatchEnd) -> Next:
        self._is_in_doubt = isinstance(end.error, LostError)
        following = after_watch(watching, end)
        self._report.metrics.watch_ended(end.error or following.failure)
        if following.failure is None and time.monotonic() > self._relist_at:
            return Next(Listing(ListReason.PERIODIC, at=end.resource_version))
        return following

    async def _verify(self, watching: Watching) -> Next:
        """Before resuming after a long time or a break: is the server's resourceVersion still above ours?"""
        page = await list_once(self._connection, self.resource, {"limit": 1}, timeouts=SHORT, on_contact=self._contact)
        self._see(page.resource_version)
        self._is_in_doubt = False
        return Next(watching)

    def _see(self, resource_version: str) -> None:
        """Take note of where the server is. Raises RegressedError if it was further before."""
        if has_regressed(self._seen, resource_version):
            self._report.metrics.regressions.inc()
            raise RegressedError(self.resource.plural, self._seen, resource_version)
        self._seen = resource_version

    # Time

    async def _pause(self, action: str, error: WatcherError) -> None:
        failure = classify(error)
        if isinstance(error, BackpressureError):
            self._report.held_back(failure)
            await error.room()
            return
        retry = self._times.retry_of(failure.state)
        if (self._backoff.initial_seconds, self._backoff.max_seconds) != retry:
            self._backoff = Backoff(*retry)
        seconds = self._backoff.next_seconds(failure.retry_after_seconds)
        self._report.failed(action, failure, self._backoff.attempt, seconds)
        if failure.retry_after_seconds:
            await asyncio.sleep(seconds)
        else:
            await self._connection.pause(seconds)

    def _contact(self) -> None:
        self.last_contact = datetime.now(UTC)

    def _was_away(self) -> bool:
        if self.last_contact is None:
            return True
        return (datetime.now(UTC) - self.last_contact).total_seconds() > self._times.outage_seconds

    def _next_relist(self) -> float:
        return time.monotonic() + random.uniform(*self._times.relist_seconds)  # noqa: S311
