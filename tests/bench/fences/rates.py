"""`make bench ONLY=fences`: what fences cost that the server checks, instead of each reader.

docs/decisions/0001-fences-are-checked-by-readers.md has the results, and what follows from them. MISSED is what this
way does not hold.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from fences.promises import measure_promises
from fences.writers import ATOMIC, DATACENTER, EACH, READERS, AtomicPublisher, writing
from measure import Measure, p99, spread
from pydantic import SecretStr
from support.nats_server import nats_server

from summit_runtime.nats.connection import bus
from summit_runtime.nats.connection.storage import Storage
from summit_runtime.nats.publishing.publisher import Publisher
from summit_runtime.nats.streams.stream import ensure_stream
from summit_standalone.embedded.server_process import free_port

WAYS = (READERS, EACH, ATOMIC)
EVENTS = 20_000
PROBES = 200
STEADY_CLUSTERS, STEADY_PER_SECOND, STEADY_SECONDS = 50, 1000, 4
BODY = b'{"specversion":"1.0","data":"' + b"".join(uuid4().hex.encode() for _ in range(38)) + b'"}'
"""As long as the event of a VM."""
GIVE_UP_SECONDS = 30.0
"""A way that stands still is measured by what it has stored by then."""

Writer = Publisher | AtomicPublisher


async def measure_fences(directory: Path) -> list[Measure]:
    async with servers(directory / "one", 1) as url:
        found = [await _burst(url, way, clusters) for clusters in (1, 10, 50) for way in WAYS]
        found += [await _lone(url, way) for way in WAYS]
        found += [await _steady(url, way) for way in WAYS]
        found += [await _one_of_each(url, way, 200) for way in WAYS]
        found += await measure_promises(directory / "promises")
    async with servers(directory / "three", 3) as url:
        replicated = [await _burst(url, way, 10) for way in WAYS] + [await _lone(url, way) for way in WAYS]
    return found + [replace(line, what=f"three replicas: {line.what}") for line in replicated]


async def _burst(url: str, way: str, clusters: int) -> Measure:
    """All events as fast as they are stored. The rate of the first cluster shows whether it waits for the others."""
    names, loop = _names(clusters), asyncio.get_running_loop()

    async def all_of(writer: Writer, cluster: str) -> float:
        for number in range(EVENTS // clusters):
            await writer.publish(*_event(cluster, number))
        await writer.cluster_queue(DATACENTER, cluster).flush()
        return loop.time()

    async with writing(url, way, names) as writer:
        started, first_at = loop.time(), float("inf")
        with suppress(TimeoutError):
            async with asyncio.timeout(GIVE_UP_SECONDS):
                first_at, *_ = await asyncio.gather(*(all_of(writer, name) for name in names))
        rate = writer.published / (loop.time() - started)
    first = EVENTS / clusters / (first_at - started)
    what = f"{EVENTS} events of {clusters} clusters, {way}"
    return Measure(what, rate, "events/s", 8000, at_least=True, remark=f"the first cluster's {first:.0f} events/s")


async def _lone(url: str, way: str) -> Measure:
    """One event at a time, while nothing else is published."""
    (name,) = _names(1)
    async with writing(url, way, [name]) as writer:
        taken = [await _stored(writer, name, number) for number in range(PROBES)]
    return Measure(f"a lone event, {way}, p99", p99(taken), "ms", 10.0, remark=spread(taken))


async def _steady(url: str, way: str) -> Measure:
    """Events of 50 clusters in turn, far below the limit: the time until each is stored."""
    names, loop = _names(STEADY_CLUSTERS), asyncio.get_running_loop()
    async with writing(url, way, names) as writer, asyncio.TaskGroup() as tasks:
        started, taken = loop.time(), list[asyncio.Task[float]]()
        for number in range(STEADY_PER_SECOND * STEADY_SECONDS):
            await asyncio.sleep(max(0.0, started + number / STEADY_PER_SECOND - loop.time()))
            taken.append(tasks.create_task(_stored(writer, names[number % STEADY_CLUSTERS], number)))
        seconds = [await each for each in taken]
    what = f"{STEADY_PER_SECOND} events/s of {STEADY_CLUSTERS} clusters, {way}, p99"
    return Measure(what, p99(seconds), "ms", 25.0, remark=spread(seconds))


async def _one_of_each(url: str, way: str, clusters: int) -> Measure:
    """Three events of each of many clusters at one moment, as when a watcher starts: until the last one is stored."""
    names = _names(clusters)
    async with writing(url, way, names) as writer:
        started = time.perf_counter()
        for cluster in names:
            for number in range(3):
                await writer.publish(*_event(cluster, number))
        await asyncio.gather(*(writer.cluster_queue(DATACENTER, name).flush() for name in names))
        taken = time.perf_counter() - started
    return Measure(f"three events of each of {clusters} clusters at once, {way}", 1000 * taken, "ms", 500.0)


async def _stored(writer: Writer, cluster: str, number: int) -> float:
    started = time.perf_counter()
    await writer.publish(*_event(cluster, number))
    await writer.cluster_queue(DATACENTER, cluster).flush()
    return time.perf_counter() - started


def _names(count: int) -> list[str]:
    """Clusters that the log does not have yet."""
    return [f"{uuid4().hex[:8]}-{number}" for number in range(count)]


def _event(cluster: str, number: int) -> tuple[str, bytes, str]:
    return f"summit.vms.{DATACENTER}.{cluster}.prod.vm-{number % 500}", BODY, f"{cluster}/{number}"


@asynccontextmanager
async def servers(directory: Path, count: int) -> AsyncIterator[str]:
    """The address of a server, or of the first of a cluster on this machine, with our stream on all of them."""
    ports = [free_port() for _ in range(count)]
    routes = ", ".join(f'"nats-route://127.0.0.1:{port}"' for port in ports)
    async with AsyncExitStack() as stack:
        addresses = []
        for number, port in enumerate(ports):
            cluster = f'server_name: n{number}\ncluster {{ name: c, listen: "127.0.0.1:{port}", routes: [{routes}] }}'
            server = nats_server(directory / str(number), more=cluster if count > 1 else "")
            addresses.append((await stack.enter_async_context(server))[0])
        url = f"nats://{addresses[0]}"
        async with bus.connected(SecretStr(url), name="bench") as client:
            await ensure_stream(client, Storage(replicas=count))  # which waits until the servers have found each other
        yield url
