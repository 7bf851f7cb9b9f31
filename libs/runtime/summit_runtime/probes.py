"""`/livez`, `/readyz` and `/metrics` for processes without an HTTP API of their own, in Kubernetes' own format.

Liveness never depends on another server: a restart heals neither NATS nor Postgres. Readiness names what is missing.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from aiohttp import web

from summit_runtime import metrics
from summit_runtime.own_thread import OwnThread

EXPOSITION_SECONDS = 60.0
"""Above the scrape_timeout of any Prometheus."""

Check = Callable[[], str | None]
"""Returns None when all is well, or else the reason."""


@asynccontextmanager
async def serve_probes(host: str, port: int, checks: Mapping[str, Check]) -> AsyncIterator[None]:
    """Answer probes while the block runs. Port 0 serves none: the parent of a child process watches it."""
    if port == 0:
        yield
        return

    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        answers = {name: check() for name, check in checks.items()}
        lines = [f"[-]{name} failed: {why}" if why else f"[+]{name} ok" for name, why in answers.items()]
        return web.Response(text="\n".join(lines) + "\n", status=503 if any(answers.values()) else 200)

    async def answer_metrics(_: web.Request) -> web.Response:
        body = await thread.run(metrics.exposition, EXPOSITION_SECONDS)
        return web.Response(body=body, headers={"Content-Type": metrics.CONTENT_TYPE})

    # The 90 000 series of 300 clusters take a second, in which no watch would be read and no probe answered.
    thread = OwnThread("metrics")
    app = web.Application()
    app.add_routes([web.get("/livez", livez), web.get("/healthz", livez), web.get("/readyz", readyz)])
    app.add_routes([web.get("/metrics", answer_metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield
    finally:
        await runner.cleanup()
        thread.end()
