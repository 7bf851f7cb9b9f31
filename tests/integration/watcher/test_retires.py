"""A cluster that is removed from the configuration leaves the lists. Its history stays, and it may return.

The tests read the log as any reader replays it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr
from support.oracle import replay
from support.waiting import until
from support.watched import EDITED, Log, configure, observing, watching, write_kubeconfigs

from summit_models.cluster import ConnectionState as State
from summit_models.watcher import Member, Place
from summit_runtime.nats.connection import bus
from summit_runtime.nats.publishing.publisher import publishing
from summit_runtime.nats.streams.leases import LeaseTable
from summit_runtime.nats.streams.stream import ensure_stream
from summit_runtime.waiting import end
from summit_simulator.cluster import SimulatedCluster, simulated_clusters
from summit_standalone.commands.retire import retire
from summit_standalone.errors import StandaloneError
from summit_watcher.cluster import ClusterWatcher, HasLease
from summit_watcher.config.datacenters import ClusterConfig, load
from summit_watcher.kube.identity import Identities
from summit_watcher.leases.holding import Holding
from summit_watcher.leases.share import Share
from summit_watcher.listwatch.page_slots import PageSlots
from summit_watcher.log import retirement
from summit_watcher.operations.feed import OperationFeed
from summit_watcher.supervisor import Supervisor

VMS = "virtualmachines"


TIMES = replace(EDITED, undeclared_seconds=0)


@pytest.fixture
async def clusters() -> AsyncIterator[list[SimulatedCluster]]:
    async with simulated_clusters("vulcan", "romulus") as simulated:
        for cluster in simulated:
            cluster.create_vm("web", namespace="prod")
        yield simulated


@pytest.fixture
def kubeconfigs(clusters: list[SimulatedCluster], tmp_path: Path) -> Mapping[str, Path]:
    return write_kubeconfigs(clusters, tmp_path)


def without(kubeconfigs: Mapping[str, Path], name: str) -> Mapping[str, Path]:
    return {cluster: path for cluster, path in kubeconfigs.items() if cluster != name}


def living(log: Log) -> set[str]:
    """The clusters whose VMs a reader of the log shows."""
    return {event.source for event in replay(log.messages).living.values()}


def clusters_of(log: Log, datacenter: str) -> list[str]:
    """The clusters of the datacenter by its newest event."""
    subject = f"summit.datacenters.{datacenter}"
    clusters: list[str] = [json.loads(m.body)["data"]["clusters"] for m in log.messages if m.subject == subject][-1]
    return clusters


def is_retired(log: Log, datacenter: str) -> bool:
    """Whether the newest event of the datacenter retires it."""
    subject = f"summit.datacenters.{datacenter}"
    return bool([json.loads(m.body)["data"]["retired"] for m in log.messages if m.subject == subject][-1])


async def retired(log: Log, cluster: str, datacenter: str = "dc-solna") -> None:
    await until(lambda: log.states(cluster, datacenter)[-1:] == [State.RETIRED])


async def test_a_removed_cluster_is_retired_and_returns_when_it_is_declared_again(
    tmp_path: Path, nats_url: str, clusters: list[SimulatedCluster], kubeconfigs: Mapping[str, Path]
) -> None:
    """Its VMs are deleted by comparison, then the cluster is retired. The other cluster is not disturbed."""
    vulcan, romulus = clusters
    config = configure(tmp_path, kubeconfigs)
    async with observing(nats_url) as (log, _), watching(nats_url, config, TIMES):
        await log.agrees(vulcan, romulus)
        configure(tmp_path, without(kubeconfigs, "vulcan"))
        await retired(log, "vulcan")
        assert living(log) == {"/datacenters/dc-solna/clusters/romulus"}
        (gone,) = [json.loads(m.body) for m in log.messages if json.loads(m.body)["type"] == "summit.vm.deleted"]
        assert gone["data"]["finalStateUnknown"] is True
        assert gone["epoch"] == log.epoch("vulcan")
        assert [m.subject for m in log.messages if ".vulcan" in m.subject][-1] == "summit.clusters.dc-solna.vulcan"
        vulcan.create_vm("later", namespace="prod")
        configure(tmp_path, kubeconfigs)
        await log.lives(vulcan, romulus)
        await until(lambda: log.states("vulcan")[-1] == State.SYNCED)
        assert len(romulus.requests_for(VMS)) == 1
    assert set(log.states("romulus")) <= {State.STARTING, State.LISTING, State.SYNCED}


async def test_a_cluster_that_was_removed_while_no_watcher_ran_is_retired_at_the_start(
    tmp_path: Path, nats_url: str, clusters: list[SimulatedCluster], kubeconfigs: Mapping[str, Path],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """It must have had no watcher for a while, since another configuration may declare it."""
    config = configure(tmp_path, kubeconfigs)
    async with observing(nats_url) as (log, _):
        async with watching(nats_url, config, TIMES):
            await log.agrees(*clusters)
        configure(tmp_path, without(kubeconfigs, "vulcan"))
        async with watching(nats_url, config, replace(TIMES, silent_seconds=3)):
            await until(lambda: "cluster vulcan of datacenter dc-solna is not declared here" in caplog.text)
            assert State.RETIRED not in log.states("vulcan")
            await retired(log, "vulcan")
        assert living(log) == {"/datacenters/dc-solna/clusters/romulus"}


async def test_a_cluster_of_another_configuration_is_left_alone(
    tmp_path: Path, nats_url: str, clusters: list[SimulatedCluster], kubeconfigs: Mapping[str, Path],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """It is in another datacenter, or another watcher has it."""
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    mine = configure(tmp_path / "a", {"vulcan": kubeconfigs["vulcan"]})
    theirs = configure(tmp_path / "b", {"romulus": kubeconfigs["romulus"]}, datacenter="dc-uppsala")
    also = configure(tmp_path / "c", {"romulus": kubeconfigs["romulus"]})
    vulcan = clusters[0]
    async with observing(nats_url) as (log, healths):
        async with watching(nats_url, theirs, TIMES):
            await until(lambda: healths.state("romulus") == State.SYNCED)
        async with watching(nats_url, also, TIMES):
            await until(lambda: State.SYNCED in log.states("romulus"))
            async with watching(nats_url, mine, TIMES):
                await log.lives(vulcan)
                await until(lambda: "cluster romulus of datacenter dc-solna is not declared here" in caplog.text)
        assert State.RETIRED not in log.states("romulus", "dc-uppsala") + log.states("romulus")


async def test_a_file_with_mistakes_retires_nothing(
    tmp_path: Path, nats_url: str, clusters: list[SimulatedCluster], kubeconfigs: Mapping[str, Path],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """The mistake may be why the cluster is missing."""
    config = configure(tmp_path, kubeconfigs)
    vulcan, romulus = clusters
    async with observing(nats_url) as (log, _), watching(nats_url, config, TIMES):
        await log.agrees(vulcan, romulus)
        config.write_text(configure(tmp_path, without(kubeconfigs, "vulcan")).read_text() + "      - nmae: vulcan\n")
        await until(lambda: "nmae" in caplog.text)
        vulcan.create_vm("later", namespace="prod")
        await log.agrees(vulcan, romulus)
        assert State.RETIRED not in log.states("vulcan")


async def test_a_cluster_that_moves_to_another_datacenter_takes_its_vms_along(
    tmp_path: Path, nats_url: str, clusters: list[SimulatedCluster], kubeconfigs: Mapping[str, Path]
) -> None:
    """Epochs rise across datacenters, so every reader finds the move newer than the retirement."""
    vulcan = clusters[0]
    config = configure(tmp_path, {"vulcan": kubeconfigs["vulcan"]})
    async with observing(nats_url) as (log, _), watching(nats_url, config, TIMES):
        await log.agrees(vulcan)
        configure(tmp_path, {"vulcan": kubeconfigs["vulcan"]}, datacenter="dc-uppsala")
        await retired(log, "vulcan")
        await log.lives(vulcan, datacenter="dc-uppsala")
        await until(lambda: clusters_of(log, "dc-solna") == [])
        assert log.epoch("vulcan", datacenter="dc-uppsala") > log.epoch("vulcan")
        assert living(log) == {"/datacenters/dc-uppsala/clusters/vulcan"}


async def test_a_datacenter_that_was_removed_as_a_whole_is_retired_by_command(
    tmp_path: Path, nats_url: str, clusters: list[SimulatedCluster], kubeconfigs: Mapping[str, Path],
) -> None:  # fmt: skip
    """The command refuses while a watcher has its clusters, and names what exists when something does not."""
    config = configure(tmp_path, kubeconfigs)
    async with observing(nats_url) as (log, _):
        async with watching(nats_url, config, TIMES):
            await log.agrees(*clusters)
            with pytest.raises(StandaloneError, match="a watcher has reported cluster 'romulus' within the last half"):
                await retire(nats_url, "dc-solna", None, TIMES)
        at_once = replace(TIMES, silent_seconds=0)
        with pytest.raises(StandaloneError, match=r"no cluster 'andoria' of .* \(it has: romulus, vulcan\)"):
            await retire(nats_url, "dc-solna", "andoria", at_once)
        with pytest.raises(StandaloneError, match="no datacenter 'dc-kista' that is not retired"):
            await retire(nats_url, "dc-kista", None, at_once)
        with pytest.raises(StandaloneError, match=r"'\*' is not the id of a datacenter"):
            await retire(nats_url, "*", None, at_once)
        assert await retire(nats_url, "dc-solna", "vulcan", at_once) == [
            "cluster vulcan (datacenter: dc-solna) is retired with 1 VMs"
        ]
        assert await retire(nats_url, "dc-solna", None, at_once) == [
            "cluster romulus (datacenter: dc-solna) is retired with 1 VMs",
            "datacenter dc-solna is retired",
        ]
        await retired(log, "romulus")
        assert living(log) == set()
        await until(lambda: (clusters_of(log, "dc-solna"), is_retired(log, "dc-solna")) == ([], True))
        with pytest.raises(StandaloneError, match="no datacenter 'dc-solna' that is not retired"):
            await retire(nats_url, "dc-solna", None, at_once)


async def test_a_datacenter_that_is_removed_is_retired_and_may_return(
    tmp_path: Path, nats_url: str, clusters: list[SimulatedCluster], kubeconfigs: Mapping[str, Path],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """It is retired after its clusters, and not while the file has mistakes."""
    solna = configure(tmp_path, {"romulus": kubeconfigs["romulus"]}).read_text().replace("datacenters:\n", "")
    config = configure(tmp_path, {"vulcan": kubeconfigs["vulcan"]}, datacenter="dc-uppsala")
    uppsala = config.read_text()
    config.write_text(uppsala + solna)
    async with observing(nats_url) as (log, _), watching(nats_url, config, TIMES):
        await log.lives(clusters[1])
        config.write_text(uppsala + solna.replace("id: dc-solna", "ide: dc-solna"))
        await until(lambda: "ide" in caplog.text)
        assert not is_retired(log, "dc-solna")
        config.write_text(uppsala)
        await until(lambda: is_retired(log, "dc-solna"))
        assert log.states("romulus")[-1] == State.RETIRED
        config.write_text(uppsala + solna)
        await until(lambda: not is_retired(log, "dc-solna"))
        await log.lives(clusters[1])
        assert not is_retired(log, "dc-uppsala")


class Fleet:
    """Watchers of clusters that are added and removed, and retirements that last until they are let go."""

    def __init__(self, nats_url: str, directory: Path, clusters: Sequence[SimulatedCluster]) -> None:
        self.retiring: list[str] = []
        self.go = asyncio.Event()
        self._nats_url = nats_url
        self._directory = directory
        self._kubeconfigs = {cluster.name: cluster.write_kubeconfig(directory / cluster.name) for cluster in clusters}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with (
            bus.connected(SecretStr(self._nats_url), name="watcher") as client,
            publishing(client) as publisher,
            asyncio.TaskGroup() as tasks,
        ):
            await ensure_stream(client)
            slots, identities = PageSlots(TIMES.slow_page_seconds), Identities()

            async def slowly(place: Place) -> None:
                self.retiring.append(place.cluster)
                await self.go.wait()
                await retirement.retire(client, publisher, place.datacenter, place.cluster)

            def watcher(cluster: ClusterConfig, has_lease: HasLease) -> ClusterWatcher:
                feed = OperationFeed(client)
                return ClusterWatcher(cluster, client, publisher, TIMES, slots, identities, feed, has_lease)

            self._supervisor, leases = Supervisor(tasks, watcher, slowly, TIMES), LeaseTable()
            me = Member(watcher="watch-1/4711", run="fleet", since=client.clock.now())
            self._share = Share(self._supervisor, Holding(client, me, TIMES), leases, me, tasks, TIMES)
            background = [tasks.create_task(leases.follow(client)), tasks.create_task(self._share.run())]
            yield
            await asyncio.gather(*map(end, background), self._supervisor.stop())
            await self._share.leave()

    async def declares(self, *names: str) -> None:
        """As after an edit of the file."""
        config = configure(self._directory, {name: self._kubeconfigs[name] for name in names})
        await self._supervisor.declare(load(config).datacenters)
        self._share.table.notify()


async def test_clusters_that_are_removed_together_are_retired_side_by_side_and_a_later_edit_does_not_wait(
    tmp_path: Path, nats_url: str, clusters: list[SimulatedCluster]
) -> None:
    """One that is added meanwhile is watched before any of them is retired, and one that returns after that."""
    vulcan, romulus = clusters
    async with simulated_clusters("a", "b", "c") as gone, observing(nats_url) as (log, _):
        fleet = Fleet(nats_url, tmp_path, [*clusters, *gone])
        async with fleet.running():
            await fleet.declares("a", "b", "c", "vulcan")
            await log.lives(*gone, vulcan)
            await fleet.declares("vulcan")
            await until(lambda: sorted(fleet.retiring) == ["a", "b", "c"])
            epoch = log.epoch("a")
            await fleet.declares("vulcan", "romulus", "a")
            await log.lives(romulus)
            assert log.epoch("a") == epoch
            fleet.go.set()
            await until(lambda: [log.states(name)[-1] for name in ("b", "c")] == [State.RETIRED] * 2)
            await log.lives(vulcan, romulus, gone[0])
            assert State.RETIRED in log.states("a")
            await until(lambda: log.states("a")[-1] == State.SYNCED)
