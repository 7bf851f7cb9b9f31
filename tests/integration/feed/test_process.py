"""The feed of `python -m summit_api` as a process: restarted, killed, and ended by SIGTERM with clients that follow."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import httpx2
from support.feeding import Listener, ageless, listening
from support.program import program
from support.projecting import projector, projector_settings, publish, publisher
from support.published import vm_event
from support.storm import Fleet
from support.waiting import until

from summit_models.event import VmEventType
from summit_runtime.waiting import end
from summit_standalone.embedded.server_process import free_port

SERVICES = ("summit_projector", "summit_api")
CLIENTS = 1000


def environment(nats_url: str, database_url: str, port: int) -> dict[str, str]:
    """The settings of projector and api; one client may open any number of feeds."""
    return {
        "NATS_URL": nats_url,
        "DATABASE_URL": database_url,
        "API_PORT": str(port),
        "API_ANONYMOUS_ROLE": "viewer",
        "API_CLIENT_FEEDS": "0",
        "API_CLIENT_REQUESTS_PER_SECOND": "0",
    }


@asynccontextmanager
async def running_api(nats_url: str, database_url: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The api over tables that a projector fills, and its address."""
    variables = environment(nats_url, database_url, free_port())
    base_url = f"http://127.0.0.1:{variables['API_PORT']}"
    async with (
        projector(projector_settings(nats_url, database_url)),
        program("summit_api", **variables) as child,
        httpx2.AsyncClient(base_url=base_url) as http,
    ):
        await ready(http)
        yield child, base_url


async def ready(http: httpx2.AsyncClient) -> None:
    """Wait until the api answers from tables."""

    async def status() -> int:
        try:
            return (await http.get("/readyz")).status_code
        except httpx2.TransportError:
            return 0

    await until(status, lambda code: code == 200)


async def test_sigterm_ends_open_feeds_at_once(nats_url: str, database_url: str) -> None:
    """Uvicorn alone would wait for them for ever. Each client sees a proper end, and the exit code is 0."""
    async with running_api(nats_url, database_url) as (child, base_url), AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx2.AsyncClient(base_url=base_url))
        clients = [await stack.enter_async_context(listening(http)) for _ in range(20)]
        for client in clients:
            await client.joined()
        started = time.monotonic()
        child.terminate()
        assert await child.wait() == 0
        assert time.monotonic() - started < 2
        for client in clients:
            await client.until(lambda client=client: client.ended)
            assert client.failure is None


async def test_a_thousand_clients_receive_a_change(nats_url: str, database_url: str) -> None:
    """On one process, each within seconds, for little memory."""
    request = b"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    async with running_api(nats_url, database_url) as (child, base_url), publisher(nats_url) as nats:
        port = int(base_url.rpartition(":")[2])
        before = resident_bytes(child.pid)
        connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CLIENTS)]
        for reader, writer in connections:
            writer.write(request)
            await reader.readuntil(b"event: bookmark")
        assert (resident_bytes(child.pid) - before) / CLIENTS < 100_000
        await publish(nats, vm_event("a", VmEventType.CREATED))
        async with asyncio.timeout(20):
            received = await asyncio.gather(*(reader.readuntil(b'"type":"vm:added"}') for reader, _ in connections))
        assert len(received) == CLIENTS
        for _, writer in connections:
            writer.close()


def resident_bytes(pid: int) -> int:
    """The memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def follow_for_ever(http: httpx2.AsyncClient, client: Listener) -> None:
    """As a browser: reconnect whenever the feed breaks off, and continue."""
    while True:
        if not client.last_id:
            client.events.clear()  # its snapshot was broken off
        headers = {"Last-Event-ID": client.last_id} if client.last_id else {}
        with suppress(httpx2.TransportError):
            async with http.stream("GET", "/api/v1/events?snapshot=true", headers=headers, timeout=None) as response:
                await client.read(response)
        await asyncio.sleep(0.05)


async def test_each_change_is_seen_once_across_kills_of_api_and_projector(nats_url: str, database_url: str) -> None:
    """During writes; in the end the client knows what lists show, and nothing came twice."""
    variables = environment(nats_url, database_url, free_port())
    fleet, client = Fleet(seed=7), Listener()
    async with (
        publisher(nats_url) as nats,
        httpx2.AsyncClient(base_url=f"http://127.0.0.1:{variables['API_PORT']}") as http,
        AsyncExitStack() as stack,
    ):
        running = {name: await stack.enter_async_context(program(name, **variables)) for name in SERVICES}
        await ready(http)
        following = asyncio.create_task(follow_for_ever(http, client))
        for name in SERVICES:
            await publish(nats, *(fleet.next_event() for _ in range(40)))
            running[name].kill()
            await publish(nats, *(fleet.next_event() for _ in range(10)))
            running[name] = await stack.enter_async_context(program(name, **variables))
        await ready(http)
        revision = await publish(nats, fleet.next_event())
        page = await until(
            lambda: http.get("/api/v1/vms", params={"limit": 500, "revision": revision}),
            lambda answer: answer.status_code == 200,
        )
        shown = {vm["id"]: ageless(vm) for vm in page.json()["items"]}
        await client.until(lambda: client.known() == shown)
        await end(following)
    assert shown
    assert not client.payloads("reset")
