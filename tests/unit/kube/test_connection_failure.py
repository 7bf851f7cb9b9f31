"""Each failure leads to a state, and to a pause before the next attempt."""

import asyncio
import json

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
from summit_watcher.kube.failure import classify, http_error, status_error
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
    assert classify(http_error(429, {"Retry-After": "3"}, body)).retry_after_seconds == 7
    assert classify(http_error(429, {"Retry-After": "9"}, body)).retry_after_seconds == 9
    assert classify(http_error(503, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, b"")).retry_after_seconds == 0


def test_the_servers_own_sentence_is_kept_on_one_line() -> None:
    """It names the user, the verb and the resource. A newline would forge a line of the log."""
    body = b'{"kind":"Status","reason":"Forbidden","message":"User \\"a\\" cannot list\\nvirtualmachines"}'
    assert classify(http_error(403, {}, body)).reason == (
        'the API server answered 403 Forbidden: User "a" cannot list virtualmachines'
    )


def test_a_failed_answer_that_is_no_status_shows_its_code_and_content_type_only() -> None:
    """An internal host that the address leads to says what readers of the state must not know."""
    body = b'{"message":"password=hunter2","code":500,"reason":"hunter2"}'
    headers = {"Content-Type": "application/json"}
    assert classify(http_error(502, headers, body)).reason == (
        "the API server answered 502 Bad Gateway: a body of application/json, which is not a Kubernetes Status"
    )


def test_a_redirect_is_a_reason_that_names_the_remedy() -> None:
    """It is not followed, whatever it names."""
    reason = classify(http_error(302, {"Location": "http://127.0.0.1/", "Content-Type": "text/html"}, b"")).reason
    assert reason.startswith("the API server answered 302 Found: a redirect, which is not followed")
    assert "127.0.0.1" not in reason


@pytest.mark.parametrize("seconds", [1_000_000_000, 1e308, -5])
def test_a_pause_that_a_server_asks_for_has_a_bound(seconds: float) -> None:
    """A cluster that asks for 30 years would never be asked again, by an answer or by an ERROR event."""
    body = json.dumps({"kind": "Status", "code": 429, "details": {"retryAfterSeconds": seconds}}).encode()
    for error in (status_error(body), http_error(429, {}, body), http_error(429, {"Retry-After": "9" * 5000}, b"")):
        assert 0 <= (error.retry_after_seconds or 0) <= 3600


def test_a_status_message_of_two_megabytes_does_not_blind_the_state() -> None:
    """The state of a cluster is an event, which has a largest size."""
    body = json.dumps({"kind": "Status", "reason": "R" * 2**20, "message": "m" * 2**21}).encode()
    for error in (status_error(body), http_error(500, {"Content-Type": "x" * 9000}, body)):
        assert len(classify(error).reason) < 1200


def test_a_resource_that_is_not_served_is_reported_as_missing_kubevirt() -> None:
    """`404 page not found` helps no one at 3 a.m."""
    reason = classify(http_error(404, {}, b"404 page not found\n")).reason
    assert "KubeVirt or CDI is not installed" in reason
