"""A cluster has another history than the log: etcd was restored, or another cluster answers."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support import oracle
from support.waiting import until
from support.watched import Log, configure, observing, watching

from summit_simulator.cluster import SimulatedCluster

VMS = "virtualmachines"
SOURCE = "/datacenters/dc-solna/clusters/vulcan"


@pytest.fixture
async def cluster() -> AsyncIterator[SimulatedCluster]:
    async with SimulatedCluster("vulcan", bookmark_seconds=0.3) as simulated:
        for name in ("kept", "deleted", "changed"):
            simulated.create_vm(name, namespace="prod")
        await simulated.settle()
        yield simulated


@pytest.fixture
def config(cluster: SimulatedCluster, tmp_path: Path) -> Path:
    return configure(tmp_path, {cluster.name: cluster.write_kubeconfig(tmp_path / "vulcan.yaml")})


async def returns(log: Log, cluster: SimulatedCluster, *names: str) -> None:
    """Wait until the log is right again, with these VMs back under their old uids."""

    def returned() -> bool:
        replay = oracle.replay(log.messages)
        assert replay.violations == []
        expected = oracle.expected_vms(cluster.truth(), cluster="vulcan", datacenter="dc-solna")
        is_right = not oracle.compare(expected, replay.living, source=SOURCE)
        return is_right and [event.split(" ")[0] for event in replay.returned] == [f"prod/{name}" for name in names]

    await until(returned)


def named(name: str) -> dict[str, dict[str, str]]:
    return {"metadata": {"namespace": "prod", "name": name}}


async def change_everything(cluster: SimulatedCluster) -> None:
    """Make changes that an earlier backup does not have."""
    cluster.delete(VMS, named("deleted"))
    cluster.create_vm("lost", namespace="prod")
    cluster.patch(VMS, named("changed"), {"metadata": {"labels": {"later": "yes"}}})
    await cluster.settle()


def declare(config: Path, identity: str) -> None:
    """Write the identity of the only cluster into its configuration."""
    config.write_text(config.read_text() + f"        identity: {identity}\n")


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("down", [False, True], ids=["while it is watched", "while nobody watches"])
async def test_a_restored_etcd_begins_a_new_epoch(
    nats_url: str, cluster: SimulatedCluster, config: Path, caplog: pytest.LogCaptureFixture, *, down: bool
) -> None:
    """VMs that return are shown again though their versions are lower; VMs that the backup lacks are gone."""
    backup = cluster.backup()
    async with observing(nats_url) as (log, _):
        async with watching(nats_url, config):
            await log.agrees(cluster)
            await change_everything(cluster)
            await log.agrees(cluster)
            if not down:
                cluster.restore(backup)
                await returns(log, cluster, "deleted")
        if down:
            cluster.restore(backup)
            async with watching(nats_url, config):
                await returns(log, cluster, "deleted")
        assert log.epoch("vulcan") == (3 if down else 2)
        (error,) = set(errors(caplog))
        assert error.startswith("cluster vulcan: resource version regressed: ")
        cluster.patch(VMS, named("changed"), {"metadata": {"labels": {"after": "yes"}}})
        async with watching(nats_url, config):
            await returns(log, cluster, "deleted")
        assert set(errors(caplog)) == {error}


async def test_nothing_is_published_of_another_cluster_behind_the_address(
    nats_url: str, cluster: SimulatedCluster, config: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is deleted either, and the log line names the remedy. The right cluster ends it."""
    async with observing(nats_url) as (log, healths):
        async with watching(nats_url, config):
            await log.agrees(cluster)
            known = cluster.uid
            other = cluster.change_identity()
            before = len(log.messages)
            cluster.faults.close_streams(abort=True)
            await change_everything(cluster)
            await until(lambda: healths.state("vulcan") == "identity_changed" and errors(caplog))
        assert not [m for m in log.messages[before:] if not m.subject.startswith("summit.clusters.")]
        (error,) = errors(caplog)
        assert f"its identity is {other}, and so far it was {known}" in error
        assert f"write 'identity: {other}' for cluster 'vulcan' in datacenters.yaml" in error


async def test_another_cluster_that_was_declared_takes_the_place(
    nats_url: str, cluster: SimulatedCluster, config: Path
) -> None:
    """Its own history begins, and the VMs of the former cluster are deleted by comparison."""
    async with observing(nats_url) as (log, healths):
        async with watching(nats_url, config):
            await log.agrees(cluster)
            other = cluster.change_identity()
            cluster.faults.close_streams(abort=True)
            await change_everything(cluster)
            await until(lambda: healths.state("vulcan") == "identity_changed")
        declare(config, other)
        async with watching(nats_url, config):
            await log.agrees(cluster)
            await until(lambda: healths.newest["vulcan"].identity == other)


async def test_only_a_cluster_with_the_declared_identity_is_watched(
    nats_url: str, cluster: SimulatedCluster, config: Path
) -> None:
    """That holds from the first start on."""
    declare(config, "0b5e9f5e-0000-0000-0000-000000000000")
    async with observing(nats_url) as (log, healths):
        async with watching(nats_url, config):
            await until(lambda: healths.state("vulcan") == "identity_changed")
        assert not list(oracle.events_of(log.messages, "vms"))


async def test_a_cluster_whose_uid_is_forbidden_is_known_by_its_address(
    nats_url: str, cluster: SimulatedCluster, config: Path
) -> None:
    """Its uid takes over as soon as it may be read."""
    rule = cluster.access.forbid("get", "namespaces")
    async with observing(nats_url) as (log, healths):
        async with watching(nats_url, config):
            await log.agrees(cluster)
            await until(lambda: (healths.newest["vulcan"].identity or "").startswith("address-"))
        cluster.access.allow(rule)
        async with watching(nats_url, config):
            await until(lambda: healths.newest["vulcan"].identity == cluster.uid)
