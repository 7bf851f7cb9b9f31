"""Readers ignore what a watcher publishes after it has lost its cluster, and the next watcher corrects the log.

The reader here follows the log by the projector's rule. It must have the true state without any change in the cluster.
"""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from support.projecting import publisher, put
from support.waiting import until
from support.watched import DATACENTER, Log, configure, observing, shown_leases, watching

from summit_models.contract import ClusterName, DatacenterId
from summit_simulator.cluster import SimulatedCluster
from summit_watcher.log.epoch import EPOCH_STARTS_KEPT, WATCHER, claim

VMS = "virtualmachines"
CLUSTER = "vulcan"


@pytest.fixture
async def cluster() -> AsyncIterator[SimulatedCluster]:
    async with SimulatedCluster(CLUSTER, bookmark_seconds=0.3) as simulated:
        for name in ("same", "other"):
            simulated.create_vm(name, namespace="prod")
        await simulated.settle()
        yield simulated


@pytest.fixture
def config(cluster: SimulatedCluster, tmp_path: Path) -> Path:
    return configure(tmp_path, {cluster.name: cluster.write_kubeconfig(tmp_path / "vulcan.yaml")})


async def claim_and_die(client: Client, times: int = 1) -> None:
    """Begin an epoch, and be killed before anything is read."""
    for _ in range(times):
        await claim(client, DatacenterId(DATACENTER), ClusterName(CLUSTER))


@asynccontextmanager
async def lost_by_its_watcher(
    nats_url: str, cluster: SimulatedCluster, config: Path
) -> AsyncIterator[tuple[Log, Client]]:
    """A log that has everything of a cluster whose watcher has lost it: its next events are stale."""
    async with observing(nats_url) as (log, _), publisher(nats_url) as client:
        async with watching(nats_url, config):
            await log.agrees(cluster)
        await claim_and_die(client)
        yield log, client


async def publish_late(client: Client, log: Log, about: str, kind: str, **data: Any) -> None:
    """Publish an event of a VM under the epoch of its last event, which is over."""
    event = json.loads(log.newest(about))
    state = event["data"] | data
    event |= {"type": f"summit.vm.{kind}", "id": f"late/{state['id']}/{kind}", "data": state}
    subject = f"summit.vms.{DATACENTER}.{CLUSTER}.prod.{state['name']}"
    await put(client, subject, json.dumps(event).encode())


def last_event(log: Log, name: str) -> tuple[int, str]:
    event = json.loads(log.newest(name))
    return event["epoch"], event["type"].rpartition(".")[2]


@pytest.mark.parametrize("dead", [0, 2, EPOCH_STARTS_KEPT + 2])
@pytest.mark.parametrize("kind", ["updated", "deleted"])
async def test_a_stale_event_is_corrected_however_many_watchers_die_after_it(
    nats_url: str, cluster: SimulatedCluster, config: Path, kind: str, dead: int
) -> None:
    """The VM does not change, and readers know its state: the last event of the log must have that state too."""
    async with lost_by_its_watcher(nats_url, cluster, config) as (log, client):
        await publish_late(client, log, "same", kind, status="error")
        await claim_and_die(client, dead)
        async with watching(nats_url, config):
            await until(lambda: last_event(log, "same") == (dead + 3, "observed"))
            await log.agrees(cluster)
        assert last_event(log, "other") == (1, "created")


async def test_a_stale_event_does_not_hide_the_vm_that_had_the_name_before(
    nats_url: str, cluster: SimulatedCluster, config: Path
) -> None:
    """Only the late watcher saw it deleted and created again: the delete of the former one is published as well."""
    async with lost_by_its_watcher(nats_url, cluster, config) as (log, client):
        former = json.loads(log.newest("same"))["data"]["id"]
        await publish_late(client, log, "same", "deleted")
        cluster.delete(VMS, {"metadata": {"namespace": "prod", "name": "same"}})
        await cluster.settle()
        again = cluster.create_vm("same", namespace="prod")["metadata"]["uid"]
        await cluster.settle()
        await publish_late(client, log, "same", "created", id=again)
        await claim_and_die(client, 2)
        async with watching(nats_url, config):
            await log.agrees(cluster)
        stories = [(event.uid, event.verb) for event in log.events("vms") if event.epoch == 5]
        assert stories == [(former, "deleted"), (again, "created")]


async def test_a_vm_that_only_a_stale_event_has_is_deleted(
    nats_url: str, cluster: SimulatedCluster, config: Path
) -> None:
    """A reader of the last event of each subject would show it."""
    async with lost_by_its_watcher(nats_url, cluster, config) as (log, client):
        await publish_late(client, log, "same", "created", id="never-seen", name="ghost")
        await claim_and_die(client)
        async with watching(nats_url, config):
            await until(lambda: last_event(log, "ghost")[1:] == ("deleted",))


async def test_epoch_starts_are_dropped_when_no_last_event_is_stale(
    nats_url: str, cluster: SimulatedCluster, config: Path
) -> None:
    """The cluster's events carry them only as long as the last event of some object may be stale."""
    async with observing(nats_url) as (log, _), publisher(nats_url) as client:
        await claim_and_die(client, 3)
        assert [
            start.epoch for start in (await claim(client, DatacenterId(DATACENTER), ClusterName(CLUSTER))).earlier
        ] == [1, 2, 3]
        async with watching(nats_url, config):
            await log.agrees(cluster)
            await until(lambda: log.epoch_starts(CLUSTER) == [])


async def test_a_second_watcher_leaves_a_cluster_to_the_one_that_has_it_and_takes_it_when_that_ends(
    nats_url: str, cluster: SimulatedCluster, config: Path
) -> None:
    """Two watchers may have the same configuration. The second begins no epoch before."""
    async with observing(nats_url) as (log, healths), AsyncExitStack() as first:
        await first.enter_async_context(watching(nats_url, config))
        await log.agrees(cluster)
        async with watching(nats_url, config), shown_leases(nats_url) as leases:
            await until(lambda: len(leases.members()) == 2)
            cluster.create_vm("new", namespace="prod")
            await log.agrees(cluster)
            assert log.epoch(CLUSTER) == 1
            await first.aclose()
            await until(lambda: log.epoch(CLUSTER) == 2)
            cluster.create_vm("newer", namespace="prod")
            await log.agrees(cluster)
            await until(lambda: healths.state(CLUSTER) == "synced")


async def test_a_watcher_whose_epoch_is_over_begins_another_one_as_long_as_it_has_the_lease(
    nats_url: str, cluster: SimulatedCluster, config: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The lease decides who watches. It logs once that somebody without the lease has begun an epoch."""
    async with observing(nats_url) as (log, healths), watching(nats_url, config), publisher(nats_url) as client:
        await log.agrees(cluster)
        await claim_and_die(client)
        cluster.faults.close_streams(abort=True)
        await until(lambda: log.epoch(CLUSTER) == 3)
        cluster.create_vm("new", namespace="prod")
        await log.agrees(cluster)
        await until(lambda: healths.state(CLUSTER) == "synced")
    (line,) = [line for line in warnings(caplog) if "its lease" in line]
    began = f"cluster vulcan: watcher {WATCHER} has begun to watch it, with epoch 2 after our 1, without its lease; "
    assert line.startswith(began)
    assert own_epochs(log) == sorted(own_epochs(log))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def own_epochs(log: Log) -> list[int]:
    """The epochs of the cluster's own events, in their order."""
    return [json.loads(m.body)["epoch"] for m in log.messages if m.subject.startswith("summit.clusters.")]
