"""Clocks of machines that are wrong: all times are those of NATS, and the wrong clock is shown."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.projecting import publisher
from support.waiting import until
from support.watched import QUICK, configure, observing, watching

from summit_api.freshness import STALE_AFTER, Freshness, follow
from summit_models.contract import ClusterName
from summit_runtime.nats.connection.clock import Clock
from summit_runtime.waiting import end
from summit_simulator.cluster import SimulatedCluster

VULCAN = ClusterName("vulcan")
DAY = timedelta(days=1)
TEN_MINUTES = timedelta(minutes=10)
SECOND = timedelta(seconds=1)


def now() -> datetime:
    return datetime.now(UTC)


def wrong(by: timedelta) -> Clock:
    """The clock of a machine that is ahead by so much."""
    return Clock(lambda: now() + by)


@pytest.fixture
async def cluster() -> AsyncIterator[SimulatedCluster]:
    async with SimulatedCluster(VULCAN) as cluster:
        cluster.create_vm("web", namespace="prod")
        await cluster.settle()
        yield cluster


@pytest.mark.parametrize("by", [DAY, -TEN_MINUTES], ids=["a day ahead", "ten minutes behind"])
@pytest.mark.parametrize("api_by", [timedelta(0), DAY, -TEN_MINUTES], ids=["api right", "api ahead", "api behind"])
async def test_a_watcher_with_a_wrong_clock_is_fresh_while_it_lives_and_stale_when_it_is_killed(
    cluster: SimulatedCluster, nats_url: str, tmp_path: Path, by: timedelta, api_by: timedelta
) -> None:
    """Nor does the clock of the api decide."""
    config = configure(tmp_path, {VULCAN: cluster.write_kubeconfig(tmp_path / "vulcan")})
    freshness = Freshness(wrong(api_by))
    async with publisher(nats_url) as client:
        await freshness.clock.ask(client)
        following = asyncio.create_task(follow(client, freshness))
        async with watching(nats_url, config, QUICK, clock=wrong(by)):
            await until(lambda: freshness.moment(now() + api_by).fresh_clusters == {VULCAN})
        ((health, _),) = freshness.reports()
        assert health.clock_offset_seconds == by.total_seconds()
        assert health.last_contact
        assert abs(health.last_contact - now()) < 30 * SECOND
        assert freshness.moment(now() + api_by + STALE_AFTER + SECOND).fresh_clusters == frozenset()
        await end(following)


async def test_a_history_stays_in_order_when_watchers_with_other_clocks_follow_each_other(
    cluster: SimulatedCluster, nats_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names the machine's clock once, and nothing else about it."""
    caplog.set_level(logging.INFO, "summit")
    config = configure(tmp_path, {VULCAN: cluster.write_kubeconfig(tmp_path / "vulcan")})
    async with observing(nats_url) as (log, _):
        for number, by in enumerate((DAY, -TEN_MINUTES, timedelta(0))):
            async with watching(nats_url, config, QUICK, clock=wrong(by)):
                cluster.create_vm(f"web-{number}", namespace="prod")
                await log.agrees(cluster)
    histories: dict[str, list[datetime]] = {}
    for message in log.messages:  # those of two subjects are made side by side, and may be stored in another order
        histories.setdefault(message.subject, []).append(datetime.fromisoformat(json.loads(message.body)["time"]))
    assert all(times == sorted(times) for times in histories.values())
    assert all(abs(time - now()) < 60 * SECOND for times in histories.values() for time in times)
    lines = [line for line in caplog.messages if "clock of this machine" in line]
    assert [line.partition(":")[0] for line in lines] == [
        "the clock of this machine is 86400 s ahead of that of NATS",
        "the clock of this machine is 600 s behind that of NATS",
    ]
