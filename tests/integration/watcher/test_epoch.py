"""Epochs: each start of watching a cluster has its own number, and the log has the newest one.

A cluster's own events are stored each onto the one before, so the newest is of the watcher that has the cluster.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from support.projecting import publisher, put

from summit_models.cluster import ClusterHealth, Heartbeat
from summit_models.cluster import ConnectionState as State
from summit_models.contract import ClusterName, DatacenterId
from summit_models.event import EpochStart
from summit_models.subject import HEALTH_BUCKET
from summit_runtime.nats.connection.bus import EventClient
from summit_runtime.nats.streams.consumer import replay
from summit_watcher.kube.errors import RegressedError, ReplacedError
from summit_watcher.log.epoch import ClusterEvents, Epoch, EpochLostError, SupersededError, claim, cluster_event
from summit_watcher.log.positions import last_heartbeat

DATACENTER, CLUSTER = DatacenterId("dc-solna"), ClusterName("vulcan")
SUBJECT = f"summit.clusters.{DATACENTER}.{CLUSTER}"


@pytest.fixture
async def client(nats_url: str) -> AsyncIterator[EventClient]:
    async with publisher(nats_url) as connected:
        yield connected


def health(state: State) -> ClusterHealth:
    return ClusterHealth(name=CLUSTER, datacenter=DATACENTER, state=state, since=datetime.now(UTC))


async def stored(client: EventClient) -> list[tuple[str, int, int]]:
    """State, epoch and beginning of each event of the cluster."""
    events = [json.loads(message.body) async for message in replay(client, SUBJECT)]
    return [(event["data"]["state"], event["epoch"], event["began"]) for event in events]


async def test_each_start_begins_the_next_epoch(client: EventClient) -> None:
    """The first is 1. It is in the log before anything is published under it, and its history continues."""
    first = await claim(client, DATACENTER, CLUSTER)
    assert first == Epoch(DATACENTER, CLUSTER, 1, history=1, began=1)
    synced = cluster_event(health(State.SYNCED), first, client.clock.now())
    await put(client, SUBJECT, synced.model_dump_json().encode())
    second = await claim(client, DATACENTER, CLUSTER)
    assert (second.number, second.history) == (2, 1)
    assert second.starts == (EpochStart(epoch=1, revision=1), EpochStart(epoch=2, revision=3))
    assert await stored(client) == [("starting", 1, 0), ("synced", 1, 1), ("starting", 2, 0)]
    assert (await claim(client, DATACENTER, ClusterName("romulus"))).number == 1


async def test_a_new_history_begins_with_its_epoch(client: EventClient) -> None:
    """Later epochs belong to it."""
    await claim(client, DATACENTER, CLUSTER)
    assert (await claim(client, DATACENTER, CLUSTER, ended=RegressedError("vms", "9", "5"))).history == 2
    assert (await claim(client, DATACENTER, CLUSTER)).history == 2


async def test_a_cluster_that_returns_from_retirement_begins_a_new_history(client: EventClient) -> None:
    """It may be another cluster by now, with lower resourceVersions."""
    epoch = await claim(client, DATACENTER, CLUSTER)
    retired = cluster_event(health(State.RETIRED), epoch, client.clock.now())
    await put(client, SUBJECT, retired.model_dump_json().encode())
    returned = await claim(client, DATACENTER, CLUSTER)
    assert (returned.number, returned.history, returned.identity) == (2, 2, None)


async def test_the_log_keeps_the_identity_of_the_cluster(client: EventClient) -> None:
    """Each epoch passes it on. One that was declared to take the place begins with its own."""
    assert (await claim(client, DATACENTER, CLUSTER)).identity is None
    replaced = await claim(client, DATACENTER, CLUSTER, ended=ReplacedError("uid-2"))
    assert (replaced.identity, replaced.history) == ("uid-2", 2)
    assert (await claim(client, DATACENTER, CLUSTER)).identity == "uid-2"


async def test_claims_at_once_get_different_epochs(client: EventClient) -> None:
    """The log stores a claim only onto the event that it was made from."""
    claims = await asyncio.gather(*(claim(client, DATACENTER, CLUSTER) for _ in range(5)))
    assert sorted(epoch.number for epoch in claims) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("foreign", [b"no JSON", b'{"epoch": 9223372036854775807, "began": 1}', b'{"epoch": -1}'])
async def test_a_foreign_event_does_not_set_the_epoch_back(client: EventClient, foreign: bytes) -> None:
    """Readers know the epochs before it, which may have no event of a VM. An impossible number is foreign, too."""
    for _ in range(3):
        await claim(client, DATACENTER, CLUSTER)
    await put(client, SUBJECT, foreign)
    assert (await claim(client, DATACENTER, CLUSTER)).number == 4
    assert (await claim(client, DATACENTER, CLUSTER, above=7)).number == 8


async def test_a_foreign_event_of_a_possible_epoch_is_followed_by_a_greater_one(client: EventClient) -> None:
    """Readers take it for that of a watcher. Its other members count only as far as they can be true."""
    await claim(client, DATACENTER, CLUSTER)
    foreign = {"epoch": 1000, "history": 5000, "began": 900, "fences": [{"epoch": 1000, "revision": 0}]}
    await put(client, SUBJECT, json.dumps(foreign).encode())
    epoch = await claim(client, DATACENTER, CLUSTER)
    assert (epoch.number, epoch.history, epoch.earlier) == (1001, 1001, (EpochStart(epoch=1000, revision=2),))


async def beat(client: EventClient, epoch: int) -> None:
    """Write a heartbeat under an epoch, as its watcher does."""
    heartbeat = Heartbeat(**dict(health(State.SYNCED)), epoch=epoch)
    await client.jetstream().publish(
        f"$KV.{HEALTH_BUCKET}.{DATACENTER}.{CLUSTER}", heartbeat.model_dump_json().encode()
    )


async def test_a_watcher_continues_at_the_position_of_the_last_one_that_stored_any(client: EventClient) -> None:
    """Watchers that died at once since then have stored none."""
    await claim(client, DATACENTER, CLUSTER)
    await beat(client, 1)
    for _ in range(3):
        heartbeat = await last_heartbeat(client, await claim(client, DATACENTER, CLUSTER))
        assert heartbeat
        assert heartbeat.epoch == 1


async def test_a_position_of_a_watcher_that_had_lost_the_cluster_is_not_used(client: EventClient) -> None:
    """Readers ignore the events that it is of."""
    for _ in range(2):
        await claim(client, DATACENTER, CLUSTER)
    await beat(client, 2)
    await beat(client, 1)
    assert await last_heartbeat(client, await claim(client, DATACENTER, CLUSTER)) is None
    await beat(client, 3)
    assert await last_heartbeat(client, await claim(client, DATACENTER, CLUSTER))


async def test_a_position_of_another_history_is_not_used(client: EventClient) -> None:
    """Its resourceVersions mean something else."""
    await claim(client, DATACENTER, CLUSTER)
    await beat(client, 1)
    ended = RegressedError("vms", "9", "5")
    assert await last_heartbeat(client, await claim(client, DATACENTER, CLUSTER, ended=ended)) is None


async def test_each_event_follows_the_one_before(client: EventClient) -> None:
    """Each names the first event of its epoch."""
    events = ClusterEvents(client, await claim(client, DATACENTER, CLUSTER))
    assert await events.confirm()
    await events.publish(health(State.LISTING))
    await events.publish(health(State.SYNCED))
    assert await stored(client) == [("starting", 1, 0), ("listing", 1, 1), ("synced", 1, 1)]


async def test_nothing_is_stored_after_another_watcher_has_begun(client: EventClient) -> None:
    """The first watcher learns it when it publishes, and when it confirms its epoch."""
    events = ClusterEvents(client, await claim(client, DATACENTER, CLUSTER))
    await claim(client, DATACENTER, CLUSTER)
    with pytest.raises(SupersededError, match="with epoch 2 after our 1"):
        await events.publish(health(State.SYNCED))
    with pytest.raises(SupersededError):
        await events.confirm()
    assert await stored(client) == [("starting", 1, 0), ("starting", 2, 0)]


async def test_a_foreign_event_is_followed_by_our_own(client: EventClient) -> None:
    """Otherwise the newest event of the cluster would not have its newest epoch."""
    events = ClusterEvents(client, await claim(client, DATACENTER, CLUSTER))
    await put(client, SUBJECT, json.dumps({"epoch": 0, "began": 0, "data": {"state": "x"}}).encode())
    assert not await events.confirm()
    await events.publish(health(State.SYNCED))
    assert await events.confirm()
    assert await stored(client) == [("starting", 1, 0), ("x", 0, 0), ("synced", 1, 1)]


async def test_epoch_starts_that_are_not_needed_any_more_are_dropped(client: EventClient) -> None:
    """The next event is due then, whatever the health is."""
    await claim(client, DATACENTER, CLUSTER)
    events = ClusterEvents(client, await claim(client, DATACENTER, CLUSTER))
    events.drop_earlier_starts()
    assert not await events.confirm()
    await events.publish(health(State.SYNCED))
    assert await events.confirm()
    assert (await claim(client, DATACENTER, CLUSTER)).earlier[0].epoch == 2


async def test_the_epoch_in_the_log_wins_over_another_with_its_number(client: EventClient) -> None:
    """A log that has lost its end gives a number twice."""
    lost = ClusterEvents(client, Epoch(DATACENTER, CLUSTER, 1, history=1, began=50))
    kept = ClusterEvents(client, await claim(client, DATACENTER, CLUSTER))
    with pytest.raises(SupersededError):
        await lost.publish(health(State.SYNCED))
    assert await kept.confirm()


async def test_an_epoch_whose_first_event_the_log_has_lost_ends(client: EventClient) -> None:
    """Readers reject what is published under it."""
    events = ClusterEvents(client, Epoch(DATACENTER, CLUSTER, 7, history=1, began=50))
    with pytest.raises(EpochLostError, match="NATS has lost the first event of epoch 7"):
        await events.confirm()
    with pytest.raises(EpochLostError):
        await events.publish(health(State.LISTING))
    assert await stored(client) == []
