"""`make bench`: the budgets of the pipeline, measured beside the floor of the same run.

One simulated cluster of 10 000 VMs and about 8 000 instances, served from bytes that are encoded beforehand, so that it
is not the bottleneck; everything on one machine. Figures vary with what else the machine does: read the ratios.
"""

import asyncio
import logging
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from api import measure_api
from edge import measure_edge
from feed import feed_latencies, follow, serving
from fences.rates import measure_fences
from floor import bare_copy, bare_download
from leases import measure_leases
from measure import Measure, p99, spread
from operations import measure_operations
from soak.part import resident_bytes
from stack import DEADLINE_SECONDS, Stack, stack
from support.waiting import until

from summit_simulator.cluster import SimulatedCluster
from summit_simulator.fleet.blast import LABEL, Blast
from summit_simulator.fleet.seed import seed_fleet

VMS = 10_000
LISTS = ("virtualmachines", "virtualmachineinstances")
STORM_EVENTS_PER_SECOND = 12_000
"""More than the pipeline can take: what comes out is its own pace."""
STORM_SECONDS = 4
IDLE_PROBES = 200
BUSY_EVENTS_PER_SECOND = 500
BUSY_SECONDS = 8

_VMS = "SELECT count(*) FROM vms WHERE deleted_at IS NULL"
_CHANGED = f"""
SELECT revision, (data -> 'labels' ->> '{LABEL}')::bigint AS number FROM events
WHERE revision > $1 AND collection = 'vms' ORDER BY revision
"""  # noqa: S608
_STORED = "SELECT count(*) FROM events WHERE revision > $1 AND collection = 'vms'"
_REVISION = "SELECT max(revision) FROM checkpoint"
_EVENT_BYTES = """
SELECT (sum(pg_total_relation_size(inhrelid)) / (SELECT count(*) FROM events))::float8 FROM pg_inherits
WHERE inhparent = 'events'::regclass
"""


async def measure(directory: Path) -> list[Measure]:
    async with SimulatedCluster("bench", history_events=500_000) as cluster:
        seed_fleet(cluster, vms=VMS)
        kubeconfig = cluster.write_kubeconfig(directory / "kubeconfig.yaml")
        async with stack(directory, {cluster.name: kubeconfig}) as running, running.service("projector"):
            await running.until_schema()
            return [
                *await first_sync(running, cluster),
                *await restart(running, cluster),
                *await storm(running, cluster),
                *await latency(running, cluster),
                *await feed(running, cluster),
            ]


async def first_sync(running: Stack, cluster: SimulatedCluster) -> list[Measure]:
    """From the watcher's first request to the last row, and the memory that is left of it."""
    wanted = len(_expected(cluster))
    async with running.service("watcher") as watcher:
        started = await _first_request(cluster)
        ended = await running.committed_at(_VMS, wanted)
        resident = resident_bytes(watcher.pid)
    download = await bare_download(cluster, LISTS)
    copy = await bare_copy(running.database)
    objects = sum(len(cluster.truth(plural)[plural]) for plural in LISTS)
    remark = f"floor {download + copy:.2f} s: download {download:.2f}, COPY {copy:.2f}; {objects} objects"
    return [
        Measure("first list of 10 000 VMs to all rows committed", ended - started, "s", 4.0, remark=remark),
        Measure("watcher memory with 10 000 VMs", resident / 1e6, "MB", 150.0),
    ]


async def restart(running: Stack, cluster: SimulatedCluster) -> list[Measure]:
    """A watcher that starts with nothing changed: until it is synced, and what it publishes meanwhile."""
    before = await running.database.fetchval("SELECT count(*) FROM events WHERE collection = 'vms'")
    rows = await running.database.fetchval("SELECT max(revision) FROM vms")
    cluster.requests.clear()
    async with _synced_watcher(running, cluster) as taken:
        pass
    events = await running.database.fetchval("SELECT count(*) FROM events WHERE collection = 'vms'") - before
    touched = await running.database.fetchval(f"SELECT count(*) FROM vms WHERE revision > {rows}")  # noqa: S608
    return [
        Measure("restart of a watcher, nothing changed", taken, "s", 3.0),
        Measure("  events it published", events, "events", 0),
        Measure("  rows it changed", touched, "rows", 0),
    ]


async def storm(running: Stack, cluster: SimulatedCluster) -> list[Measure]:
    """More changes than the pipeline can take: how many rows and history rows a second it commits."""
    async with _synced_watcher(running, cluster):
        blast, revision = Blast(cluster), await running.database.fetchval(_REVISION)
        started = asyncio.get_running_loop().time()
        sent = await blast.run(events_per_second=STORM_EVENTS_PER_SECOND, seconds=STORM_SECONDS)
        # Each change makes one event, so the checkpoint shows when all are there, without a look at the rows.
        ended = await running.committed_at(_REVISION, revision + sent)
        stored = await running.database.fetchval(_STORED, revision)
        event_bytes = await running.database.fetchval(_EVENT_BYTES)
    remark = f"{sent} changes, {stored} in the history"
    return [
        Measure("sustained, watch event to row and history", sent / (ended - started), "events/s", 5000, True, remark),
        Measure("  an event in the history, with its indexes", event_bytes, "bytes", 2000),
    ]


