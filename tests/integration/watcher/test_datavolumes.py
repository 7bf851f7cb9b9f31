"""The progress of imports, from a simulated CDI to the log; without CDI, VMs lack only that."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.waiting import until
from support.watched import Log, configure, observing, watching

from summit_models.cluster import ConnectionState as State
from summit_simulator.cluster import SimulatedCluster
from summit_simulator.objects.resources import CDI_GROUPS, KUBEVIRT_GROUPS
from summit_watcher.settings import Retry, WatcherTimes

DATA_VOLUMES = "datavolumes"
TIMES = WatcherTimes(retries=dict.fromkeys(State, Retry(0.05, 0.2)))
"""What a person must correct is tried again within a second."""


@pytest.fixture
async def cluster() -> AsyncIterator[SimulatedCluster]:
    """A cluster with one VM whose disk is about to be imported: CDI goes on as its clock is moved."""
    async with SimulatedCluster("vulcan") as simulated:
        simulated.create_vm("web", namespace="prod", run_strategy="Always", disks=("20Gi", "5Gi"))
        yield simulated


def progress(log: Log) -> list[int]:
    """What the log says of the import, in order."""
    states = [event.state["provisioningProgress"] for event in log.events("vms")]
    return [percent for percent in states if percent is not None]


async def test_an_import_is_published_in_tens_until_the_vm_starts(
    tmp_path: Path, nats_url: str, cluster: SimulatedCluster
) -> None:
    """CDI writes twenty times; a disk that is blank is complete at once and does not count."""
    config = configure(tmp_path, {"vulcan": cluster.write_kubeconfig(tmp_path / "vulcan")})
    async with observing(nats_url) as (log, _), watching(nats_url, config, TIMES):
        await log.lives(cluster)
        assert [event.state["status"] for event in log.events("vms")] == ["provisioning"]
        cluster.clock.advance(19)
        await until(lambda: 90 in progress(log))
        assert progress(log) == [*range(0, 100, 10)]
        await cluster.settle()
        await log.agrees(cluster)
        assert progress(log) == [*range(0, 100, 10)]
        assert log.events("vms")[-1].state["status"] == "running"


@pytest.mark.parametrize("why", [State.CRD_MISSING, State.FORBIDDEN])
async def test_a_cluster_whose_datavolumes_cannot_be_read_is_synced(
    tmp_path: Path, nats_url: str, cluster: SimulatedCluster, why: State, caplog: pytest.LogCaptureFixture
) -> None:
    """Its VMs are published without progress, and nothing complains. What comes later is taken up without a restart."""
    rule = cluster.access.forbid("*", DATA_VOLUMES) if why is State.FORBIDDEN else None
    if rule is None:
        cluster.uninstall(CDI_GROUPS)
    cluster.clock.advance(5)
    config = configure(tmp_path, {"vulcan": cluster.write_kubeconfig(tmp_path / "vulcan")})
    async with observing(nats_url) as (log, healths), watching(nats_url, config, TIMES):
        await until(lambda: healths.state("vulcan") == State.SYNCED)
        await until(lambda: log.events("vms"))
        assert healths.state("vulcan", DATA_VOLUMES) == why
        assert progress(log) == []
        assert [record for record in caplog.records if DATA_VOLUMES in record.getMessage()] == []
        if rule is None:
            cluster.install(CDI_GROUPS)
        else:
            cluster.access.allow(rule)
        await log.agrees(cluster)
        assert progress(log) == [20]


async def test_a_cluster_without_kubevirt_is_missing_it_whether_it_has_cdi_or_not(
    tmp_path: Path, nats_url: str, cluster: SimulatedCluster
) -> None:
    """What decides are the resources that a VM cannot do without."""
    cluster.uninstall(KUBEVIRT_GROUPS)
    config = configure(tmp_path, {"vulcan": cluster.write_kubeconfig(tmp_path / "vulcan")})
    async with observing(nats_url) as (_, healths), watching(nats_url, config, TIMES):
        await until(lambda: healths.state("vulcan") == State.CRD_MISSING)
        await until(lambda: healths.state("vulcan", DATA_VOLUMES) == State.SYNCED)
        assert healths.state("vulcan") == State.CRD_MISSING
