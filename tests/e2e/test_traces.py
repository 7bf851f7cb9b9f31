"""One trace for a change, over three processes, at a collector that takes OTLP over HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from support.pipeline import running, write_config
from support.waiting import until

from summit_simulator.cluster import SimulatedCluster

Spans = dict[str, tuple[str, Span]]


class Collector:
    """What arrives, by the id of its trace: each part with its service, by the part's name."""

    def __init__(self) -> None:
        self.traces: dict[bytes, Spans] = {}

    async def take(self, request: web.Request) -> web.Response:
        exported = ExportTraceServiceRequest.FromString(await request.read())
        for resource in exported.resource_spans:
            (service,) = [a.value.string_value for a in resource.resource.attributes if a.key == "service.name"]
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                self.traces.setdefault(span.trace_id, {})[span.name] = service, span
        return web.Response(content_type="application/x-protobuf")

    def complete(self) -> list[Spans]:
        return [spans for spans in self.traces.values() if spans.keys() == {"watch", "row", "feed"}]


@asynccontextmanager
async def collecting() -> AsyncIterator[tuple[Collector, str]]:
    collector, app = Collector(), web.Application()
    app.add_routes([web.post("/v1/traces", collector.take)])
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield collector, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_one_trace_leads_from_the_watch_to_the_row_and_the_feed(
    tmp_path: Path, nats_url: str, database_url: str, clusters: list[SimulatedCluster]
) -> None:
    """The parts of projector and api follow from that of the watcher, and lie within half a minute of it."""
    config = write_config(tmp_path, clusters)
    async with collecting() as (collector, address):
        tracing = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": address,
            "OTEL_TRACES_SAMPLER": "parentbased_always_on",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }
        async with running(tmp_path, nats_url, database_url, config, tracing) as pipeline:
            await until(lambda: pipeline.get("/api/v1/clusters"), lambda found: len(found["items"]) == 2)
            clusters[0].create_vm("web", namespace="prod")
            spans, *_ = await until(collector.complete)
    services = {name: service for name, (service, _) in spans.items()}
    assert services == {"watch": "summit-watcher", "row": "summit-projector", "feed": "summit-api"}
    watch = spans["watch"][1]
    assert watch.parent_span_id == b""
    assert {a.key: a.value.string_value for a in watch.attributes} == {"subject": "summit.vms.dc-solna.vulcan.prod.web"}
    for name in ("row", "feed"):
        span = spans[name][1]
        assert span.parent_span_id == watch.span_id
        assert watch.start_time_unix_nano <= span.end_time_unix_nano < watch.start_time_unix_nano + 30 * 10**9
