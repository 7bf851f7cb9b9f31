"""An API server that restarts, forgets, or falls silent: the log has each change once, as in the cluster's journal.

`listwatch/test_faults.py` has what one list-watch does; here all list-watches of a cluster go through it.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from support import oracle
from support.waiting import until
from support.watched import DATACENTER, QUICK, SOON, Healths, Log, has_lease, lists, observing

from summit_models.cluster import ConnectionState as State
from summit_models.contract import ClusterName, DatacenterId
from summit_runtime.nats.connection import bus
from summit_runtime.nats.publishing.publisher import publishing
from summit_simulator.cluster import SimulatedCluster
from summit_watcher.cluster import ClusterWatcher
from summit_watcher.config.datacenters import ClusterConfig
from summit_watcher.kube.identity import Identities
from summit_watcher.kube.resources import WATCHED
from summit_watcher.listwatch.page_slots import PageSlots
from summit_watcher.operations.feed import OperationFeed
from summit_watcher.settings import WatcherTimes

VMS = "virtualmachines"


@dataclass
class Scene:
    cluster: SimulatedCluster
    log: Log
    healths: Healths
    known: int
    """How many events of VMs were published before the trouble."""

    def published(self) -> list[tuple[str, str]]:
        """Names and verbs of the events since, in order."""
        return [(event.name, event.verb) for event in list(oracle.events_of(self.log.messages, "vms"))[self.known :]]

    def final_states_unknown(self) -> list[str]:
        events = list(oracle.events_of(self.log.messages, "vms"))[self.known :]
        return [event.name for event in events if event.final_state_unknown]

    async def becomes(self, state: State) -> None:
        await until(lambda: self.healths.state("vulcan") == state)

    async def recovers(self) -> None:
        await self.log.agrees(self.cluster)
        await self.becomes(State.SYNCED)


@asynccontextmanager
async def watched(
    nats_url: str, directory: Path, cluster: SimulatedCluster, times: WatcherTimes = QUICK
) -> AsyncIterator[Scene]:
    """Watch the cluster until it is known."""
    config = ClusterConfig(
        ClusterName("vulcan"), DatacenterId(DATACENTER), cluster.write_kubeconfig(directory / "vulcan.yaml")
    )
    client = await bus.connect(SecretStr(nats_url), name="watcher")
    async with observing(nats_url) as (log, healths), publishing(client) as publisher, asyncio.TaskGroup() as tasks:
        slots = PageSlots(times.slow_page_seconds)
        watcher = tasks.create_task(
            ClusterWatcher(
                config, client, publisher, times, slots, Identities(), OperationFeed(client), has_lease
            ).run()
        )
        scene = Scene(cluster, log, healths, 0)
        await scene.recovers()
        scene.known = len(scene.published())
        yield scene
        watcher.cancel()
    await bus.close(client)


@pytest.fixture
async def cluster() -> AsyncIterator[SimulatedCluster]:
    async with SimulatedCluster("vulcan", bookmark_seconds=0.3) as simulated:
        for name in ("gone", "grown", "same", "other"):
            simulated.create_vm(name, namespace="prod")
        await simulated.settle()
        yield simulated


def named(name: str) -> dict[str, Any]:
    return {"metadata": {"namespace": "prod", "name": name}}


async def change(cluster: SimulatedCluster) -> None:
    """One VM less, one larger, one more."""
    cluster.delete(VMS, named("gone"))
    size = {"spec": {"template": {"spec": {"domain": {"cpu": {"cores": 4, "sockets": 1, "threads": 1}}}}}}
    cluster.patch(VMS, named("grown"), size)
    cluster.create_vm("new", namespace="prod")
    await cluster.settle()


COMPARED = [("prod/gone", "deleted"), ("prod/grown", "updated"), ("prod/new", "created")]


async def test_an_api_server_that_restarts_and_has_forgotten_costs_one_list_for_each_resource(
    nats_url: str, tmp_path: Path, cluster: SimulatedCluster, caplog: pytest.LogCaptureFixture
) -> None:
    """Changes of the meantime are published once; one log line reports the outage when it begins."""

    def warnings() -> list[str]:
        messages = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
        return [message for message in messages if "cluster vulcan" in message]

    # As in production, several attempts fit into the time after which a state is logged, and a list that is late on a
    # loaded machine, streamed or in pages, is not requested again.
    times = replace(QUICK, log_state_seconds=0.5, page_idle_seconds=20, page_total_seconds=40, idle_seconds=20)
    async with watched(nats_url, tmp_path, cluster, times) as scene:
        cluster.faults.refuse_connections()
        await scene.becomes(State.UNREACHABLE)
        await until(warnings)
        await change(cluster)
        cluster.forget_history()
        cluster.create_vm("last", namespace="prod")
        await cluster.faults.accept_connections()
        await scene.recovers()
        assert sorted(set(scene.published())) == sorted([*COMPARED, ("prod/last", "created")])
        assert scene.final_states_unknown() == ["prod/gone"]
        assert [lists(cluster, resource.plural) for resource in WATCHED] == [2] * len(WATCHED)
        await until(lambda: any("watched again" in line for line in warnings()))
    # A request that was under way breaks off, the next ones are refused: which of the two stands is a matter of time.
    assert [re.sub(r"[(].*[)]|after .*|from .*|unreachable|failing", "…", line) for line in warnings()] == [
        "cluster vulcan is … …: its 4 VMs show their last known state, stale …",
        "cluster vulcan is watched again: 5 VMs, …",
    ]


@pytest.mark.parametrize("restarts", [True, False], ids=["the server restarts", "connections freeze"])
async def test_a_server_that_remembers_is_resumed_without_a_list(
    nats_url: str, tmp_path: Path, cluster: SimulatedCluster, *, restarts: bool
) -> None:
    """Nothing is lost of the meantime, also what came and went. A frozen connection stands, and no byte comes."""
    async with watched(nats_url, tmp_path, cluster) as scene:
        if restarts:
            cluster.faults.refuse_connections()
            await scene.becomes(State.UNREACHABLE)
        else:
            cluster.faults.freeze()
            await scene.becomes(State.STALE)
        cluster.delete(VMS, cluster.create_vm("passing", namespace="prod"))
        await change(cluster)
        if restarts:
            await cluster.faults.accept_connections()
        else:
            cluster.faults.unfreeze()
        await scene.recovers()
        await until(lambda: ("prod/passing", "deleted") in scene.published())
        assert ("prod/passing", "created") in scene.published()
        assert scene.final_states_unknown() == []
        assert lists(cluster) == 1


@pytest.mark.parametrize("place", ["the answer to a watch", "a watch", "the second page of a list"])
async def test_410_in_any_place_leads_to_a_list_and_deletes_nothing_by_itself(
    nats_url: str, tmp_path: Path, cluster: SimulatedCluster, place: str
) -> None:
    """A partial set is never compared: only what has really gone is deleted."""
    async with watched(nats_url, tmp_path, cluster) as scene:
        if place == "the answer to a watch":
            cluster.faults.respond(410, VMS, verb="watch", times=1)
        if place == "the second page of a list":
            cluster.faults.watch_list = False
            cluster.faults.respond(410, VMS, verb="list", page=2, times=1)
        with cluster.unwatched():
            await change(cluster)
        cluster.forget_history()
        cluster.faults.close_streams(abort=True)
        await scene.recovers()
        assert sorted(set(scene.published())) == COMPARED
        assert scene.final_states_unknown() == ["prod/gone"]


async def test_a_change_that_no_watch_has_reported_is_found_logged_and_published(
    nats_url: str, tmp_path: Path, cluster: SimulatedCluster, caplog: pytest.LogCaptureFixture
) -> None:
    """A periodic list is compared with the known objects. A difference is a defect somewhere, and is published."""
    often = WatcherTimes(relist_seconds=(0.1, 0.1), watch_seconds=(1, 1), retry=SOON)
    async with watched(nats_url, tmp_path, cluster, often) as scene:
        with cluster.unwatched():
            await change(cluster)
        await scene.recovers()
        assert sorted(set(scene.published())) == COMPARED
    drift = [r.getMessage() for r in caplog.records if "no watch has reported" in r.getMessage()]
    line = r"cluster vulcan: the list of virtualmachines shows \d changes that no watch has reported"
    assert any(re.fullmatch(line, logged) for logged in drift)
