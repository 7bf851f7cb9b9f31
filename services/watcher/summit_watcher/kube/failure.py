"""What a failure means: the state it puts a list-watch in, the sentence for people, and how soon to try again.

What a person must mend (credentials, rights, certificates) is tried less often than what heals by itself.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from summit_models.cluster import ConnectionState
from summit_runtime.backoff import INITIAL_SECONDS, MAX_SECONDS
from summit_watcher.kube.errors import (
    AuthError,
    BackpressureError,
    IdentityChangedError,
    IdleError,
    KubeconfigError,
    StatusError,
    TlsError,
    UnreachableError,
    WatcherError,
)


class Retry(NamedTuple):
    """First and longest delay; doubled from one to the other, each sleep up to twice the delay (see Backoff)."""

    initial_seconds: float
    max_seconds: float


DEFAULT_RETRY = Retry(INITIAL_SECONDS, MAX_SECONDS)
RETRIES: Mapping[ConnectionState, Retry] = MappingProxyType(
    {
        ConnectionState.AUTH_FAILED: Retry(5, 60),  # each attempt may run a credential plugin
        ConnectionState.CONFIG_ERROR: Retry(5, 60),
        ConnectionState.TLS_ERROR: Retry(5, 60),
        ConnectionState.FORBIDDEN: Retry(10, 60),
        ConnectionState.IDENTITY_CHANGED: Retry(10, 60),
        ConnectionState.CRD_MISSING: Retry(30, 300),  # no KubeVirt is a normal state of a cluster
    }
)


class Failure(NamedTuple):
    state: ConnectionState
    reason: str
    retry_after_seconds: float = 0.0
    """What the server asked for; 0 if it did not."""


def classify(error: WatcherError) -> Failure:
    """The state, the reason in words, and how long the server asks us to wait."""
    if isinstance(error, StatusError):
        retry_after = error.retry_after_seconds or 0.0
        return Failure(_state_of_status(error.code, asked_to_wait=retry_after > 0), _said(error), retry_after)
    return Failure(_state_of(error), str(error))


_STATES: Sequence[tuple[type[WatcherError], ConnectionState]] = (
    (KubeconfigError, ConnectionState.CONFIG_ERROR),
    (AuthError, ConnectionState.AUTH_FAILED),
    (TlsError, ConnectionState.TLS_ERROR),
    (UnreachableError, ConnectionState.UNREACHABLE),
    (IdleError, ConnectionState.STALE),
    (BackpressureError, ConnectionState.BACKPRESSURE),
    (IdentityChangedError, ConnectionState.IDENTITY_CHANGED),
)


def _state_of(error: WatcherError) -> ConnectionState:
    return next((state for kind, state in _STATES if isinstance(error, kind)), ConnectionState.BACKOFF)


def _state_of_status(code: int | None, *, asked_to_wait: bool) -> ConnectionState:
    match code:
        case 401:
            return ConnectionState.AUTH_FAILED
        case 403:
            return ConnectionState.FORBIDDEN
        case 404:
            return ConnectionState.CRD_MISSING
        case 429:
            return ConnectionState.THROTTLED
        case int() if code >= 500 and asked_to_wait:
            return ConnectionState.THROTTLED
        case _:
            return ConnectionState.BACKOFF


def _said(error: StatusError) -> str:
    """The server's own words; RBAC's name the user, the verb and the resource. 404 has none that help."""
    if error.code == 404:
        return "the cluster does not serve it (404): KubeVirt is not installed there, or an old one"
    told = f"{error.code or 'an error'} {error.reason or ''}".strip()
    return f"the API server answered {told}: {error.message}" if error.message else f"the API server answered {told}"
