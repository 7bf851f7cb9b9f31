"""Requests that change a cluster: each goes out once, and each error says whether it may have been executed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.virtctl import PLACE, SUBRESOURCES

from summit_models.contract import ClusterName
from summit_simulator import SimulatedCluster
from summit_watcher.kube.connection import ClusterConnection
from summit_watcher.kube.errors import LostError, NotConnectedError, StatusError
from summit_watcher.kube.transport import Change

RESTART = Change("PUT", f"{SUBRESOURCES}/virtualmachines/web/restart", {})


@pytest.fixture
async def cluster() -> AsyncIterator[SimulatedCluster]:
    """A cluster in which the VM prod/web runs."""
    async with SimulatedCluster("vulcan", tls=False) as cluster:
        cluster.create_vm("web", namespace="prod", run_strategy="Always")
        await cluster.settle()
        yield cluster


@pytest.fixture
async def connection(cluster: SimulatedCluster, tmp_path: Path) -> AsyncIterator[ClusterConnection]:
    """A connection that has been used, so that the next request goes out on a kept one."""
    kubeconfig = cluster.write_kubeconfig(tmp_path / "kubeconfig")
    async with ClusterConnection(kubeconfig, name=ClusterName("vulcan")) as connection:
        await connection.server_version()
        yield connection


async def test_an_answer_that_is_lost_is_one_restart(cluster: SimulatedCluster, connection: ClusterConnection) -> None:
    """By itself aiohttp would send the PUT again."""
    mishap = cluster.faults.acts.lose_answer("restart")
    with pytest.raises(LostError):
        await connection.change(RESTART)
    assert (len(cluster.acts_on(PLACE, "restart")), mishap.met) == (1, 1)


async def test_a_lost_request_is_not_sent_again(cluster: SimulatedCluster, connection: ClusterConnection) -> None:
    """Nobody can tell it from a lost answer."""
    mishap = cluster.faults.acts.lose_request("restart")
    with pytest.raises(LostError):
        await connection.change(RESTART)
    assert (cluster.acts_on(PLACE, "restart"), mishap.met) == ([], 1)


async def test_without_a_connection_nothing_was_sent(tmp_path: Path) -> None:
    """The error says so, and another attempt is safe."""
    async with SimulatedCluster("vulcan", tls=False) as cluster:
        kubeconfig = cluster.write_kubeconfig(tmp_path / "kubeconfig")
    async with ClusterConnection(kubeconfig, name=ClusterName("vulcan")) as connection:
        with pytest.raises(NotConnectedError):
            await connection.change(RESTART)


async def test_a_change_without_content_in_its_answer_is_done(
    cluster: SimulatedCluster, connection: ClusterConnection
) -> None:
    """KubeVirt answers 202 and nothing else."""
    await connection.change(RESTART)
    assert len(cluster.acts_on(PLACE, "restart")) == 1


async def test_a_refusal_has_the_words_of_the_cluster(cluster: SimulatedCluster, connection: ClusterConnection) -> None:
    """As a StatusError with its code."""
    cluster.faults.acts.refuse("restart", 409, "not on a Sunday")
    with pytest.raises(StatusError, match="not on a Sunday"):
        await connection.change(RESTART)
