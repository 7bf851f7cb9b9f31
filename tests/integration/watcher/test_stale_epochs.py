"""What a watcher says that has lost its cluster is void, and the next one tells what is true, whoever died between.

The reader here goes through the log by the projector's rule, and must know what is true of the cluster without anything
changing in it.
"""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from support.projecting import publisher
from support.waiting import until
from support.watched import DATACENTER, Log, configure, observing, watching

from summit_models.contract import ClusterName, DatacenterId
from summit_models.subject import ingest
from summit_simulator.cluster import SimulatedCluster
from summit_watcher.log.epoch import EPOCH_STARTS_KEPT, claim
from summit_watcher.settings import WatcherTimes

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
    """Begin to watch, and be killed before anything is read."""
    for _ in range(times):
        await claim(client, DatacenterId(DATACENTER), ClusterName(CLUSTER))


@asynccontextmanager
async def lost_by_its_watcher(
    nats_url: str, cluster: SimulatedCluster, config: Path
) -> AsyncIterator[tuple[Log, Client]]:
    """A log that tells all of a cluster, whose watcher has lost it: what that one says from now on is void."""
    async with observing(nats_url) as (log, _), publisher(nats_url) as client:
        async with watching(nats_url, config):
            await log.agrees(cluster)
        await claim_and_die(client)
        yield log, client


async def say_late(client: Client, log: Log, about: str, kind: str, **data: Any) -> None:
    """Say something of a VM under the epoch in which it was last spoken of, which is over."""
    event = json.loads(log.newest(about))
    state = event["data"] | data
    event |= {"type": f"summit.vm.{kind}", "id": f"late/{state['id']}/{kind}", "data": state}
    subject = f"summit.vms.{DATACENTER}.{CLUSTER}.prod.{state['name']}"
    await client.jetstream().publish(ingest(subject), json.dumps(event).encode())


def last_words(log: Log, name: str) -> tuple[int, str]:
    event = json.loads(log.newest(name))
    return event["epoch"], event["type"].rpartition(".")[2]


@pytest.mark.parametrize("dead", [0, 2, EPOCH_STARTS_KEPT + 2])
@pytest.mark.parametrize("kind", ["updated", "deleted"])
async def test_a_void_word_is_corrected_however_many_begin_and_die_after_it(
    nats_url: str, cluster: SimulatedCluster, config: Path, kind: str, dead: int
) -> None:
    """The VM does not change, and readers know it as it is: the log's last word on it must say so too."""
    async with lost_by_its_watcher(nats_url, cluster, config) as (log, client):
        await say_late(client, log, "same", kind, status="error")
        await claim_and_die(client, dead)
        async with watching(nats_url, config):
            await until(lambda: last_words(log, "same") == (dead + 3, "observed"))
            await log.agrees(cluster)
        assert last_words(log, "other") == (1, "created")


async def test_a_void_word_does_not_hide_the_vm_that_had_the_name_before(
    nats_url: str, cluster: SimulatedCluster, config: Path
) -> None:
    """Deleted and made again while only the late watcher saw it: the former one's end is told as well."""
    async with lost_by_its_watcher(nats_url, cluster, config) as (log, client):
        former = json.loads(log.newest("same"))["data"]["id"]
        await say_late(client, log, "same", "deleted")
        cluster.delete(VMS, {"metadata": {"namespace": "prod", "name": "same"}})
        await cluster.settle()
        again = cluster.create_vm("same", namespace="prod")["metadata"]["uid"]
        await cluster.settle()
        await say_late(client, log, "same", "created", id=again)
        await claim_and_die(client, 2)
        async with watching(nats_url, config):
            await log.agrees(cluster)
        stories = [(event.uid, event.verb) for event in log.told("vms") if event.epoch == 5]
        assert stories == [(former, "deleted"), (again, "created")]


async def test_a_vm_that_only_a_void_word_knows_is_called_gone(
    nats_url: str, cluster: SimulatedCluster, config: Path
) -> None:
    """Who reads the last word of each subject would believe it."""
    async with lost_by_its_watcher(nats_url, cluster, config) as (log, client):
        await say_late(client, log, "same", "created", id="never-seen", name="ghost")
        await claim_and_die(client)
        async with watching(nats_url, config):
            await until(lambda: last_words(log, "ghost")[1:] == ("deleted",))


async def test_what_has_been_told_anew_needs_no_fence_any_more(
    nats_url: str, cluster: SimulatedCluster, config: Path
) -> None:
    """The cluster's events carry the beginnings of epochs only as long as something void may be the last word."""
    async with observing(nats_url) as (log, _), publisher(nats_url) as client:
        await claim_and_die(client, 3)
        assert [
            fence.epoch for fence in (await claim(client, DatacenterId(DATACENTER), ClusterName(CLUSTER))).earlier
        ] == [1, 2, 3]
        async with watching(nats_url, config):
            await log.agrees(cluster)
            await until(lambda: log.fences(CLUSTER) == [])


async def test_of_two_watchers_the_later_one_is_heard_and_the_other_stands_back(
    nats_url: str, cluster: SimulatedCluster, config: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Said once; what the earlier one still told is void, and neither takes the cluster back from the other."""
    async with observing(nats_url) as (log, _), watching(nats_url, config):
        await log.agrees(cluster)
        async with watching(nats_url, config):
            await until(lambda: log.epoch(CLUSTER) == 2)
            cluster.create_vm("new", namespace="prod")
            await cluster.settle()
            cluster.faults.close_streams(abort=True)  # both speak of that
            await until(lambda: any("stands back" in line for line in told(caplog)))
            await log.agrees(cluster)
        (line,) = [line for line in told(caplog) if "stands back" in line]
        assert line.startswith("cluster vulcan: another watcher has begun to watch it, with epoch 2 after our 1; ")
        assert own_epochs(log) == sorted(own_epochs(log))
        assert log.epoch(CLUSTER) == 2


async def test_who_stands_back_takes_over_when_the_other_is_silent(
    nats_url: str, cluster: SimulatedCluster, config: Path
) -> None:
    """Whether that one was stopped, killed or cut off."""
    times = WatcherTimes(silent_seconds=1.0, listen_seconds=0.1)
    async with observing(nats_url) as (log, healths), watching(nats_url, config, times), publisher(nats_url) as client:
        await log.agrees(cluster)
        await claim_and_die(client)
        cluster.faults.close_streams(abort=True)
        await until(lambda: log.epoch(CLUSTER) == 3)
        cluster.create_vm("new", namespace="prod")
        await log.agrees(cluster)
        await until(lambda: healths.state(CLUSTER) == "synced")


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def own_epochs(log: Log) -> list[int]:
    """Of the cluster's own events, in their order."""
    return [json.loads(m.body)["epoch"] for m in log.messages if m.subject.startswith("summit.clusters.")]
