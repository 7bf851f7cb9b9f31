"""Traces for OpenTelemetry: one trace for a change, from the line of a watch over its row to the feed.

Off unless OTEL_EXPORTER_OTLP_ENDPOINT is set: nothing is imported then, and `begin` is one comparison. The writer of an
event decides whether its change is traced, and the event carries the trace as the W3C header `traceparent`; whoever
handles the event adds its part. https://www.w3.org/TR/trace-context/
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

from summit_runtime.settings import SettingsError

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
SAMPLING = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}
"""OpenTelemetry's variables, where the environment does not set them: a trace costs more than the change itself, so one
of a hundred changes has one."""
HEADER = "traceparent"
LAST_SECONDS = 1.0
"""For the last parts at the end of a process. By itself the SDK waits half a minute for a collector that is away."""


_CONTEXT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def is_context(traceparent: str) -> bool:
    """Whether a header, which anybody may have written who may publish, is one of the W3C's."""
    return _CONTEXT.fullmatch(traceparent) is not None


class Span:
    """A part of a trace, from `begin` to `end`."""

    __slots__ = ("_span", "traceparent")

    def __init__(self, span: Any, traceparent: str) -> None:
        self._span = span
        self.traceparent = traceparent
        """For the parts that follow from this one."""

    def end(self) -> None:
        self._span.end()


class _Tracer:
    """OpenTelemetry's own, imported only where it is wanted."""

    def __init__(self, service: str) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            raise SettingsError(
                f"{ENDPOINT} is set, but {error.name} is missing: install summit-connect[otlp]"
            ) from error
        for name, value in SAMPLING.items():
            os.environ[name] = os.environ.get(name) or value  # docker compose passes on what is not set as empty
        resource = Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME") or service})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._exporter = OTLPSpanExporter()
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("summit-connect")

    def end(self) -> None:
        """Send what is not sent yet, for a moment; then give up, so that nothing is tried again."""
        ending = Thread(target=self._provider.shutdown, name="traces", daemon=True)
        ending.start()
        ending.join(LAST_SECONDS)
        if ending.is_alive():
            self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def begin(self, name: str, parent: str, start_ns: int | None, attributes: dict[str, str | int]) -> Span | None:
        from opentelemetry.trace import set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        propagator, carrier = TraceContextTextMapPropagator(), {HEADER: parent}
        span = self._tracer.start_span(name, propagator.extract(carrier), start_time=start_ns, attributes=attributes)
        if not span.is_recording():
            return None
        propagator.inject(carrier, set_span_in_context(span))
        return Span(span, carrier[HEADER])


_tracer: _Tracer | None = None


@contextmanager
def exporting(service: str) -> Iterator[None]:
    """Trace while the block runs, if the environment says where to. Its end waits a moment for what is not sent yet."""
    global _tracer  # noqa: PLW0603  one per process, as the registry of metrics
    if not os.environ.get(ENDPOINT):
        yield
        return
    _tracer = _Tracer(service)
    try:
        yield
    finally:
        _tracer.end()
        _tracer = None


def is_on() -> bool:
    return _tracer is not None


def begin(name: str, parent: str = "", *, start_ns: int | None = None, **attributes: str | int) -> Span | None:
    """Begin a part of a trace, a new one without a parent; None if it is not traced.

    `start_ns` is in nanoseconds since 1970 by this machine's clock, as all spans are; None: now.
    """
    return None if _tracer is None else _tracer.begin(name, parent, start_ns, attributes)


def record(name: str, parent: str, *, start_ns: int, **attributes: str | int) -> None:
    """A part of a trace that ends now."""
    if span := begin(name, parent, start_ns=start_ns, **attributes):
        span.end()
