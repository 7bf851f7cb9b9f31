"""Where a list-watch stands between two requests, and what each outcome of a request leads to. Pure.

Two states: Listing (nothing to resume from) and Watching (a resourceVersion to resume from). A failure keeps the
resourceVersion unless the server said that it is of no use any more. The rules are client-go's reflector's, with the
differences of kube-rs' watcher that lose less.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from summit_watcher.kube.errors import (
    ErrorEvent,
    LostError,
    ShortWatch,
    StatusError,
    StreamingListError,
    UndecodableLine,
    WatcherError,
)

STREAMING_LIST_FAILURES = 2
"""After so many, use pages: a busy server that cuts a streaming list would only get the same load again."""
EXPIRED_PAGES = 2
"""After so many, list without pages, as client-go's pager: the snapshot dies faster than we can read it."""
SETBACKS = 3
"""Watches that failed at one resourceVersion by what is in them: then a list steps over it."""
SHORT_WATCH_SECONDS = 1.0
"""A watch without an event that ends sooner was refused politely. Source: client-go, VeryShortWatchError."""


class ListReason(StrEnum):
    START = "start"
    RESUMED = "what happened meanwhile is wanted"
    REGRESSED = "the resource version went backwards"
    EXPIRED = "the resource version expired"
    UNREADABLE = "the watch could not be read"
    PERIODIC = "it is time to compare"
    DOUBTED = "the list would delete most of what is known"


@dataclass(frozen=True)
class Listing:
    """A complete list is needed: the newest one, or the state as of the resourceVersion `at`."""

    reason: ListReason = ListReason.START
    at: str | None = None
    """To know the state as it was and to watch on from there misses nothing that came and went since."""
    streaming_failures: int = 0
    expired_pages: int = 0
    expiries: int = 0
    """Times in a row that a resourceVersion had expired."""

    @property
    def finds_drift(self) -> bool:
        """Is whatever it changes what no watch can have told?

        So it is with the state at the very resourceVersion that the watch has come to, and with a server that was set
        back. The newest list also finds what has happened since the watch ended, which is no drift.
        """
        is_check = self.reason is ListReason.PERIODIC and self.at is not None
        return is_check or self.reason is ListReason.REGRESSED

    @property
    def may_stream(self) -> bool:
        return self.streaming_failures < STREAMING_LIST_FAILURES

    @property
    def in_pages(self) -> bool:
        return self.expired_pages < EXPIRED_PAGES


@dataclass(frozen=True)
class Watching:
    """Changes after this resourceVersion are needed."""

    resource_version: str
    expiries: int = 0
    setbacks: int = 0


StreamState = Listing | Watching


class Next(NamedTuple):
    """The next state, and the failure that led to it: with one, wait before going on; without, go on at once."""

    state: StreamState
    failure: WatcherError | None = None


class WatchEnd(NamedTuple):
    """How a watch ended. `error` None: the server closed it in good order."""

    resource_version: str
    changes: int
    lasted_seconds: float
    error: WatcherError | None = None


def after_list(listing: Listing, error: WatcherError) -> Next:
    """After a list in pages that failed."""
    if listing.at is not None and _is_out_of_reach(error):
        reason = ListReason.EXPIRED if listing.reason is ListReason.RESUMED else listing.reason
        return Next(replace(listing, at=None, reason=reason))
    if _is_expired(error):
        again = replace(listing, reason=ListReason.EXPIRED, expired_pages=listing.expired_pages + 1)
        return Next(again, error if listing.expired_pages else None)
    return Next(listing, error)


def after_streaming_list(listing: Listing, error: WatcherError) -> Next:
    """After a streaming list that failed before its end was marked; that none could be begun is not held against it."""
    if not isinstance(error, LostError | ErrorEvent | UndecodableLine | StreamingListError):
        return Next(listing, error)
    return Next(replace(listing, streaming_failures=listing.streaming_failures + 1), error)


def after_watch(watching: Watching, end: WatchEnd) -> Next:
    """After a watch: resume, resume after a pause, or list."""
    healthy = end.changes > 0 or end.lasted_seconds >= SHORT_WATCH_SECONDS
    here = Watching(end.resource_version) if healthy else replace(watching, resource_version=end.resource_version)
    match end.error:
        case None:
            return Next(here) if healthy else Next(here, ShortWatch(_short(end)))
        case error if _is_expired(error) or _is_unusable(error):
            return _relist(ListReason.EXPIRED, here, error)
        case UndecodableLine() | ErrorEvent():
            return _after_setback(here, end.error)
        case error:
            return Next(here, error)


def has_regressed(seen: str, resource_version: str) -> bool:
    """Is this resourceVersion below one seen before? Within one resource they are ordered integers (KEP-5504)."""
    return resource_version.isdecimal() and seen.isdecimal() and int(resource_version) < int(seen)


def is_doubtful(known: int, deleted: int) -> bool:
    """Would a list delete so much that a second one should say the same first?"""
    return known > 20 and deleted > known / 2


def _relist(reason: ListReason, here: Watching, error: WatcherError) -> Next:
    """At once the first time; a server whose resourceVersions expire again and again gets a pause."""
    return Next(Listing(reason, expiries=here.expiries + 1), error if here.expiries else None)


def _after_setback(here: Watching, error: WatcherError) -> Next:
    if here.setbacks + 1 >= SETBACKS:
        return Next(Listing(ListReason.UNREADABLE), error)
    return Next(replace(here, setbacks=here.setbacks + 1), error)


def _is_expired(error: WatcherError) -> bool:
    return isinstance(error, StatusError) and (error.code == 410 or error.reason in ("Expired", "Gone"))


def _is_unusable(error: WatcherError) -> bool:
    """A resourceVersion the server cannot make sense of, or one from its future (another cluster, a restore)."""
    if not isinstance(error, StatusError) or isinstance(error, ErrorEvent):
        return False
    return error.code in (400, 422) or "Too large resource version" in (error.message or "")


def _is_out_of_reach(error: WatcherError) -> bool:
    """A past state that the server does not have any more, or not yet: etcd refuses a future revision with a 500."""
    return _is_expired(error) or _is_unusable(error) or (isinstance(error, StatusError) and error.code == 500)


def _short(end: WatchEnd) -> str:
    return f"the watch ended after {end.lasted_seconds:.1f} s without an event"
