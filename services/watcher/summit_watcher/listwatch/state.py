"""Where a list-watch stands between two requests, and what each outcome of a request leads to. Pure.

- Listing: there is nothing to resume from, or what is known has to be compared.
- Watching: a watch goes on from a resourceVersion.
- Verifying: before the watch goes on, the server shows that it has not gone backwards.

A failure keeps the resourceVersion unless the server has refused it. The rules are client-go's
reflector's, with the differences of kube-rs' watcher that lose less.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from summit_watcher.kube.errors import (
    ErrorEvent,
    IdleError,
    LostError,
    ShortWatch,
    StatusError,
    StreamingListError,
    UndecodableLine,
    WatcherError,
)
from summit_watcher.normalize.facts import number_of
from summit_watcher.settings import WatcherTimes

EXPIRED_PAGES = 2
"""After so many, list without pages, as client-go's pager: the snapshot dies faster than we can read it."""
SETBACKS = 3
"""Watches that failed at one resourceVersion by what is in them: then a list steps over it."""


class ListReason(StrEnum):
    START = "start"
    RESUMED = "the events since the last run are wanted"
    REGRESSED = "the resource version went backwards"
    EXPIRED = "the resource version expired"
    UNREADABLE = "the watch could not be read"
    PERIODIC = "it is time to compare"
    CONFIRMATION = "the list would delete most objects, so a second one must confirm it"


@dataclass(frozen=True)
class Listing:
    """A complete list is needed: the newest one, or the state as of the resourceVersion `at`."""

    reason: ListReason = ListReason.START
    at: str | None = None
    """To know the state as it was and to watch on from there misses nothing that came and went since."""
    seen: str = ""
    """The newest resourceVersion the server has shown: below it, the server has gone backwards."""
    may_stream: bool = True
    """Until a streaming list has failed: the same list goes on in pages, as in client-go."""
    expired_pages: int = 0
    expiries: int = 0
    """Times that a resourceVersion had expired without a watch in between that lasted."""

    @property
    def finds_drift(self) -> bool:
        """Whether each difference that the list shows is one that no watch can have reported.

        That is so for the state at the very resourceVersion that the watch has come to, and for a server that was set
        back. The newest list also shows what has happened since the watch ended, which is no drift.
        """
        is_check = self.reason is ListReason.PERIODIC and self.at is not None
        return is_check or self.reason is ListReason.REGRESSED

    @property
    def in_pages(self) -> bool:
        return self.expired_pages < EXPIRED_PAGES


@dataclass(frozen=True)
class Watching:
    """Changes after this resourceVersion are needed."""

    resource_version: str
    relist_at: float = float("inf")
    """Monotonic time from which on the end of a watch leads to a list that compares."""
    expiries: int = 0
    setbacks: int = 0


@dataclass(frozen=True)
class Verifying:
    """The watch was cut, or no byte came for long: if etcd was restored meanwhile, the next watch would be silent."""

    watching: Watching


StreamState = Listing | Watching | Verifying


class Next(NamedTuple):
    """The next state, and the failure that led to it: with one, wait before going on; without, go on at once."""

    state: StreamState
    failure: WatcherError | None = None


class WatchEnd(NamedTuple):
    """How a watch ended, in monotonic seconds. `error` None: the server closed it in good order."""

    resource_version: str
    began_at: float
    ended_at: float
    error: WatcherError | None = None

    @property
    def lasted_seconds(self) -> float:
        return self.ended_at - self.began_at


def after_list(listing: Listing, error: WatcherError) -> Next:
    """After a list in pages that failed."""
    if listing.at is not None and _is_out_of_reach(error):
        reason = ListReason.EXPIRED if listing.reason is ListReason.RESUMED else listing.reason
        return Next(replace(listing, at=None, reason=reason))
    if error.has_expired:
        again = replace(listing, reason=ListReason.EXPIRED, expired_pages=listing.expired_pages + 1)
        return Next(again, error if listing.expired_pages else None)
    return Next(listing, error)


