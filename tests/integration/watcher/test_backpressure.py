"""NATS away or slow while changes go on: memory is bounded, nothing is lost, and no API server is kept waiting."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from support.oracle import events_of
from support.waiting import until
from support.watched import configure, lists, observing, watching

from summit_models.cluster import ConnectionState as State
from summit_runtime.nats.fair_queue import WINDOW_EVENTS
from summit_simulator.cluster import SimulatedCluster, simulated_clusters
from summit_simulator.objects.manifest import Manifest
from summit_standalone.embedded.nats import embedded_nats
from summit_watcher.listwatch.queue import QUEUE_EVENTS

VMS = "virtualmachines"


async def change(cluster: SimulatedCluster, vm: Manifest, count: int) -> None:
    """Many changes, faster than the thousand a second that is asked for."""
    for number in range(count):
        cluster.patch(VMS, vm, {"metadata": {"labels": {"change": str(number)}}})
        if number % 50 == 0:
            await asyncio.sleep(0)


def streams(cluster: SimulatedCluster) -> int:
    return sum(stream.resource.plural == VMS for stream in cluster.faults.streams)


async def test_a_nats_that_is_away_holds_back_the_watches_and_loses_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A full queue closes its watch on purpose, and it resumes. Each change is published once, without a list."""
    async with simulated_clusters("vulcan", "romulus") as (busy, quiet), AsyncExitStack() as watcher:
        vm = busy.create_vm("busy")
        config = configure(tmp_path, {c.name: c.write_kubeconfig(tmp_path / c.name) for c in (busy, quiet)})
        async with embedded_nats(tmp_path / "nats") as url:
            port = int(url.rpartition(":")[2])
            await watcher.enter_async_context(watching(url, config))
            log, healths = await watcher.enter_async_context(observing(url))
            await log.agrees(busy, quiet)
        changes = WINDOW_EVENTS + 2 * QUEUE_EVENTS
        await change(busy, vm, changes)
        await until(lambda: not streams(busy))
        assert streams(quiet) == 1
        quiet.create_vm("meanwhile")
        async with embedded_nats(tmp_path / "nats", port):
            await log.agrees(busy, quiet)
            await until(lambda: healths.state("vulcan") == State.SYNCED)
            await watcher.aclose()
        assert lists(busy) == lists(quiet) == 1
        assert len([event for event in events_of(log.messages, "vms") if "labels" in event.changes]) == changes
    assert len([line for line in caplog.messages if "changes wait for NATS, which is away or slow" in line]) == 1


async def test_a_watcher_that_starts_without_nats_begins_when_it_is_there(tmp_path: Path) -> None:
    """No part of it needs a restart."""
    async with SimulatedCluster("vulcan") as cluster, AsyncExitStack() as watcher:
        cluster.create_vm("early")
        config = configure(tmp_path, {"vulcan": cluster.write_kubeconfig(tmp_path / "vulcan")})
        async with embedded_nats(tmp_path / "nats") as url:
            port = int(url.rpartition(":")[2])
        await watcher.enter_async_context(watching(url, config))
        async with embedded_nats(tmp_path / "nats", port), observing(url) as (log, _):
            await log.agrees(cluster)
            await watcher.aclose()
