"""Traces are off unless somebody wants them, and cost a comparison then."""

import socket
import sys
import threading
import time

import pytest
from support.waiting import until

from summit_runtime import tracing
from summit_runtime.nats.publishing.fast_batch import Message
from summit_runtime.settings import SettingsError

EXPORTER = "opentelemetry.exporter.otlp.proto.http.trace_exporter"


def test_nothing_is_traced_without_a_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose passes on a variable that is not set as an empty one."""
    monkeypatch.setenv(tracing.ENDPOINT, "")
    with tracing.exporting("summit-watcher"):
        assert not tracing.is_on()
        assert tracing.begin("watch") is None
    assert Message("summit.vms", b"", "1").headers == {"Nats-Msg-Id": "1"}


def test_a_sampled_change_carries_its_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts that follow belong to the trace that the header names; one that is not sampled has no header."""
    monkeypatch.setenv(tracing.ENDPOINT, "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_on")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with tracing.exporting("summit-watcher"):
        span = tracing.begin("watch", start_ns=1)
        assert span
        _, trace, part, flags = Message("summit.vms", b"", "1", span).headers["traceparent"].split("-")
        following = tracing.begin("row", span.traceparent)
        assert following
        assert following.traceparent.split("-")[1] == trace
        assert following.traceparent.split("-")[2] != part
        assert int(flags, 16) & 1
        assert tracing.begin("row", f"00-{trace}-{part}-00") is None


def test_a_missing_package_stops_the_start_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who set the variable wants traces."""
    monkeypatch.setenv(tracing.ENDPOINT, "http://127.0.0.1:4318")
    monkeypatch.setitem(sys.modules, EXPORTER, None)
    with pytest.raises(SettingsError, match=r"is missing: install summit-connect\[otlp\]"), tracing.exporting("x"):
        pass


async def test_a_process_does_not_wait_for_a_collector_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK waits half a minute, so docker would kill each service that stops. Nothing is tried again afterwards."""
    threads = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv(tracing.ENDPOINT, f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_on")
        with tracing.exporting("summit-watcher"):
            tracing.record("watch", "", start_ns=1)
            stopped_at = time.monotonic()
        assert time.monotonic() - stopped_at < 5
    await until(lambda: set(threading.enumerate()) <= threads)
