"""One cluster that datacenters.yaml declares under two names: it is watched once, under the first."""

import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.waiting import until
from support.watched import QUICK, Healths, configure, observing, watching

from summit_models.cluster import ConnectionState as State
from summit_runtime.watched_files import FileTimes
from summit_simulator.cluster import SimulatedCluster

TIMES = replace(QUICK, files=FileTimes(look_seconds=0.05, settle_seconds=0.05), heartbeat_seconds=0.2)


@pytest.fixture
async def cluster() -> AsyncIterator[SimulatedCluster]:
    async with SimulatedCluster("vulcan") as cluster:
        cluster.create_vm("web", namespace="prod")
        await cluster.settle()
        yield cluster


def duplicate_of(healths: Healths, name: str) -> str | None:
    health = healths.newest.get(name)
    return health and health.duplicate_of


async def test_one_cluster_under_two_names_is_watched_under_the_first_and_the_other_says_so(
    cluster: SimulatedCluster, nats_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In /clusters and in the log. No event of a VM names the second one, also after a restart."""
    caplog.set_level(logging.INFO, "summit.watcher")
    kubeconfig = cluster.write_kubeconfig(tmp_path / "vulcan")
    config = configure(tmp_path, {"vulcan": kubeconfig, "alias": kubeconfig})
    async with observing(nats_url) as (log, healths):
        for _ in range(2):
            caplog.clear()
            async with watching(nats_url, config, TIMES):
                await log.agrees(cluster)
                await until(lambda: healths.state("vulcan") == State.SYNCED)
                await until(lambda: healths.state("alias") == State.CONFIG_ERROR)
                await until(lambda: "cluster vulcan is watched: 1 VM" in caplog.messages)
                await until(lambda: "cluster alias is wrongly configured" in caplog.text)
            assert (duplicate_of(healths, "vulcan"), duplicate_of(healths, "alias")) == (None, "vulcan")
            reason = healths.newest["alias"].reason or ""
            assert "it is the same cluster as 'vulcan'" in reason
            assert "remove one of the two from datacenters.yaml" in reason
    sources = {json.loads(message.body)["source"] for message in log.messages if ".vms." in message.subject}
    assert sources == {"/datacenters/dc-solna/clusters/vulcan"}


async def test_the_second_name_is_watched_when_the_first_is_removed(
    cluster: SimulatedCluster, nats_url: str, tmp_path: Path
) -> None:
    """An operator decides which name is right."""
    kubeconfig = cluster.write_kubeconfig(tmp_path / "vulcan")
    config = configure(tmp_path, {"vulcan": kubeconfig, "alias": kubeconfig})
    async with observing(nats_url) as (_, healths), watching(nats_url, config, TIMES):
        await until(lambda: healths.state("alias") == State.CONFIG_ERROR)
        configure(tmp_path, {"alias": kubeconfig})
        await until(lambda: healths.state("alias") == State.SYNCED)
        assert duplicate_of(healths, "alias") is None


async def test_a_duplicate_of_a_cluster_that_answers_late_is_left_when_that_answers(
    cluster: SimulatedCluster, nats_url: str, tmp_path: Path
) -> None:
    """Nobody can know before; what it has shown stays, as stale."""
    kubeconfig = cluster.write_kubeconfig(tmp_path / "vulcan")
    config = configure(tmp_path, {"vulcan": tmp_path / "not-there-yet", "alias": kubeconfig})
    times = replace(TIMES, watch_seconds=(1, 1))
    async with observing(nats_url) as (_, healths), watching(nats_url, config, times):
        await until(lambda: healths.state("alias") == State.SYNCED)
        (tmp_path / "not-there-yet").write_text(kubeconfig.read_text())
        await until(lambda: healths.state("vulcan") == State.SYNCED)
        await until(lambda: healths.state("alias") == State.CONFIG_ERROR)
        assert duplicate_of(healths, "alias") == "vulcan"
