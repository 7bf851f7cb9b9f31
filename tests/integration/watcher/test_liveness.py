"""When a watcher that waits takes a cluster over: half a minute after its watcher last reported, and not later."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from support.projecting import publisher

from summit_models.contract import ClusterName, DatacenterId
from summit_runtime.nats.connection.bus import EventClient
from summit_runtime.nats.connection.clock import Clock
from summit_watcher.log.epoch import claim
from summit_watcher.log.liveness import is_silent, until_silent
from summit_watcher.settings import WatcherTimes

DATACENTER, CLUSTER = DatacenterId("dc-solna"), ClusterName("vulcan")
TIMES = WatcherTimes(silent_seconds=5.0, listen_seconds=0.1)


@pytest.fixture
async def client(nats_url: str) -> AsyncIterator[EventClient]:
    async with publisher(nats_url) as connected:
        await connected.clock.ask(connected)
        yield connected


@pytest.mark.calm
async def test_a_cluster_is_silent_from_its_last_report_on_and_not_from_when_somebody_looks(
    client: EventClient,
) -> None:
    """Else the wait would be twice as long as documented."""
    await claim(client, DATACENTER, CLUSTER)
    reported_at = time.monotonic()
    assert not await is_silent(client, DATACENTER, CLUSTER, TIMES)
    await asyncio.wait_for(until_silent(client, DATACENTER, CLUSTER, WatcherTimes(silent_seconds=4.0)), 30)
    await asyncio.wait_for(until_silent(client, DATACENTER, CLUSTER, TIMES), 30)
    assert 4.8 <= time.monotonic() - reported_at < 8
    assert await is_silent(client, DATACENTER, CLUSTER, TIMES)


async def test_a_cluster_that_nobody_has_reported_is_silent(client: EventClient) -> None:
    """There is nothing to wait for."""
    await asyncio.wait_for(until_silent(client, DATACENTER, CLUSTER, TIMES), 1)


async def test_a_report_of_the_future_does_not_keep_a_cluster_for_an_hour(client: EventClient) -> None:
    """The clock of NATS was an hour ahead and was set back: a watcher that waited took over an hour later."""
    await claim(client, DATACENTER, CLUSTER)
    client.clock = Clock(lambda: datetime.now(UTC) - timedelta(hours=1))
    began_at = time.monotonic()
    await asyncio.wait_for(until_silent(client, DATACENTER, CLUSTER, WatcherTimes(silent_seconds=1.0)), 30)
    assert time.monotonic() - began_at >= 1
