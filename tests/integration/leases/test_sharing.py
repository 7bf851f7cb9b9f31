"""Two watchers with one configuration: what each may have, and what an edit of the file does to clusters of both."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from support.projecting import publisher
from support.waiting import until
from support.watched import DATACENTER, EDITED, configure, observing, shown_leases, watching, write_kubeconfigs

from summit_models.cluster import ConnectionState as State
from summit_models.contract import ClusterName, DatacenterId
from summit_models.subject import HEALTH_BUCKET, LEASE_BUCKET
from summit_models.watcher import Member, Place
from summit_runtime.nats.connection import bus
from summit_runtime.nats.connection.bus import NatsTimes
from summit_runtime.nats.streams.leases import STREAM, LeaseTable
from summit_runtime.waiting import end
from summit_simulator.cluster import SimulatedCluster, simulated_clusters
from summit_watcher.leases.holding import Announcement, Holding
from summit_watcher.leases.spread import Able

TIMES = replace(EDITED, undeclared_seconds=1)
NAMES = ("andoria", "risa", "romulus", "vulcan")


@pytest.fixture
async def clusters() -> AsyncIterator[list[SimulatedCluster]]:
    async with simulated_clusters(*NAMES) as simulated:
        for cluster in simulated:
            cluster.create_vm("web", namespace="prod")
        yield simulated


@pytest.fixture
def kubeconfigs(clusters: list[SimulatedCluster], tmp_path: Path) -> Mapping[str, Path]:
    return write_kubeconfigs(clusters, tmp_path)


def shares(leases: LeaseTable) -> dict[str, list[str]]:
    """The clusters of each watcher, by its run."""
    held = leases.leases().items()
    return {m.run: sorted(p.cluster for p, lease in held if lease.run == m.run) for m in leases.members()}


def place(cluster: str) -> Place:
    return Place(DatacenterId(DATACENTER), ClusterName(cluster))


def made(directory: Path) -> Path:
    directory.mkdir()
    return directory


@asynccontextmanager
async def another_watcher(nats_url: str, may: AbstractSet[Place], *, has: AbstractSet[Place]) -> AsyncIterator[None]:
    """The entries of a watcher that has clusters, and may have others, but takes none."""
    async with bus.connected(SecretStr(nats_url), name="other") as client:
        holding = Holding(client, Member(watcher="other/1", run="other", since=client.clock.now()), EDITED)

        async def renew() -> None:
            while True:
                await holding.announce(Announcement(Able(may | has), frozenset()))
                await holding.renew()
                await asyncio.sleep(EDITED.lease_renew_seconds)

        await asyncio.gather(*map(holding.take, has))
        renewing = asyncio.create_task(renew())
        try:
            yield
        finally:
            await end(renewing)
            await holding.withdraw()
            await asyncio.gather(*map(holding.leave, has))


def sizes(leases: LeaseTable) -> list[int]:
    return sorted(map(len, shares(leases).values()))


async def test_a_watcher_gets_only_clusters_of_its_datacenters(
    nats_url: str, tmp_path: Path, kubeconfigs: Mapping[str, Path]
) -> None:
    """One that may have all makes the shares even, as far as that is possible."""
    here, there = NAMES[:3], NAMES[3:]
    uppsala = configure(tmp_path, {name: kubeconfigs[name] for name in there}, datacenter="dc-uppsala").read_text()
    config = configure(tmp_path, {name: kubeconfigs[name] for name in here})
    config.write_text(config.read_text() + uppsala.removeprefix("datacenters:\n"))
    async with shown_leases(nats_url) as leases, watching(nats_url, config, TIMES, datacenters="dc-uppsala"):
        await until(lambda: sizes(leases) == [1])
        async with watching(nats_url, config, TIMES, datacenters="dc-solna, dc-kista"):
            await until(lambda: sizes(leases) == [1, 3])
            limited = {",".join(member.datacenters): member.run for member in leases.members()}
            assert limited.keys() == {"dc-uppsala", "dc-kista,dc-solna"}
            assert shares(leases)[limited["dc-uppsala"]] == list(there)
            async with watching(nats_url, config, TIMES):
                await until(lambda: sizes(leases) == [1, 1, 2])
        await until(lambda: sizes(leases) == [1])


async def test_a_cluster_that_is_removed_is_retired_once_by_the_watcher_that_has_it(
    nats_url: str, tmp_path: Path, clusters: list[SimulatedCluster], kubeconfigs: Mapping[str, Path],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """The others wait for it, and then find nothing to retire. What is left is shared evenly again."""
    config, times = configure(tmp_path, kubeconfigs), replace(TIMES, silent_seconds=1, listen_seconds=0.1)
    async with (
        observing(nats_url) as (log, _),
        shown_leases(nats_url) as leases,
        watching(nats_url, config, times),
        watching(nats_url, config, times),
    ):
        await until(lambda: sizes(leases) == [2, 2])
        await log.agrees(*clusters)
        gone = shares(leases).popitem()[1]
        configure(tmp_path, {name: path for name, path in kubeconfigs.items() if name not in gone})
        await until(lambda: all(log.states(name)[-1] == State.RETIRED for name in gone))
        await until(lambda: sizes(leases) == [1, 1])
        configure(tmp_path, kubeconfigs)
        await until(lambda: sizes(leases) == [2, 2])
        await log.lives(*clusters)
        assert [log.states(name).count(State.RETIRED) for name in gone] == [1, 1]
        assert "is not declared here" not in caplog.text


async def test_a_cluster_that_is_declared_twice_is_watched_once_though_two_watchers_have_it(
    nats_url: str, tmp_path: Path, kubeconfigs: Mapping[str, Path]
) -> None:
    """The second learns from the log which cluster the first one's is."""
    twice = {"first": kubeconfigs["vulcan"], "second": kubeconfigs["vulcan"]}
    config = configure(tmp_path, twice)
    async with (
        observing(nats_url) as (log, healths),
        shown_leases(nats_url) as leases,
        watching(nats_url, config, TIMES),
        watching(nats_url, config, TIMES),
    ):
        await until(lambda: sizes(leases) == [1, 1])
        await until(lambda: healths.state("second") == State.CONFIG_ERROR)
        await until(lambda: healths.state("first") == State.SYNCED)
        assert healths.newest["second"].duplicate_of == "first"
        assert {event.source.rpartition("/")[2] for event in log.events("vms")} == {"first"}


