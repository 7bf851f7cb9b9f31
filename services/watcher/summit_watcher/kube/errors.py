"""The errors between us and a cluster, as sentences for people. Each error knows the state that it leads to.

`log` has one more, `SupersededError`, for what goes wrong between two watchers.
"""

from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import ClassVar, Literal

import msgspec

from summit_models.cluster import ConnectionState

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""The exceptions of msgspec for bytes that it cannot read: bad JSON, a wrong type, bad UTF-8 (no MsgspecError), or
nesting deeper than the stack."""


WatchEndReason = Literal[
    "eof", "short", "idle", "lost", "gone", "throttled", "refused", "error_event", "undecodable", "regressed",
    "unreachable", "backpressure", "other",
]  # fmt: skip
"""Why a watch ended, as it is counted. `eof`: the server closed it in good order, as it does after some minutes."""


class WatcherError(Exception):
    """Base of the watcher's errors."""

    state: ClassVar[ConnectionState] = ConnectionState.BACKOFF
    """The state that such an error puts a list-watch in."""
    ends_watch: ClassVar[WatchEndReason] = "other"
    """How a watch that it ends is counted."""
    has_expired: bool = False
    """The server does not have the resourceVersion any more."""


class StatusError(WatcherError):
    """A Kubernetes `Status`: the body of a failed request, or the object of an ERROR event inside HTTP 200."""

    ends_watch: ClassVar[WatchEndReason] = "refused"

    def __init__(
        self, code: int | None, reason: str | None, message: str | None, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(
            f"the API server answered {code or 'an error'} {reason or 'without a reason'}: {message or '-'}"
        )
        self.code = code
        self.reason = reason
        self.message = message
        self.retry_after_seconds = retry_after_seconds
        self.has_expired = code == 410 or reason in ("Expired", "Gone")


class OversizedError(WatcherError):
    """What the cluster answers exceeds a bound of `bounds`. The sentence names the bound."""


class UndecodableLine(WatcherError):
    """Bytes that cannot be read. Carries their length and digest, never the content: manifests hold secrets."""

    ends_watch = "undecodable"

    def __init__(self, reason: str, data: bytes) -> None:
        self.reason = reason
        self.length = len(data)
        self.digest = blake2b(data, digest_size=8).hexdigest()
        super().__init__(f"{reason} ({self.length} bytes, blake2b {self.digest})")


class KubeconfigError(WatcherError):
    """The kubeconfig cannot be used. The sentence names the file and what to do."""

    state = ConnectionState.CONFIG_ERROR


class AuthError(WatcherError):
    """There are no credentials, or they are refused. Nothing was sent without credentials instead."""

    state = ConnectionState.AUTH_FAILED
    ends_watch = "refused"


class TlsError(WatcherError):
    state = ConnectionState.TLS_ERROR


class CertificateError(TlsError):
    """The server's certificate was not accepted."""


class UnreachableError(WatcherError):
    """There is no connection, or what answers is not a Kubernetes API."""

    state = ConnectionState.UNREACHABLE
    ends_watch = "unreachable"


class NotConnectedError(UnreachableError):
    """There was no connection, so the request was not sent."""


class LostError(WatcherError):
    """A connection broke in the middle of an answer."""

    ends_watch: ClassVar[WatchEndReason] = "lost"


class IdleError(LostError):
    """No byte came for too long: half-open connections look like this."""

    state = ConnectionState.STALE
    ends_watch = "idle"


class ShortWatch(LostError):
    """A watch ended at once, without an event. Watching again without a pause would hammer the server."""

    ends_watch = "short"


class StreamingListError(WatcherError):
    """A streaming list without the bookmark that ends its initial events."""


class IdentityChangedError(WatcherError):
    """Another cluster answers than the known one. An operator must decide; the sentence names the choices."""

    state = ConnectionState.IDENTITY_CHANGED


class DuplicateError(WatcherError):
    """datacenters.yaml declares one cluster under two names. It is watched under the first one."""

    state = ConnectionState.CONFIG_ERROR

    def __init__(self, first: str, identity: str) -> None:
        super().__init__(
            f"it is the same cluster as {first!r} (its identity is {identity}), and is watched under that name alone: "
            "remove one of the two from datacenters.yaml"
        )


class DroppedError(WatcherError):
    """NATS has refused events for good, so the log lacks them. What it has is read back."""

    def __init__(self, events: int, most_bytes: int) -> None:
        super().__init__(
            f"NATS refuses {events} events as too large; it takes {most_bytes} bytes: has somebody lowered its "
            "max_payload, or max_msg_size of the stream?"
        )


class HistoryEndedError(WatcherError):
    """The known state of the cluster belongs to a history that has ended."""


class RegressedError(HistoryEndedError):
    """The resourceVersion is lower than an earlier one, as after an etcd restore."""

    ends_watch = "regressed"

    def __init__(self, resource: str, seen: str, found: str) -> None:
        super().__init__(
            f"resource version regressed: {resource} were at {seen}, and the server is at {found}; "
            "etcd was restored from a backup"
        )


class ReplacedError(HistoryEndedError):
    """Another cluster answers, and datacenters.yaml declares it."""

    def __init__(self, identity: str) -> None:
        super().__init__(f"another cluster has taken the place, as declared; its identity is {identity}")
        self.identity = identity


class BackpressureError(WatcherError):
    """A watch was closed on purpose, since its events have no place. `room` waits until the watch may go on."""

    state = ConnectionState.BACKPRESSURE
    ends_watch = "backpressure"

    def __init__(self, reason: str, room: Callable[[], Awaitable[object]]) -> None:
        super().__init__(reason)
        self.room = room


class FirstListsError(BackpressureError):
    """A watch has changes before the first lists of its cluster are complete: none can be published yet."""

    state = ConnectionState.LISTING


class ErrorEvent(StatusError):
    """An ERROR event ends a watch, though the watch was answered with HTTP 200."""

    ends_watch = "error_event"