async def latency(running: Stack, cluster: SimulatedCluster) -> list[Measure]:
    """Watch line to committed row: one at a time, and at 500 a second."""
    async with _synced_watcher(running, cluster):
        blast = Blast(cluster)
        idle = await _latencies(running, blast, _one_at_a_time, IDLE_PROBES)
        busy = await _latencies(running, blast, _evenly, BUSY_EVENTS_PER_SECOND * BUSY_SECONDS)
    return [
        Measure("latency, watch line to row, idle, p99", p99(idle), "ms", 50.0, remark=spread(idle)),
        Measure("latency, watch line to row, at 500 events/s, p99", p99(busy), "ms", 150.0, remark=spread(busy)),
    ]


async def feed(running: Stack, cluster: SimulatedCluster) -> list[Measure]:
    """Watch line to a client of the feed, one change at a time."""
    async with _synced_watcher(running, cluster), serving(running) as session, follow(session) as lines:
        idle = await feed_latencies(lines, Blast(cluster), IDLE_PROBES)
    return [Measure("latency, watch line to feed client, idle, p99", p99(idle), "ms", 40.0, remark=spread(idle))]


Sender = Callable[[Blast, dict[int, float], asyncio.Event], Awaitable[None]]


async def _latencies(running: Stack, blast: Blast, sender: Sender, changes: int) -> list[float]:
    """Seconds from each change to the commit that contains it. The numbers in the labels identify them."""
    sent: dict[int, float] = {}
    seen: list[float] = []
    answered = asyncio.Event()
    revision = await running.database.fetchval(_REVISION)
    sending = asyncio.create_task(sender(blast, sent, answered))
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(DEADLINE_SECONDS):
        while len(seen) < changes:
            await running.committed.wait()
            running.committed.clear()
            now = loop.time()
            for row in await running.database.fetch(_CHANGED, revision):
                revision = row["revision"]
                seen.append(now - sent[row["number"]])
            answered.set()
        await sending
    return seen


async def _one_at_a_time(blast: Blast, sent: dict[int, float], answered: asyncio.Event) -> None:
    for _ in range(IDLE_PROBES):
        answered.clear()
        sent[blast.sent + 1] = asyncio.get_running_loop().time()
        blast.send(1)
        await answered.wait()


async def _evenly(blast: Blast, sent: dict[int, float], _: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    for number in range(BUSY_EVENTS_PER_SECOND * BUSY_SECONDS):
        await asyncio.sleep(max(0.0, started + number / BUSY_EVENTS_PER_SECOND - loop.time()))
        sent[blast.sent + 1] = loop.time()
        blast.send(1)


@asynccontextmanager
async def _synced_watcher(running: Stack, cluster: SimulatedCluster) -> AsyncIterator[float]:
    """A watcher that has listed and published everything; gives the seconds from its first request to that."""
    cluster.requests.clear()
    states = "SELECT count(*) FROM clusters WHERE state = 'synced' AND revision > {revision}"
    revision = await running.database.fetchval(_REVISION)
    async with running.service("watcher"):
        started = await _first_request(cluster)
        yield await running.committed_at(states.format(revision=revision), 1) - started


async def _first_request(cluster: SimulatedCluster) -> float:
    await until(lambda: cluster.requests, seconds=DEADLINE_SECONDS)
    return asyncio.get_running_loop().time()


def _expected(cluster: SimulatedCluster) -> set[str]:
    """Uids that the API shows: VMs, and instances that no VM owns."""
    truth = cluster.truth(*LISTS)
    alone = {
        uid
        for uid, vmi in truth["virtualmachineinstances"].items()
        if not any(owner["kind"] == "VirtualMachine" for owner in vmi["metadata"].get("ownerReferences", []))
    }
    return truth["virtualmachines"].keys() | alone


def main() -> int:
    """`run.py api` measures the api alone, `operations` acting on VMs, `leases` sharing clusters, `edge` a far watcher,
    `pipeline` the rest.

    Without an argument it measures all of these; `fences` is for a decision, and has no budgets.
    """
    logging.disable(logging.INFO)
    wanted = sys.argv[1:] or list(BUDGETS)
    measures: list[Measure] = []
    for name in wanted:
        with tempfile.TemporaryDirectory(prefix="summit-bench-") as directory:
            measures += asyncio.run(PARTS[name](Path(directory)))
    print(f"{'':<58} {'measured':>10} {'':<9} {'budget':>10}   ratio")
    for measured in measures:
        print(measured)
    return 0 if all(measured.met for measured in measures) else 1


BUDGETS = {
    "pipeline": measure,
    "api": measure_api,
    "operations": measure_operations,
    "leases": measure_leases,
    "edge": measure_edge,
}
PARTS = {**BUDGETS, "fences": measure_fences}


if __name__ == "__main__":
    sys.exit(main())
