"""The series of one list-watch, made all at once and with 0.

An alert on a rate sees the first error then, and a cluster that never got anywhere is seen as well.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum

from summit_models.cluster import ConnectionState
from summit_watcher.kube.errors import (
    AuthError,
    BackpressureError,
    ErrorEvent,
    IdleError,
    LostError,
    RegressedError,
    ShortWatch,
    StatusError,
    UndecodableLine,
    UnreachableError,
    WatcherError,
)
from summit_watcher.metrics import (
    DECODE_ERRORS,
    LISTS,
    REGRESSIONS,
    RELIST_DRIFT,
    STREAM_LAST_CONTACT,
    STREAM_STATE,
    SYNTHETIC_DELETES,
    WATCH_EVENTS,
    WATCH_RESTARTS,
    timestamp,
)

_EVENT_TYPES = ("ADDED", "MODIFIED", "DELETED", "BOOKMARK")
_STATES = tuple(set(ConnectionState) - {ConnectionState.DEGRADED, ConnectionState.RETIRED})  # those are a cluster's


class WatchEndReason(StrEnum):
    """Why a watch ended. `eof`: the server closed it in good order, as it does after some minutes."""

    EOF = "eof"
    SHORT = "short"
    IDLE = "idle"
    LOST = "lost"
    GONE = "gone"
    THROTTLED = "throttled"
    REFUSED = "refused"
    ERROR_EVENT = "error_event"
    UNDECODABLE = "undecodable"
    REGRESSED = "regressed"
    UNREACHABLE = "unreachable"
    BACKPRESSURE = "backpressure"
    OTHER = "other"


class StreamMetrics:
    """The series of one list-watch."""

    def __init__(self, cluster: str, resource: str) -> None:
        self._labels = (cluster, resource)
        self._events = {kind: WATCH_EVENTS.labels(*self._labels, kind) for kind in _EVENT_TYPES}
        self._ends = {reason: WATCH_RESTARTS.labels(*self._labels, reason) for reason in WatchEndReason}
        self._states = {state: STREAM_STATE.labels(*self._labels, state) for state in _STATES}
        self.lists = LISTS.labels(*self._labels)
        self.synthetic_deletes = SYNTHETIC_DELETES.labels(*self._labels)
        self.relist_drift = RELIST_DRIFT.labels(*self._labels)
        self.decode_errors = DECODE_ERRORS.labels(*self._labels)
        self.regressions = REGRESSIONS.labels(*self._labels)
        self.set_state(ConnectionState.STARTING)

    def set_state(self, state: ConnectionState) -> None:
        for known, series in self._states.items():
            series.set(known is state)

    def received(self, types: Sequence[str]) -> None:
        """Count a batch of watch events."""
        for kind, count in Counter(types).items():
            self._events[kind].inc(count)

    def watch_ended(self, error: WatcherError | None) -> None:
        reason = watch_end_reason(error)
        self._ends[reason].inc()
        if reason is WatchEndReason.UNDECODABLE:
            self.decode_errors.inc()

    def ask_last_contact(self, last_contact: Callable[[], datetime | None]) -> None:
        """Ask when Prometheus asks: bytes arrive too often to note each time."""
        STREAM_LAST_CONTACT.labels(*self._labels).set_function(lambda: timestamp(last_contact()))


def watch_end_reason(error: WatcherError | None) -> WatchEndReason:
    match error:
        case None:
            return WatchEndReason.EOF
        case StatusError(code=410) | StatusError(reason="Expired"):
            return WatchEndReason.GONE
        case StatusError(code=429):
            return WatchEndReason.THROTTLED
        case _:
            return next((reason for kind, reason in _REASONS if isinstance(error, kind)), WatchEndReason.OTHER)


_REASONS: tuple[tuple[type[WatcherError], WatchEndReason], ...] = (
    (ErrorEvent, WatchEndReason.ERROR_EVENT),
    (StatusError, WatchEndReason.REFUSED),
    (AuthError, WatchEndReason.REFUSED),
    (UndecodableLine, WatchEndReason.UNDECODABLE),
    (RegressedError, WatchEndReason.REGRESSED),
    (ShortWatch, WatchEndReason.SHORT),
    (IdleError, WatchEndReason.IDLE),
    (LostError, WatchEndReason.LOST),
    (UnreachableError, WatchEndReason.UNREACHABLE),
    (BackpressureError, WatchEndReason.BACKPRESSURE),
)
"""The first that fits; a class before those that it is derived from."""
