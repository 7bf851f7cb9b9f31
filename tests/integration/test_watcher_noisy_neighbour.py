"""A cluster that changes as fast as it can costs the others nothing that they would notice."""

import asyncio
import statistics
import time
from pathlib import Path

from mirror import until
from watched import DEADLINE_SECONDS, configure, observing, watching

from summit_models.cluster import ConnectionState as State
from summit_simulator.blast import Blast
from summit_simulator.cluster import simulated_clusters

EVENTS_PER_SECOND = 30_000
PROBES = 7


async def test_a_storm_of_one_cluster_delays_no_other_by_a_second(tmp_path: Path, nats_url: str) -> None:
    """Nor does any watch look idle over it: nothing is cut off, nothing listed again."""
    async with simulated_clusters("noisy", "quiet") as (noisy, quiet), observing(nats_url) as (log, healths):
        for number in range(100):
            noisy.create_vm(f"vm-{number}")
        vm = quiet.create_vm("probe")
        config = configure(tmp_path, {c.name: c.write_kubeconfig(tmp_path / c.name) for c in (noisy, quiet)})
        async with watching(nats_url, config):
            await log.agrees(noisy, quiet)
            storm = asyncio.create_task(
                Blast(noisy, objects=100).run(events_per_second=EVENTS_PER_SECOND, seconds=DEADLINE_SECONDS)
            )
            latencies = []
            for number in range(PROBES):
                start = time.monotonic()
                quiet.patch("virtualmachines", vm, {"metadata": {"labels": {"probe": str(number)}}})
                await until(lambda n=number: f'"probe":"{n}"'.encode() in log.newest("probe"), DEADLINE_SECONDS)  # type: ignore[misc]
                latencies.append(time.monotonic() - start)
            storm.cancel()
            # Not the worst: the storm is made in this very process.
            assert statistics.median(latencies) < 1
            assert healths.state("quiet") == State.SYNCED
        assert len(quiet.requests_for("virtualmachines")) == 1