async def test_a_cluster_that_moves_to_another_datacenter_takes_its_vms_along_whoever_gets_it(
    nats_url: str, tmp_path: Path, clusters: list[SimulatedCluster], kubeconfigs: Mapping[str, Path]
) -> None:
    """One watcher retires it where it was, while another may have it already where it is."""
    config = configure(tmp_path, kubeconfigs)
    async with (
        observing(nats_url) as (log, _),
        shown_leases(nats_url) as leases,
        watching(nats_url, config, TIMES),
        watching(nats_url, config, TIMES),
    ):
        await until(lambda: sizes(leases) == [2, 2])
        await log.agrees(*clusters)
        configure(tmp_path, kubeconfigs, datacenter="dc-uppsala")
        await until(lambda: all(log.states(name)[-1] == State.RETIRED for name in NAMES))
        await log.lives(*clusters, datacenter="dc-uppsala")
        await until(lambda: sizes(leases) == [2, 2])


async def test_a_cluster_that_another_watchers_file_still_has_goes_there_at_once(
    nats_url: str, tmp_path: Path, clusters: list[SimulatedCluster], kubeconfigs: Mapping[str, Path]
) -> None:
    """It is not retired, and has all its VMs; a watcher whose file never had it takes nothing of it."""
    mine, theirs = (configure(made(tmp_path / name), kubeconfigs) for name in ("mine", "theirs"))
    times = replace(EDITED, undeclared_seconds=600)
    async with (
        observing(nats_url) as (log, _),
        shown_leases(nats_url) as leases,
        watching(nats_url, mine, times),
        watching(nats_url, theirs, times),
    ):
        await until(lambda: sizes(leases) == [2, 2])
        await log.agrees(*clusters)
        configure(tmp_path / "mine", {"vulcan": kubeconfigs["vulcan"]})
        await until(lambda: sizes(leases) == [1, 3])
        clusters[0].create_vm("later", namespace="prod")
        await log.agrees(*clusters)
        assert not any(State.RETIRED in log.states(name) for name in NAMES)


