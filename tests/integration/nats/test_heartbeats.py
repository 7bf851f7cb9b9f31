"""Heartbeats in the KV bucket: written, read, followed and deleted under one key."""

import asyncio
from datetime import UTC, datetime, timedelta

from support.waiting import until

from summit_models.cluster import ConnectionState, Heartbeat
from summit_models.contract import ClusterName, DatacenterId
from summit_runtime.nats.connection.bus import EventClient
from summit_runtime.nats.streams import heartbeats

SOLNA, VULCAN, ROMULUS = DatacenterId("dc-solna"), ClusterName("vulcan"), ClusterName("romulus")


def heartbeat(cluster: ClusterName, epoch: int = 1) -> Heartbeat:
    now = datetime.now(UTC)
    return Heartbeat(name=cluster, datacenter=SOLNA, state=ConnectionState.SYNCED, since=now, epoch=epoch)


async def test_the_last_heartbeat_of_a_cluster_is_read_with_the_time_of_the_server(client: EventClient) -> None:
    """None before the first one and after it was deleted."""
    assert await heartbeats.last(client, SOLNA, VULCAN) is None
    for epoch in (1, 2):
        await heartbeats.write(client, heartbeat(VULCAN, epoch))
    await heartbeats.write(client, heartbeat(ROMULUS))
    stored = await until(  # nobody waits for the server to store a heartbeat
        lambda: heartbeats.last(client, SOLNA, VULCAN), lambda found: found is not None and found.sequence == 2
    )
    assert stored
    assert stored.heartbeat
    assert stored.heartbeat.epoch == 2
    assert stored.stored_at
    assert stored.stored_at.tzinfo
    await heartbeats.delete(client, SOLNA, VULCAN)
    assert await heartbeats.last(client, SOLNA, VULCAN) is None


async def test_followers_get_the_newest_heartbeats_and_then_each(client: EventClient) -> None:
    """Deleted entries and entries that are not heartbeats are ignored."""
    async with asyncio.timeout(20):
        await heartbeats.write(client, heartbeat(VULCAN))
        await heartbeats.write(client, heartbeat(ROMULUS))
        await client.flush()
        await heartbeats.delete(client, SOLNA, ROMULUS)
        following = heartbeats.follow(client)
        newest, stored_at = await anext(following)
        assert (newest.name, abs(datetime.now(UTC) - stored_at) < timedelta(seconds=20)) == (VULCAN, True)
        await client.publish(heartbeats.subject(SOLNA, VULCAN), b"not a heartbeat")
        await heartbeats.write(client, heartbeat(ROMULUS, 7))
        assert (await anext(following))[0].epoch == 7
        await following.aclose()
