"""One resource of a cluster that is slow or fails: the VMs are published all the same."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.waiting import until
from support.watched import QUICK, configure, observing, watching

from summit_models.cluster import ConnectionState as State
from summit_simulator.cluster import SimulatedCluster
from summit_watcher.kube.resources import DATA_VOLUMES, MIGRATIONS, VIRTUAL_MACHINE_INSTANCES

VMS = "virtualmachines"


@pytest.mark.parametrize("fails", [True, False])
async def test_vms_are_published_without_a_resource_that_only_completes_them(
    nats_url: str, tmp_path: Path, *, fails: bool
) -> None:
    """A webhook of CDI that is away makes the list of DataVolumes fail or hang for ever."""
    async with SimulatedCluster("vulcan") as cluster:
        cluster.create_vm("web", namespace="prod")
        if fails:
            cluster.faults.respond(500, DATA_VOLUMES.plural)
        else:
            cluster.faults.withhold(DATA_VOLUMES.plural)
        config = configure(tmp_path, {"vulcan": cluster.write_kubeconfig(tmp_path / "vulcan.yaml")})
        times = replace(QUICK, first_lists_seconds=0.3)
        async with observing(nats_url) as (log, healths), watching(nats_url, config, times):
            await log.agrees(cluster)
            await until(lambda: healths.state("vulcan", VMS) == State.SYNCED)
            assert healths.state("vulcan", DATA_VOLUMES.plural) != State.SYNCED
            cluster.create_vm("db", namespace="prod")
            await log.agrees(cluster)
            await cluster.faults.clear()
            await until(lambda: healths.state("vulcan") == State.SYNCED)


async def test_vms_are_published_while_a_slow_list_of_migrations_goes_on(nats_url: str, tmp_path: Path) -> None:
    """Lists of one cluster run side by side; one after the other, the first VM came after minutes."""
    async with SimulatedCluster("vulcan") as cluster:
        cluster.create_vm("web", namespace="prod")
        cluster.faults.withhold(MIGRATIONS.plural)
        config = configure(tmp_path, {"vulcan": cluster.write_kubeconfig(tmp_path / "vulcan.yaml")})
        async with observing(nats_url) as (log, healths), watching(nats_url, config):
            await log.lives(cluster)
            assert healths.state("vulcan", MIGRATIONS.plural) != State.SYNCED


async def test_no_position_is_stored_before_the_events_that_lead_there(nats_url: str, tmp_path: Path) -> None:
    """No VM is published before the instances are known, so the log is not complete up to the list of VMs."""
    async with SimulatedCluster("vulcan") as cluster:
        cluster.create_vm("web", namespace="prod")
        cluster.faults.withhold(VIRTUAL_MACHINE_INSTANCES.plural)
        config = configure(tmp_path, {"vulcan": cluster.write_kubeconfig(tmp_path / "vulcan.yaml")})
        times = replace(QUICK, checkpoint_seconds=0.02, heartbeat_seconds=0.1, page_idle_seconds=60)
        async with observing(nats_url) as (log, healths), watching(nats_url, config, times):
            await until(lambda: healths.state("vulcan", VMS) == State.SYNCED)
            for _ in range(3):
                seen = healths.newest["vulcan"]
                await until(lambda seen=seen: healths.newest["vulcan"] is not seen)
            assert healths.position("vulcan", VMS) is None
            await cluster.faults.clear()
            await until(lambda: healths.position("vulcan", VMS))
            await until(lambda: log.newest("web"))
