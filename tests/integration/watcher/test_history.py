"""When what was known of a cluster is of another history: etcd was restored, or another cluster answers."""

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
    """Wait until the log tells the truth again, in which these VMs are back under their old uids."""

    def told() -> bool:
        replay = oracle.replay(log.messages)
        assert replay.violations == []
        expected = oracle.expected_vms(cluster.truth(), cluster="vulcan", datacenter="dc-solna")
        is_right = not oracle.compare(expected, replay.living, source=SOURCE)
        return is_right and [event.split(" ")[0] for event in replay.returned] == [f"prod/{name}" for name in names]

    await until(told)


def named(name: str) -> dict[str, dict[str, str]]:
    return {"metadata": {"namespace": "prod", "name": name}}


async def change_everything(cluster: SimulatedCluster) -> None:
    """What a backup that was made before does not have."""
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
    """VMs that return are shown again though their versions are lower; what the backup does not have is gone."""
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


async def test_another_cluster_behind_the_address_is_not_believed(
    nats_url: str, cluster: SimulatedCluster, config: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is published and nothing deleted, and people are told what to do; the right one heals it."""
    async with observing(nats_url) as (log, healths):
        async with watching(nats_url, config):
            await log.agrees(cluster)
            known = cluster.uid
            other = cluster.change_identity()
            before = len(log.messages)
            cluster.faults.close_streams(abort=True)
            await change_everything(cluster)
            await until(lambda: healths.state("vulcan") == "identity_changed")
        assert not [m for m in log.messages[before:] if not m.subject.startswith("summit.clusters.")]
        (error,) = errors(caplog)
        assert f"its identity is {other}, and so far it was {known}" in error
        assert f"write 'identity: {other}' for cluster 'vulcan' in datacenters.yaml" in error


async def test_another_cluster_that_was_declared_takes_the_place(
    nats_url: str, cluster: SimulatedCluster, config: Path
) -> None:
    """Its own history begins: what the former one had is deleted by comparison."""
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


async def test_an_identity_that_is_declared_is_the_only_one_believed(
    nats_url: str, cluster: SimulatedCluster, config: Path
) -> None:
    """From the first start on."""
    declare(config, "0b5e9f5e-0000-0000-0000-000000000000")
    async with observing(nats_url) as (log, healths):
        async with watching(nats_url, config):
            await until(lambda: healths.state("vulcan") == "identity_changed")
        assert not list(oracle.told(log.messages, "vms"))


async def test_a_cluster_that_may_not_be_asked_is_known_by_its_address(
    nats_url: str, cluster: SimulatedCluster, config: Path
) -> None:
    """And by its uid as soon as that may be read."""
    rule = cluster.access.forbid("get", "namespaces")
    async with observing(nats_url) as (log, healths):
        async with watching(nats_url, config):
            await log.agrees(cluster)
            await until(lambda: (healths.newest["vulcan"].identity or "").startswith("address-"))
        cluster.access.allow(rule)
        async with watching(nats_url, config):
            await until(lambda: healths.newest["vulcan"].identity == cluster.uid)
