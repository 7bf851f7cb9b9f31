"""Acting on VMs: from a request to the moment when Kubernetes is asked, and many at once beside a quiet cluster.

The ten busy clusters are a process of their own, as the quiet one and the reader of the feed must not wait for them. A
minute of theirs takes six seconds.
"""

import asyncio
import time
from pathlib import Path

import aiohttp
from feed import feed_latencies, follow, serving
from measure import Measure, p99, spread
from stack import DEADLINE_SECONDS, Stack, simulator, stack
from support.waiting import until

from summit_simulator.cluster import SimulatedCluster
from summit_simulator.fleet.blast import Blast
from summit_simulator.fleet.seed import seed_fleet
from summit_simulator.objects.resources import VIRTUALMACHINES

QUIET, QUIET_VMS = "quiet", 1000
BUSY, BUSY_VMS = 10, 900
"""More than a hundred VMs of each are stopped and may be started."""
PROBES = 200
STARTS = 1000

_VMS = "SELECT count(*) FROM vms WHERE deleted_at IS NULL"
_ENDED = "SELECT count(*) FROM operations WHERE ended_at IS NOT NULL AND action = 'start'"
_SUCCEEDED = "SELECT count(*) FROM operations WHERE state = 'succeeded' AND action = 'start'"


async def measure_operations(directory: Path) -> list[Measure]:
    busy = {f"busy-{number}": BUSY_VMS for number in range(BUSY)}
    async with (
        SimulatedCluster(QUIET) as quiet,
        simulator(directory / "busy", busy, SIMULATOR_SPEED="10") as kubeconfigs,
    ):
        seed_fleet(quiet, vms=QUIET_VMS)
        kubeconfigs[QUIET] = quiet.write_kubeconfig(directory / f"{QUIET}.kubeconfig")
        async with stack(directory, kubeconfigs) as running, running.service("projector"):
            await running.until_schema()
            async with running.service("watcher"), serving(running) as session:
                await running.committed_at(_VMS, QUIET_VMS + BUSY * BUSY_VMS)
                return [*await _asked(session, quiet), *await _many(running, session, quiet)]


async def _asked(session: aiohttp.ClientSession, quiet: SimulatedCluster) -> list[Measure]:
    """One request at a time, each for another VM."""
    running = [vm for vm in quiet.store.records(VIRTUALMACHINES) if b'"printableStatus":"Running"' in vm.data]
    taken: list[float] = []
    for vm in running[:PROBES]:
        before, sent = len(quiet.acts), time.time()
        await _act(session, f"/api/v1/vms/{vm.uid}/reset")
        await until(lambda before=before: len(quiet.acts) > before, seconds=DEADLINE_SECONDS)
        taken.append(quiet.acts[-1].arrived_at - sent)
    return [Measure("operation, request to Kubernetes asked, idle, p99", p99(taken), "ms", 50.0, remark=spread(taken))]


async def _many(running: Stack, session: aiohttp.ClientSession, quiet: SimulatedCluster) -> list[Measure]:
    """A thousand VMs start in ten clusters; meanwhile, changes of the quiet cluster go to a client of the feed."""
    async with follow(session, cluster=QUIET) as lines:
        blast = Blast(quiet)
        idle = await feed_latencies(lines, blast, PROBES)
        started = asyncio.get_running_loop().time()
        vms = await _start_all(session)
        ending = asyncio.create_task(running.committed_at(_ENDED, vms))
        busy: list[float] = []
        while not ending.done():
            busy += await feed_latencies(lines, blast, 1)
    ended = await ending
    succeeded = await running.database.fetchval(_SUCCEEDED)
    remark = f"{spread(busy)}; idle: p99 {p99(idle):.1f}, {spread(idle)}"
    return [
        Measure(f"{vms} VMs of ten clusters in one bulk operation, to the last end", ended - started, "s", 60.0),
        Measure("  of them succeeded", succeeded, "VMs", vms, at_least=True),
        Measure("  meanwhile, watch line to feed of a quiet one, p99", p99(busy), "ms", 100.0, remark=remark),
    ]


async def _start_all(session: aiohttp.ClientSession) -> int:
    """Start every VM of the busy clusters that can be started, in one bulk operation; how many they are."""
    filters = [("status", "stopped"), *(("cluster", f"busy-{number}") for number in range(BUSY))]
    asked = {"action": "start", "confirm": None}
    for status in (200, 202):
        async with session.post("/api/v1/operations:bulk", params=filters, json=asked) as answer:
            assert answer.status == status, await answer.text()
            shown = await answer.json()
        asked["confirm"] = shown.get("confirm")
    vms: int = shown["total"]
    assert vms >= STARTS, vms
    return vms


async def _act(session: aiohttp.ClientSession, path: str) -> None:
    async with session.post(path) as answer:
        assert answer.status == 202, await answer.text()