def after_streaming_list(listing: Listing, error: WatcherError) -> Next:
    """After a streaming list that failed before its end was marked: go on in pages, at once if only streaming failed.

    After a failure that pages would meet as well, streaming is still the cheapest way.
    """
    in_pages = replace(listing, may_stream=False)
    match error:
        case StatusError(code=401 | 403 | 404):
            return Next(listing, error)
        case StatusError() if error.code == 429 or error.retry_after_seconds:
            return Next(in_pages, error)
        case StatusError() | LostError() | UndecodableLine() | StreamingListError():
            return Next(in_pages)
        case _:
            return Next(listing, error)


def after_watch(watching: Watching, end: WatchEnd, times: WatcherTimes) -> Next:
    """After a watch: resume, resume after a pause, verify, or list.

    Each way back to a request takes a while, whatever a watch has brought: without a pause go on only a watch that
    lasted a second, and the first list after one that lasted longer.
    """
    here = replace(watching, resource_version=end.resource_version)
    if end.resource_version != watching.resource_version:
        here = replace(here, setbacks=0)
    if end.lasted_seconds >= times.lasting_watch_seconds:
        here = replace(here, expiries=0)
    match end.error:
        case None if end.lasted_seconds < times.short_watch_seconds:
            return Next(here, ShortWatch(f"the watch ended after {end.lasted_seconds:.1f} s"))
        case None:
            return Next(_periodic(here) if end.ended_at > here.relist_at else here)
        case error if error.has_expired or _is_unusable(error):
            return _after_expiry(here, error)
        case UndecodableLine() | ErrorEvent():
            return _after_setback(here, end.error)
        case LostError():
            # A proxy that drops bookmarks looks like a dead connection: the next request shows which of them it is.
            return Next(Verifying(here), None if isinstance(end.error, IdleError) else end.error)
        case error:
            return Next(here, error)


def after_silence(state: StreamState, silent_seconds: float, times: WatcherTimes) -> StreamState:
    """Before a request: when no byte has come for so long, a watch must not go on before the server is verified."""
    return Verifying(state) if isinstance(state, Watching) and silent_seconds > times.outage_seconds else state


def has_regressed(seen: str, resource_version: str) -> bool:
    """Whether this resourceVersion is below one seen before: within a resource they are ordered integers (KEP-5504).

    One that is no number, or too long for one, is not compared.
    """
    return 0 < number_of(resource_version) < number_of(seen)


def needs_confirmation(known: int, deleted: int) -> bool:
    """Whether a list would delete so many objects that a second list has to show the same first."""
    return known > 20 and deleted > known / 2


def _periodic(here: Watching) -> Listing:
    """List the state that the watch has come to: a difference is one that no watch has reported."""
    return Listing(ListReason.PERIODIC, at=here.resource_version, seen=here.resource_version)


def _after_expiry(here: Watching, error: WatcherError) -> Next:
    """List at once the first time; a server whose resourceVersions expire again and again gets a pause."""
    listing = Listing(ListReason.EXPIRED, seen=here.resource_version, expiries=here.expiries + 1)
    return Next(listing, error if here.expiries else None)


def _after_setback(here: Watching, error: WatcherError) -> Next:
    if here.setbacks + 1 >= SETBACKS:
        return Next(Listing(ListReason.UNREADABLE, seen=here.resource_version), error)
    return Next(replace(here, setbacks=here.setbacks + 1), error)


def _is_unusable(error: WatcherError) -> bool:
    """A resourceVersion the server cannot make sense of, or one from its future (another cluster, a restore)."""
    if not isinstance(error, StatusError) or isinstance(error, ErrorEvent):
        return False
    return error.code in (400, 422) or "Too large resource version" in (error.message or "")


def _is_out_of_reach(error: WatcherError) -> bool:
    """A past state that the server does not have any more, or not yet: etcd refuses a future revision with a 500."""
    return error.has_expired or _is_unusable(error) or (isinstance(error, StatusError) and error.code == 500)
