"""How the API server refuses, and what a failure means: the state it puts a list-watch in, and the sentence for people.

A Kubernetes `Status` describes a refusal, as the body of an HTTP answer or inside a watch.
"""

from collections.abc import Mapping
from http.client import responses
from typing import NamedTuple

import msgspec

from summit_models.cluster import ConnectionState
from summit_watcher.kube.bounds import MESSAGE_SHOWN, OVERSIZED_SECONDS, one_line, seconds
from summit_watcher.kube.errors import UNREADABLE, OversizedError, StatusError, WatcherError
from summit_watcher.kube.manifests.metadata import Part


class _Details(Part):
    retry_after_seconds: float | None = None


class _Status(Part):
    kind: str | None = None
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
    if status.kind != "Status":
        return StatusError(None, None, None)
    reason, message = one_line(status.reason or ""), one_line(status.message or "", MESSAGE_SHOWN)
    retry_after = seconds(status.details.retry_after_seconds if status.details else None)
    return StatusError(status.code, reason or None, message or None, retry_after)


def http_error(code: int, headers: Mapping[str, str], body: bytes) -> StatusError:
    """The error of an HTTP answer that is not 2xx.

    The body is shown only if it is a Status. Whatever else answers (a proxy, another service that the address leads to)
    may say what readers of the state must not know: its code and content type are enough.
    """
    status = status_error(body)
    waits = [w for w in (status.retry_after_seconds, seconds(_retry_after(headers))) if w is not None]
    message = status.message or _what_answers(code, headers)
    return StatusError(code, status.reason or _phrase(code), message, max(waits, default=None))


def _phrase(code: int) -> str | None:
    """The name of a code, not what the server calls it."""
    return responses.get(code)


def _what_answers(code: int, headers: Mapping[str, str]) -> str | None:
    if 300 <= code < 400:
        return "a redirect, which is not followed: write the final address into the kubeconfig"
    content_type = one_line(headers.get("Content-Type", ""))
    return f"a body of {content_type}, which is not a Kubernetes Status" if content_type else None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Kubernetes sends seconds. The other form, a date, comes from proxies; our own backoff serves as well."""
    retry_after = headers.get("Retry-After")
    return float(retry_after) if retry_after and retry_after.isdecimal() else None


class Failure(NamedTuple):
    state: ConnectionState
    reason: str
    retry_after_seconds: float = 0.0
    """The pause that the server asked for; 0 if it did not."""


def classify(error: WatcherError) -> Failure:
    """The state and the reason of an error, and the pause that the server asks for."""
    if isinstance(error, OversizedError):
        return Failure(error.state, str(error), OVERSIZED_SECONDS)
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
