"""Epochs: each start of watching a cluster has its own number, and the log has the newest one."""

import asyncio
import json
from datetime import UTC, datetime

from nats.aio.client import Client
from support.projecting import publisher

from summit_models.cluster import ClusterHealth, Heartbeat
from summit_models.cluster import ConnectionState as State
from summit_models.contract import ClusterName, DatacenterId
from summit_models.event import EpochStart
from summit_models.subject import HEALTH_BUCKET, ingest
from summit_runtime.nats.consumer import last_per_subject
from summit_watcher.kube.errors import RegressedError, ReplacedError
from summit_watcher.log.epoch import Epoch, claim, cluster_event
from summit_watcher.log.positions import last_heartbeat

DATACENTER, CLUSTER = DatacenterId("dc-solna"), ClusterName("vulcan")
SUBJECT = f"summit.clusters.{DATACENTER}.{CLUSTER}"


def health(state: State) -> ClusterHealth:
    return ClusterHealth(name=CLUSTER, datacenter=DATACENTER, state=state, since=datetime.now(UTC))


async def newest(client: Client) -> dict[str, object]:
    """The newest event of the cluster."""
    (message,) = [message async for message in last_per_subject(client, SUBJECT)]
    return dict(json.loads(message.body))


async def test_each_start_begins_the_next_epoch(nats_url: str) -> None:
    """The first is 1. It is in the log before anything is published under it, and its history continues."""
    async with publisher(nats_url) as client:
        first = await claim(client, DATACENTER, CLUSTER)
        assert first == Epoch(DATACENTER, CLUSTER, 1, history=1, began=1)
        synced = cluster_event(health(State.SYNCED), first)
        await client.jetstream().publish(ingest(SUBJECT), synced.model_dump_json().encode())
        second = await claim(client, DATACENTER, CLUSTER)
        assert (second.number, second.history) == (2, 1)
        assert second.starts == (EpochStart(epoch=1, revision=1), EpochStart(epoch=2, revision=3))
        event = await newest(client)
        assert (event["epoch"], event["history"], event["type"]) == (2, 1, "summit.cluster.starting")
        assert (await claim(client, DATACENTER, ClusterName("romulus"))).number == 1


async def test_a_new_history_begins_with_its_epoch(nats_url: str) -> None:
    """Later epochs belong to it."""
    async with publisher(nats_url) as client:
        await claim(client, DATACENTER, CLUSTER)
        assert (await claim(client, DATACENTER, CLUSTER, ended=RegressedError("vms", "9", "5"))).history == 2
        assert (await claim(client, DATACENTER, CLUSTER)).history == 2


async def test_a_cluster_that_returns_from_retirement_begins_a_new_history(nats_url: str) -> None:
    """It may be another cluster by now, with lower resourceVersions."""
    async with publisher(nats_url) as client:
        epoch = await claim(client, DATACENTER, CLUSTER)
        retired = cluster_event(health(State.RETIRED), epoch)
        await client.jetstream().publish(ingest(SUBJECT), retired.model_dump_json().encode())
        returned = await claim(client, DATACENTER, CLUSTER)
        assert (returned.number, returned.history, returned.identity) == (2, 2, None)


async def test_the_log_keeps_the_identity_of_the_cluster(nats_url: str) -> None:
    """Each epoch passes it on. One that was declared to take the place begins with its own."""
    async with publisher(nats_url) as client:
        assert (await claim(client, DATACENTER, CLUSTER)).identity is None
        replaced = await claim(client, DATACENTER, CLUSTER, ended=ReplacedError("uid-2"))
        assert (replaced.identity, replaced.history) == ("uid-2", 2)
        assert (await claim(client, DATACENTER, CLUSTER)).identity == "uid-2"


async def test_claims_at_once_get_different_epochs(nats_url: str) -> None:
    """The log stores a claim only onto the event that it was made from."""
    async with publisher(nats_url) as client:
        claims = await asyncio.gather(*(claim(client, DATACENTER, CLUSTER) for _ in range(5)))
        assert sorted(epoch.number for epoch in claims) == [1, 2, 3, 4, 5]


async def test_a_foreign_event_does_not_set_the_epoch_back(nats_url: str) -> None:
    """An unreadable event of the cluster has no epoch; the events of the VMs have it too."""
    async with publisher(nats_url) as client:
        await claim(client, DATACENTER, CLUSTER)
        await client.jetstream().publish(ingest(SUBJECT), b"no JSON")
        assert (await claim(client, DATACENTER, CLUSTER, above=7)).number == 8


async def beat(client: Client, epoch: int) -> None:
    """Write a heartbeat under an epoch, as its watcher does."""
    heartbeat = Heartbeat(**dict(health(State.SYNCED)), epoch=epoch)
    await client.jetstream().publish(
        f"$KV.{HEALTH_BUCKET}.{DATACENTER}.{CLUSTER}", heartbeat.model_dump_json().encode()
    )


async def test_a_watcher_continues_at_the_position_of_the_last_one_that_stored_any(nats_url: str) -> None:
    """Watchers that died at once since then have stored none."""
    async with publisher(nats_url) as client:
        await claim(client, DATACENTER, CLUSTER)
        await beat(client, 1)
        for _ in range(3):
            heartbeat = await last_heartbeat(client, await claim(client, DATACENTER, CLUSTER))
            assert heartbeat
            assert heartbeat.epoch == 1


async def test_a_position_of_a_watcher_that_had_lost_the_cluster_is_not_used(nats_url: str) -> None:
    """Readers ignore the events that it is of."""
    async with publisher(nats_url) as client:
        for _ in range(2):
            await claim(client, DATACENTER, CLUSTER)
        await beat(client, 2)
        await beat(client, 1)
        assert await last_heartbeat(client, await claim(client, DATACENTER, CLUSTER)) is None
        await beat(client, 3)
        assert await last_heartbeat(client, await claim(client, DATACENTER, CLUSTER))


async def test_a_position_of_another_history_is_not_used(nats_url: str) -> None:
    """Its resourceVersions mean something else."""
    async with publisher(nats_url) as client:
        await claim(client, DATACENTER, CLUSTER)
        await beat(client, 1)
        ended = RegressedError("vms", "9", "5")
        assert await last_heartbeat(client, await claim(client, DATACENTER, CLUSTER, ended=ended)) is None
