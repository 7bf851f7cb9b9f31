"""A cluster that changes as fast as it can does not delay the others noticeably."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from nats.aio.client import Client
from support.projecting import publisher
from support.waiting import until
from support.watched import Log, configure, observing, watching

from summit_models.cluster import ConnectionState as State
from summit_runtime.nats.streams.stream import stream_state
from summit_simulator.cluster import SimulatedCluster, simulated_clusters
from summit_simulator.fleet.blast import Blast

SLICE = 300, 0.01
"""Changes, and seconds until the next ones: 30 000 a second. A late slice is not made up for: the storm is made in this
process, which on a busy machine would have to do ever more at once."""
NEIGHBOURS = [f"quiet-{number}" for number in range(10)]
ROUNDS = 10
OVERTAKING = 3000
"""Half a second of events at the rate that a watcher publishes. Events and not seconds, so that the machine's speed
does not count."""


async def storm(noisy: SimulatedCluster) -> None:
    """Change the objects of a cluster without end."""
    blast = Blast(noisy, objects=100)
    while True:
        blast.send(SLICE[0])
        await asyncio.sleep(SLICE[1])


async def overtaking(client: Client, log: Log, quiet: Sequence[SimulatedCluster], number: int) -> int:
    """How many events of others are logged between a change in each quiet cluster and the last of their events."""
    before = (await stream_state(client)).last_sequence
    for cluster in quiet:
        vm = {"metadata": {"namespace": "default", "name": cluster.name}}
        cluster.patch("virtualmachines", vm, {"metadata": {"labels": {"probe": f"at-{number}"}}})
    probe = f'"probe":"at-{number}"'.encode()

    def logged() -> list[int]:
        return [m.sequence for m in log.messages[before:] if m.subject.startswith("summit.vms.") and probe in m.body]

    sequences = await until(logged, lambda found: len(found) == len(quiet))
    return sequences[-1] - before - len(quiet)


async def test_a_storm_of_one_cluster_delays_no_other_noticeably(tmp_path: Path, nats_url: str) -> None:
    """No watch looks idle because of it, and no list is repeated."""
    async with simulated_clusters("noisy", *NEIGHBOURS) as (noisy, *quiet), observing(nats_url) as (log, healths):
        for number in range(100):
            noisy.create_vm(f"vm-{number}")
        for cluster in quiet:
            cluster.create_vm(cluster.name)
        config = configure(tmp_path, {c.name: c.write_kubeconfig(tmp_path / c.name) for c in (noisy, *quiet)})
        async with watching(nats_url, config), publisher(nats_url) as client:
            await log.agrees(noisy, *quiet)
            storming = asyncio.create_task(storm(noisy))
            overtook = [await overtaking(client, log, quiet, number) for number in range(ROUNDS)]
            storming.cancel()
            assert max(overtook) > 100, "there was a storm"
            assert max(overtook) < OVERTAKING
            assert {healths.state(name) for name in NEIGHBOURS} == {State.SYNCED}
        assert [len(cluster.requests_for("virtualmachines")) for cluster in quiet] == [1] * len(quiet)
