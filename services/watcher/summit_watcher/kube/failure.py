"""What a failure means: the state it puts a list-watch in, and the sentence for people."""

from typing import NamedTuple

from summit_models.cluster import ConnectionState
from summit_watcher.kube.errors import StatusError, WatcherError


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
        return "the cluster does not serve it (404): KubeVirt is not installed there, or an old one"
    answer = f"the API server answered {error.code or 'an error'} {error.reason or ''}".strip()
    return f"{answer}: {error.message}" if error.message else answer
