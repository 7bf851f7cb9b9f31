"""How the API server refuses, and what a failure means: the state it puts a list-watch in, and the sentence for people.

A Kubernetes `Status` describes a refusal, as the body of an HTTP answer or inside a watch.
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from summit_models.cluster import ConnectionState
from summit_watcher.kube.errors import UNREADABLE, StatusError, WatcherError
from summit_watcher.kube.manifests.metadata import Part

BODY_SHOWN = 100
"""Characters shown of a body that is not a Status, such as a proxy's page."""
MESSAGE_SHOWN = 1000
"""Characters of the server's own sentence: it goes into the log and into an event, which has a largest size."""
MAX_WAIT_SECONDS = 3600.0
"""A server that asks for a longer pause than an hour is mistaken; it would not be asked again for days."""


class _Details(Part):
    retry_after_seconds: float | None = None


class _Status(Part):
    code: int | None = None
    reason: str | None = None
    message: str | None = None
    details: _Details | None = None


def status_error(body: bytes) -> StatusError:
    """The error that a `Status` describes; an error without content if the body is not a readable Status."""
    try:
        status = msgspec.json.decode(body, type=_Status)
    except UNREADABLE:
        return StatusError(None, None, None)
    retry_after = status.details.retry_after_seconds if status.details else None
    return StatusError(status.code, status.reason, status.message, retry_after)


def http_error(code: int, reason: str | None, headers: Mapping[str, str], body: bytes) -> StatusError:
    """The error of an HTTP answer. Its body is a Status, or just text (404 of an absent CRD, proxies)."""
    status = status_error(body)
    waits = [w for w in (status.retry_after_seconds, _seconds(headers.get("Retry-After"))) if w is not None]
    message = (status.message or "")[:MESSAGE_SHOWN] or " ".join(body[:BODY_SHOWN].decode(errors="replace").split())
    wait = min(max(waits), MAX_WAIT_SECONDS) if waits else None
    return StatusError(code, status.reason or reason, message or None, wait)


def _seconds(retry_after: str | None) -> float | None:
    """Kubernetes sends seconds. The other form, a date, comes from proxies; our own backoff serves as well."""
    return float(retry_after) if retry_after and retry_after.isdecimal() else None


class Failure(NamedTuple):
    state: ConnectionState
    reason: str
    retry_after_seconds: float = 0.0
    """The pause that the server asked for; 0 if it did not."""


def classify(error: WatcherError) -> Failure:
    """The state and the reason of an error, and the pause that the server asks for."""
    if isinstance(error, StatusError):
        retry_after = error.retry_after_seconds or 0.0
        return Failure(_state_of_status(error.code, asked_to_wait=retry_after > 0), _sentence(error), retry_after)
    return Failure(error.state, str(error))


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


def _sentence(error: StatusError) -> str:
    """The server's own sentence, which names user, verb and resource when RBAC refuses. That of a 404 does not help."""
    if error.code == 404:
        return "the cluster does not serve it (404): KubeVirt or CDI is not installed there, or an old one"
    answer = f"the API server answered {error.code or 'an error'} {error.reason or ''}".strip()
    return f"{answer}: {error.message}" if error.message else answer
