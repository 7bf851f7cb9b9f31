"""A cluster's own events: each is stored onto the one before, so the newest is of the watcher that has the cluster."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from nats.aio.client import Client
from support.projecting import publisher

from summit_models.cluster import ClusterHealth
from summit_models.cluster import ConnectionState as State
from summit_models.contract import ClusterName, DatacenterId
from summit_models.subject import ingest
from summit_runtime.nats.consumer import replay
from summit_watcher.log.epoch import ClusterEvents, Epoch, SupersededError, claim

DATACENTER, CLUSTER = DatacenterId("dc-solna"), ClusterName("vulcan")
SUBJECT = f"summit.clusters.{DATACENTER}.{CLUSTER}"


@pytest.fixture
async def client(nats_url: str) -> AsyncIterator[Client]:
    async with publisher(nats_url) as connected:
        yield connected


def health(state: State) -> ClusterHealth:
    return ClusterHealth(name=CLUSTER, datacenter=DATACENTER, state=state, since=datetime.now(UTC))


async def stored(client: Client) -> list[tuple[str, int, int]]:
    """State, epoch and beginning of each event of the cluster."""
    events = [json.loads(message.body) async for message in replay(client, SUBJECT)]
    return [(event["data"]["state"], event["epoch"], event["began"]) for event in events]


async def test_each_event_follows_the_one_before(client: Client) -> None:
    """Each names the first event of its epoch."""
    events = ClusterEvents(client, await claim(client, DATACENTER, CLUSTER))
    assert await events.confirm()
    await events.publish(health(State.LISTING))
    await events.publish(health(State.SYNCED))
    assert await stored(client) == [("starting", 1, 0), ("listing", 1, 1), ("synced", 1, 1)]


async def test_nothing_is_stored_after_another_watcher_has_begun(client: Client) -> None:
    """The first watcher learns it when it publishes, and when it confirms its epoch."""
    events = ClusterEvents(client, await claim(client, DATACENTER, CLUSTER))
    await claim(client, DATACENTER, CLUSTER)
    with pytest.raises(SupersededError, match="with epoch 2 after our 1"):
        await events.publish(health(State.SYNCED))
    with pytest.raises(SupersededError):
        await events.confirm()
    assert await stored(client) == [("starting", 1, 0), ("starting", 2, 0)]


async def test_a_foreign_event_is_followed_by_our_own(client: Client) -> None:
    """Otherwise the newest event of the cluster would not have its newest epoch."""
    events = ClusterEvents(client, await claim(client, DATACENTER, CLUSTER))
    await client.jetstream().publish(
        ingest(SUBJECT), json.dumps({"epoch": 0, "began": 0, "data": {"state": "x"}}).encode()
    )
    assert not await events.confirm()
    await events.publish(health(State.SYNCED))
    assert await events.confirm()
    assert await stored(client) == [("starting", 1, 0), ("x", 0, 0), ("synced", 1, 1)]


async def test_epoch_starts_that_are_not_needed_any_more_are_dropped(client: Client) -> None:
    """The next event is due then, whatever the health is."""
    await claim(client, DATACENTER, CLUSTER)
    events = ClusterEvents(client, await claim(client, DATACENTER, CLUSTER))
    events.drop_earlier_starts()
    assert not await events.confirm()
    await events.publish(health(State.SYNCED))
    assert await events.confirm()
    assert (await claim(client, DATACENTER, CLUSTER)).earlier[0].epoch == 2


async def test_the_epoch_in_the_log_wins_over_another_with_its_number(client: Client) -> None:
    """A log that has lost its end gives a number twice."""
    lost = ClusterEvents(client, Epoch(DATACENTER, CLUSTER, 1, history=1, began=50))
    kept = ClusterEvents(client, await claim(client, DATACENTER, CLUSTER))
    with pytest.raises(SupersededError):
        await lost.publish(health(State.SYNCED))
    assert await kept.confirm()


async def test_a_log_that_has_lost_the_first_event_of_an_epoch_gets_another_one(client: Client) -> None:
    """The next event begins the epoch again."""
    events = ClusterEvents(client, Epoch(DATACENTER, CLUSTER, 7, history=1, began=50))
    assert not await events.confirm()
    await events.publish(health(State.LISTING))
    await events.publish(health(State.SYNCED))
    assert await stored(client) == [("listing", 7, 0), ("synced", 7, 1)]
