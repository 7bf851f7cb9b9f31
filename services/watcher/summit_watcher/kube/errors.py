"""What goes wrong between us and a cluster, as sentences for people.

WatcherError
├── StatusError        the server said no, in its own words
│   └── ErrorEvent         … as an ERROR event inside a watch
├── UndecodableLine    bytes that are no event, or a page that is no list
├── KubeconfigError    the file is missing, broken, or asks for what we do not do
├── AuthError          there are no credentials, or the server refuses them after they were loaded again
├── TlsError           there was no TLS handshake
│   └── CertificateError   … as the server's certificate was not accepted
├── UnreachableError   nothing that speaks Kubernetes answers at that address
├── LostError          an answer broke off
│   ├── IdleError      … or fell silent
│   └── ShortWatch     … or ended before it had begun
├── StreamingListError a streaming list that does not end as it should
├── IdentityChangedError  another cluster answers
├── HistoryEndedError  the resourceVersions known so far compare with nothing any more: all begins anew
│   ├── RegressedError     the server's resourceVersion went backwards
│   └── ReplacedError      another cluster was declared to take the place
├── SupersededError    another watcher has begun to watch the cluster
└── BackpressureError  we have closed a watch, as NATS does not take what it brings
"""

from collections.abc import Awaitable, Callable
from hashlib import blake2b

import msgspec

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that cannot be read: bad JSON, a wrong type, bad UTF-8 (which is not a MsgspecError),
or nesting deeper than the stack."""


class WatcherError(Exception):
    """Base of the watcher's errors."""


class StatusError(WatcherError):
    """A Kubernetes `Status`: the body of a failed request, or the object of an ERROR event inside HTTP 200."""

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


class UndecodableLine(WatcherError):
    """Bytes that could not be read. Carries their length and digest, never the content: manifests hold secrets."""

    def __init__(self, reason: str, data: bytes) -> None:
        self.reason = reason
        self.length = len(data)
        self.digest = blake2b(data, digest_size=8).hexdigest()
        super().__init__(f"{reason} ({self.length} bytes, blake2b {self.digest})")


class KubeconfigError(WatcherError):
    """The kubeconfig cannot be used. The sentence names the file and what to do."""


class AuthError(WatcherError):
    """No credentials, or refused ones. Nothing was sent without credentials instead."""


class TlsError(WatcherError):
    """The TLS handshake failed."""


class CertificateError(TlsError):
    """The server's certificate was not accepted."""


class UnreachableError(WatcherError):
    """No connection, or what answers is not a Kubernetes API."""


class LostError(WatcherError):
    """A connection broke in the middle of an answer."""


class IdleError(LostError):
    """No byte came for too long: half-open connections look like this."""


class ShortWatch(LostError):
    """A watch ended at once and without an event: re-watching without a pause would hammer the server."""


class StreamingListError(WatcherError):
    """A streaming list without the bookmark that ends its initial events."""


class IdentityChangedError(WatcherError):
    """Another cluster answers than the one that is known. An operator has to decide; the sentence says how."""


class HistoryEndedError(WatcherError):
    """What was known of the cluster is of a history that has ended."""


class RegressedError(HistoryEndedError):
    """The resourceVersion is lower than one seen before, as after an etcd restore."""

    def __init__(self, resource: str, seen: str, found: str) -> None:
        super().__init__(
            f"resource version regressed: {resource} were at {seen}, and the server is at {found}; "
            "etcd was restored from a backup"
        )


class ReplacedError(HistoryEndedError):
    """Another cluster answers, and datacenters.yaml says that it should."""

    def __init__(self, identity: str) -> None:
        super().__init__(f"another cluster has taken the place, as declared; its identity is {identity}")
        self.identity = identity


class SupersededError(WatcherError):
    """Another watcher has begun to watch the cluster: nobody hears this one any more."""

    def __init__(self, ours: int, newest: int) -> None:
        super().__init__(f"another watcher has begun to watch it, with epoch {newest} after our {ours}")


class BackpressureError(WatcherError):
    """A watch that is closed on purpose: more would have to be kept than may be. `room` waits until it may go on."""

    def __init__(self, waiting: int, room: Callable[[], Awaitable[None]]) -> None:
        super().__init__(f"{waiting} changes wait for NATS, which is away or slow")
        self.room = room


class ErrorEvent(StatusError):
    """An ERROR event: the watch is over, though it was answered with HTTP 200."""
