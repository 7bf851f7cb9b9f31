"""Probes and metrics of a process without an HTTP API of its own."""

import asyncio
from collections.abc import Iterator
from threading import Event

import aiohttp
from prometheus_client import REGISTRY, Metric

from summit_runtime.probes import serve_probes
from summit_standalone.embedded.server_process import free_port


class SlowSeries:
    """Series that are complete only when somebody has been answered meanwhile."""

    def __init__(self) -> None:
        self.began, self.answered = Event(), Event()
        self.in_time = False

    def collect(self) -> Iterator[Metric]:
        self.began.set()
        self.in_time = self.answered.wait(5)
        yield Metric("summit_slow", "", "gauge")

    def describe(self) -> Iterator[Metric]:
        yield Metric("summit_slow", "", "gauge")


async def test_metrics_of_many_clusters_stop_nothing_else() -> None:
    """With 300 clusters each scrape stopped all watches and probes of the watcher for a second and more."""
    series, port = SlowSeries(), free_port()
    REGISTRY.register(series)
    try:
        async with (
            serve_probes("127.0.0.1", port, {}),
            aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
        ):
            scrape = asyncio.create_task(http.get("/metrics"))
            await asyncio.to_thread(series.began.wait, 5)
            async with http.get("/livez") as alive:
                assert alive.status == 200
            series.answered.set()
            async with await scrape as exposed:
                assert "summit_slow" in await exposed.text()
            assert series.in_time
    finally:
        REGISTRY.unregister(series)
