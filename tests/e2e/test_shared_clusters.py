"""Three watcher processes share six clusters: one is killed, stopped, suspended, or joins, and NATS is away.

All tests use the same clusters, and each begins with three watchers that have two of them each.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.tcp_proxy import Proxy, tcp_proxy
from support.waiting import until
from support.watched import Healths, Log, configure, observing, shown_leases

from summit_models.cluster import ConnectionState as State
from summit_models.watcher import Lease, Place
from summit_runtime.nats.streams.leases import LeaseTable
from summit_simulator.cluster import SimulatedCluster, simulated_clusters
from summit_standalone.embedded.nats import embedded_nats

NAMES = ("andoria", "kronos", "qonos", "risa", "romulus", "vulcan")
WATCHERS = ("a", "b", "c")


@dataclass
class Fleet:
    """The watchers by name, and what others see of them."""

    clusters: Mapping[str, SimulatedCluster]
    config: Path
    proxy: Proxy
    """Between the watchers and NATS."""
    log: Log
    healths: Healths
    table: LeaseTable
    processes: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    async def start(self, name: str) -> None:
        environment = os.environ | {
            "NATS_URL": self.proxy.url,
            "WATCHER_CONFIG": str(self.config),
            "LOG_LEVEL": "INFO",
        }
        path = self.config.parent / f"{name}.log"
        with path.open("ab") as log:
            self.processes[name] = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "summit_watcher", env=environment, stdin=asyncio.subprocess.DEVNULL, stderr=log
            )

    async def whole(self) -> None:
        """Wait until three watchers have two clusters each, which are synced."""
        for name in WATCHERS:
            if name not in self.processes:
                await self.start(name)
        await until(self.loads, lambda loads: sorted(loads.values()) == [2, 2, 2])
        await until(lambda: [self.is_watched(*place) for place in self.table.leases().items()], all)

    def logged(self, name: str) -> str:
        return (self.config.parent / f"{name}.log").read_text()

    def holders(self) -> Mapping[str, str]:
        """The name of the watcher that has each cluster."""
        pids = {str(process.pid): name for name, process in self.processes.items()}
        leases = self.table.leases().items()
        return {place.cluster: pids.get(lease.watcher.rpartition("/")[2], "?") for place, lease in leases}

    def is_watched(self, place: Place, lease: Lease) -> bool:
        """Whether the holder of the lease has reported the cluster as synced."""
        health = self.healths.newest.get(place.cluster)
        return health is not None and (health.watcher, health.state) == (lease.watcher, State.SYNCED)

    def taken_at(self, clusters: Iterable[str]) -> datetime:
        """When the last of these clusters was taken by the watcher that has it now."""
        return max(lease.since for place, lease in self.table.leases().items() if place.cluster in clusters)

    def loads(self) -> Mapping[str, int]:
        holders = list(self.holders().values())
        return {name: holders.count(name) for name in {*WATCHERS, *holders}}

    def of(self, watcher: str) -> set[str]:
        return {cluster for cluster, holder in self.holders().items() if holder == watcher}

    def epochs(self) -> Mapping[str, int]:
        return {name: self.log.epoch(name) for name in NAMES}

    async def end(self, name: str, how: signal.Signals) -> None:
        process = self.processes.pop(name)
        process.send_signal(how)
        await process.wait()


@pytest.fixture(scope="module")
async def fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    directory = tmp_path_factory.mktemp("fleet")
    async with AsyncExitStack() as stack:
        clusters = await stack.enter_async_context(simulated_clusters(*NAMES))
        for cluster in clusters:
            cluster.create_vm("web", namespace="prod")
        nats_url = await stack.enter_async_context(embedded_nats(directory / "nats"))
        proxy = await stack.enter_async_context(tcp_proxy(nats_url))
        log, healths = await stack.enter_async_context(observing(nats_url))
        table = await stack.enter_async_context(shown_leases(nats_url))
        config = configure(directory, {c.name: c.write_kubeconfig(directory / c.name) for c in clusters})
        fleet = Fleet({c.name: c for c in clusters}, config, proxy, log, healths, table)
        yield fleet
        for process in fleet.processes.values():
            process.kill()
            await process.wait()


async def test_watchers_that_join_take_their_share_and_leave_the_rest_alone(fleet: Fleet) -> None:
    """The first has all at once; of six clusters the second takes three, and the third one of each."""
    await fleet.start("a")
    await until(lambda: len(fleet.of("a")) == 6)
    await fleet.log.agrees(*fleet.clusters.values())
    await fleet.start("b")
    await until(fleet.loads, lambda loads: (loads["a"], loads["b"]) == (3, 3))
    before = fleet.holders()
    await fleet.start("c")
    await until(fleet.loads, lambda loads: sorted(loads.values()) == [2, 2, 2])
    assert {holder for cluster, holder in fleet.holders().items() if before[cluster] != holder} == {"c"}
    await fleet.whole()
    assert sum(fleet.epochs().values()) == 6 + 3 + 2


async def test_the_clusters_of_a_killed_watcher_are_taken_within_five_seconds(fleet: Fleet) -> None:
    """The others keep theirs, and what happened meanwhile is in the log."""
    await fleet.whole()
    before, lost = fleet.epochs(), fleet.of("c")
    killed_at = datetime.now(UTC)
    await fleet.end("c", signal.SIGKILL)
    for name in lost:
        fleet.clusters[name].create_vm("later", namespace="prod")
    await until(lambda: all(fleet.log.epoch(name) > before[name] for name in lost))
    assert fleet.taken_at(lost) - killed_at < timedelta(seconds=5)
    await fleet.log.agrees(*fleet.clusters.values())
    assert {name for name, epoch in fleet.epochs().items() if epoch > before[name]} == lost


async def test_a_watcher_that_is_told_to_stop_hands_its_clusters_over_within_a_second(fleet: Fleet) -> None:
    """Nobody waits for its leases to expire."""
    await fleet.whole()
    before, lost = fleet.epochs(), fleet.of("b")
    stopped_at = datetime.now(UTC)
    await fleet.end("b", signal.SIGTERM)
    await until(lambda: all(fleet.log.epoch(name) > before[name] for name in lost))
    assert fleet.taken_at(lost) - stopped_at < timedelta(seconds=1)
    await fleet.log.agrees(*fleet.clusters.values())


async def test_a_watcher_that_was_suspended_finds_its_clusters_taken_and_does_no_harm(fleet: Fleet) -> None:
    """What it publishes before it knows is of a stale epoch. It gets a share again."""
    await fleet.whole()
    before, lost = fleet.epochs(), fleet.of("a")
    fleet.processes["a"].send_signal(signal.SIGSTOP)
    await until(lambda: all(fleet.log.epoch(name) > before[name] for name in lost))
    for name in lost:
        fleet.clusters[name].create_vm("meanwhile", namespace="prod")
    fleet.processes["a"].send_signal(signal.SIGCONT)
    await until(lambda: all(f"cluster {name}: watcher {socket.gethostname()}/" in fleet.logged("a") for name in lost))
    await fleet.whole()
    await fleet.log.agrees(*fleet.clusters.values())


async def test_while_nats_is_away_all_go_on_and_nobody_takes_anything_when_it_is_back(fleet: Fleet) -> None:
    """All leases have expired by then. Each watcher renews its own, and waits before it takes what it did not have."""
    await fleet.whole()
    before, holders = fleet.epochs(), fleet.holders()
    fleet.proxy.shut()
    await until(lambda: not fleet.table.leases())
    for cluster in fleet.clusters.values():
        cluster.create_vm("outage", namespace="prod")
    await fleet.proxy.open()
    await until(lambda: [len(member.declared) for member in fleet.table.members()], lambda may: may == [2, 2, 2])
    await fleet.log.agrees(*fleet.clusters.values())
    await until(lambda: [len(member.declared) for member in fleet.table.members()], lambda may: may == [6, 6, 6])
    assert (fleet.epochs(), fleet.holders()) == (before, holders)
