"""Each failure leads to a state, and to a pause before the next attempt."""

import asyncio

import pytest

from summit_models.cluster import ConnectionState as State
from summit_runtime.backoff import Backoff
from summit_watcher.kube.errors import (
    AuthError,
    BackpressureError,
    ErrorEvent,
    IdleError,
    KubeconfigError,
    LostError,
    StatusError,
    TlsError,
    UndecodableLine,
    UnreachableError,
    WatcherError,
)
from summit_watcher.kube.failure import classify, http_error
from summit_watcher.settings import TIMES

FAILURES = [
    (KubeconfigError("k"), State.CONFIG_ERROR, 5),
    (AuthError("a"), State.AUTH_FAILED, 5),
    (StatusError(401, "Unauthorized", "no"), State.AUTH_FAILED, 5),
    (TlsError("t"), State.TLS_ERROR, 5),
    (StatusError(403, "Forbidden", "no"), State.FORBIDDEN, 10),
    (StatusError(404, None, "404 page not found"), State.CRD_MISSING, 30),
    (StatusError(429, "TooManyRequests", "busy"), State.THROTTLED, 0.8),
    (StatusError(503, None, "busy", 3), State.THROTTLED, 0.8),
    (StatusError(500, "InternalError", "etcd"), State.BACKOFF, 0.8),
    (ErrorEvent(500, "InternalError", "etcd"), State.BACKOFF, 0.8),
    (UnreachableError("u"), State.UNREACHABLE, 0.8),
    (LostError("l"), State.BACKOFF, 0.8),
    (IdleError("i"), State.STALE, 0.8),
    (BackpressureError("7 changes wait for NATS", asyncio.Event().wait), State.BACKPRESSURE, 0.8),
    (UndecodableLine("cut", b"x"), State.BACKOFF, 0.8),
]


@pytest.mark.parametrize(("error", "state", "first_delay"), FAILURES)
def test_a_failure_has_a_state_and_a_delay(error: WatcherError, state: State, first_delay: float) -> None:
    """Failures that a person must correct are tried less often than those that heal by themselves."""
    assert classify(error).state is state
    assert TIMES.retry_of(state).initial_seconds == first_delay


@pytest.mark.parametrize("state", State)
def test_a_server_that_fails_at_once_is_asked_ten_times_in_half_a_minute_at_most(state: State) -> None:
    """The official clients ask a thousand times in two seconds."""
    now = 0.0
    backoff = Backoff(*TIMES.retry_of(state), clock=lambda: now)
    requests = 0
    while now <= 30:
        requests += 1
        now += backoff.next_seconds()
    assert requests <= 10


def test_the_longest_retry_after_counts() -> None:
    """The header and the Status may both ask for time."""
    body = b'{"kind":"Status","code":429,"reason":"TooManyRequests","details":{"retryAfterSeconds":7}}'
    assert classify(http_error(429, "Too Many", {"Retry-After": "3"}, body)).retry_after_seconds == 7
    assert classify(http_error(429, "Too Many", {"Retry-After": "9"}, body)).retry_after_seconds == 9
    assert (
        classify(http_error(503, "Busy", {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, b"")).retry_after_seconds
        == 0
    )


def test_the_servers_own_sentence_is_kept() -> None:
    """It names the user, the verb and the resource. The text of a proxy is shown in part."""
    assert classify(http_error(502, "Bad Gateway", {}, b"<h1>upstream is away</h1>\n")).reason == (
        "the API server answered 502 Bad Gateway: <h1>upstream is away</h1>"
    )


def test_a_resource_that_is_not_served_is_reported_as_missing_kubevirt() -> None:
    """`404 page not found` helps no one at 3 a.m."""
    reason = classify(http_error(404, "Not Found", {}, b"404 page not found\n")).reason
    assert "KubeVirt or CDI is not installed" in reason