async def test_buckets_that_somebody_deletes_are_made_again(
    nats_url: str, tmp_path: Path, kubeconfigs: Mapping[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    """Until a restart nobody took clusters of a watcher that had died, or new ones, and all were shown as stale."""
    times = replace(TIMES, nats=NatsTimes(ping_seconds=0.1))
    config = configure(tmp_path, {"vulcan": kubeconfigs["vulcan"]})
    async with (
        observing(nats_url) as (_, healths),
        shown_leases(nats_url) as leases,
        watching(nats_url, config, times),
        watching(nats_url, config, times),
        publisher(nats_url) as client,
    ):
        await until(lambda: sizes(leases) == [0, 1])
        for bucket in (LEASE_BUCKET, HEALTH_BUCKET):
            await client.jetstream().delete_key_value(bucket)
        healths.newest.clear()
        configure(tmp_path, kubeconfigs)
        await until(lambda: sizes(leases) == [2, 2])
        await until(lambda: [healths.state(name) for name in NAMES], lambda states: set(states) == {State.SYNCED})
        assert "the bucket 'summit-leases' was deleted: it is made again" in caplog.text


async def test_it_is_logged_that_nats_stores_no_leases_any_more(
    nats_url: str, tmp_path: Path, kubeconfigs: Mapping[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    """The log had nothing while nobody took the clusters of a watcher that had died."""
    times = replace(TIMES, lease_seconds=1, lease_renew_seconds=0.1, lease_grace_seconds=0.1)
    config = configure(tmp_path, {"vulcan": kubeconfigs["vulcan"]})
    async with (
        shown_leases(nats_url) as leases,
        watching(nats_url, config, times),
        publisher(nats_url) as client,
    ):
        await until(lambda: sizes(leases) == [1])
        bucket = (await client.jetstream().stream_info(STREAM)).config
        await client.jetstream().update_stream(replace(bucket, max_msg_size=1))
        await until(lambda: "NATS does not store leases, or not in time" in caplog.text)
        await client.jetstream().update_stream(bucket)
        await until(lambda: "NATS stores leases, after" in caplog.text)


@pytest.mark.parametrize("moves_to", [None, "dc-uppsala"])
async def test_a_cluster_that_all_files_lose_in_the_moment_of_its_hand_over_is_retired(
    nats_url: str,
    tmp_path: Path,
    clusters: list[SimulatedCluster],
    kubeconfigs: Mapping[str, Path],
    moves_to: str | None,
) -> None:
    """The watcher that had it leaves it to another one, which reads the same edit before it takes the cluster.

    One that moves waits until then: else it would begin an epoch in both places, and the deletes where it was would
    count for its VMs where it is.
    """
    config, risa, datacenter = configure(tmp_path, kubeconfigs), place("risa"), moves_to or DATACENTER
    left = [cluster for cluster in clusters if moves_to or cluster.name != "risa"]
    async with (
        observing(nats_url) as (log, _),
        shown_leases(nats_url) as leases,
        watching(nats_url, config, replace(EDITED, silent_seconds=600)),
    ):
        async with another_watcher(nats_url, {risa}, has={place(f"other-{name}") for name in NAMES}):
            await until(lambda: sizes(leases) == [4, 4])
            await log.agrees(*clusters)
            configure(tmp_path, {cluster.name: kubeconfigs[cluster.name] for cluster in left}, datacenter=datacenter)
            await until(lambda: not leases.lease(risa))
            await until(lambda: sizes(leases) == [3, 4])
            assert "risa" not in {place.cluster for place in leases.leases()}
            assert State.RETIRED not in log.states("risa")
        await until(lambda: log.states("risa")[-1] == State.RETIRED)
        await log.lives(*left, datacenter=datacenter)


async def test_a_watcher_without_a_kubeconfig_leaves_its_cluster_to_one_that_has_it(
    nats_url: str, tmp_path: Path, kubeconfigs: Mapping[str, Path]
) -> None:
    """Also when it is lost later. What nobody can read is still reported by one."""
    mine, theirs = made(tmp_path / "mine"), made(tmp_path / "theirs")
    for directory, missing in ((mine, ("risa", "vulcan")), (theirs, ("andoria",))):
        files = {name: directory / f"{name}.yaml" for name in NAMES}
        configure(directory, files)
        for name in set(NAMES) - {*missing}:
            files[name].write_bytes(kubeconfigs[name].read_bytes())
    async with (
        observing(nats_url) as (_, healths),
        shown_leases(nats_url) as leases,
        watching(nats_url, mine / "datacenters.yaml", EDITED),
        watching(nats_url, theirs / "datacenters.yaml", EDITED),
    ):
        await until(lambda: [healths.state(name) for name in NAMES] == [State.SYNCED] * len(NAMES))
        await until(lambda: sorted(shares(leases).values()) == [["andoria", "romulus"], ["risa", "vulcan"]])
        (theirs / "risa.yaml").unlink()
        (theirs / "romulus.yaml").unlink()
        await until(lambda: healths.state("risa") == State.CONFIG_ERROR)
        assert sorted(shares(leases).values()) == [["andoria", "romulus"], ["risa", "vulcan"]]


async def test_clusters_begin_in_turn_and_one_that_hangs_does_not_hold_up_the_others(
    nats_url: str, tmp_path: Path, clusters: list[SimulatedCluster], kubeconfigs: Mapping[str, Path]
) -> None:
    """A hundred that begin at once keep a watcher from renewing: three watchers on one core never came to rest."""
    times = replace(EDITED, begun_at_once=1, begin_seconds=1)
    clusters[0].faults.freeze()
    async with shown_leases(nats_url) as leases, watching(nats_url, configure(tmp_path, kubeconfigs), times):
        await until(lambda: sizes(leases) == [4])
        first, second = sorted(lease.since for lease in leases.leases().values())[:2]
        assert second - first >= timedelta(seconds=0.9)


async def test_clusters_are_handed_over_in_turn_and_watched_until_then(
    nats_url: str, tmp_path: Path, kubeconfigs: Mapping[str, Path]
) -> None:
    """A hundred that end at once keep a watcher from renewing, and wait for their next one for longer."""
    config, times = configure(tmp_path, kubeconfigs), replace(EDITED, begun_at_once=1)
    async with shown_leases(nats_url) as leases, watching(nats_url, config, times):
        await until(lambda: sizes(leases) == [4])
        watched: set[int] = set()
        async with watching(nats_url, config, times):
            while sizes(leases) != [2, 2]:
                changed = leases.changed
                watched.add(len(leases.leases()))
                await changed.wait()
    assert watched <= {3, 4}
