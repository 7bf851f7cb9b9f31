"""A cluster that changes as fast as it can does not delay the others noticeably."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from support.waiting import until
from support.watched import Log, configure, observing, watching

from summit_models.cluster import ConnectionState as State
from summit_simulator.cluster import SimulatedCluster, simulated_clusters
from summit_simulator.fleet.blast import Blast

SLICE = 300, 0.01
"""Changes, and seconds until the next ones: 30 000 a second. A late slice is not made up for: the storm is made in this
process, which on a busy machine would have to do ever more at once."""
NEIGHBOURS = [f"quiet-{number}" for number in range(10)]
ROUNDS = 10
ATTEMPTS = 3
"""On a machine that does other things, the best of three attempts shows the watcher."""


async def storm(noisy: SimulatedCluster) -> None:
    """Change the objects of a cluster without end."""
    blast = Blast(noisy, objects=100)
    while True:
        blast.send(SLICE[0])
        await asyncio.sleep(SLICE[1])


async def p99_latency(log: Log, quiet: Sequence[SimulatedCluster], attempt: int) -> float:
    """From a change in each quiet cluster until the log has it, ten times."""
    latencies: list[float] = []

    async def probe(cluster: SimulatedCluster, value: str) -> None:
        start = time.monotonic()
        vm = {"metadata": {"namespace": "default", "name": cluster.name}}
        cluster.patch("virtualmachines", vm, {"metadata": {"labels": {"probe": value}}})
        await until(lambda: f'"probe":"{value}"'.encode() in log.newest(cluster.name))
        latencies.append(time.monotonic() - start)

    for number in range(ROUNDS):
        await asyncio.gather(*(probe(cluster, f"{attempt}-{number}") for cluster in quiet))
    return sorted(latencies)[-1 - len(latencies) // 100]


async def test_a_storm_of_one_cluster_delays_no_other_by_a_second(tmp_path: Path, nats_url: str) -> None:
    """At most one change in a hundred takes longer. No watch looks idle because of it, and no list is repeated."""
    async with simulated_clusters("noisy", *NEIGHBOURS) as (noisy, *quiet), observing(nats_url) as (log, healths):
        for number in range(100):
            noisy.create_vm(f"vm-{number}")
        for cluster in quiet:
            cluster.create_vm(cluster.name)
        config = configure(tmp_path, {c.name: c.write_kubeconfig(tmp_path / c.name) for c in (noisy, *quiet)})
        async with watching(nats_url, config):
            await log.agrees(noisy, *quiet)
            storming = asyncio.create_task(storm(noisy))
            latencies: list[float] = []
            while len(latencies) < ATTEMPTS and not (latencies and latencies[-1] < 1):
                latencies.append(await p99_latency(log, quiet, len(latencies)))
            storming.cancel()
            assert min(latencies) < 1
            assert {healths.state(name) for name in NEIGHBOURS} == {State.SYNCED}
        assert [len(cluster.requests_for("virtualmachines")) for cluster in quiet] == [1] * len(quiet)
