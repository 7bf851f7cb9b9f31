"""NATS away or slow while changes go on: memory is bounded, nothing is lost, and no API server is kept waiting."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.js.api import DiscardPolicy
from support.oracle import events_of
from support.projecting import publisher
from support.waiting import until
from support.watched import configure, lists, observing, watching

from summit_models.cluster import ClusterHealth
from summit_models.cluster import ConnectionState as State
from summit_models.subject import STREAM
from summit_runtime.nats.publishing.fair_queue import WINDOW_EVENTS
from summit_simulator.cluster import SimulatedCluster, simulated_clusters
from summit_simulator.objects.manifest import Manifest
from summit_standalone.embedded.nats import embedded_nats
from summit_watcher.listwatch.queue import QUEUE_EVENTS
from summit_watcher.settings import WatcherTimes

VMS = "virtualmachines"
LATE = "changes wait for NATS, which is away or slow"


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
        await until(lambda: LATE in caplog.text)
        quiet.create_vm("meanwhile")
        async with embedded_nats(tmp_path / "nats", port):
            await log.agrees(busy, quiet)
            await until(lambda: healths.state("vulcan") == State.SYNCED)
            await watcher.aclose()
        assert lists(busy) == lists(quiet) == 1
        assert len([event for event in events_of(log.messages, "vms") if "labels" in event.changes]) == changes
    assert caplog.text.count(LATE) == 1


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


async def refuse_events(client: Client, *, refused: bool = True) -> None:
    """Let the stream take no event more than it has, as an operator's limit would, or any number."""
    info = await client.jetstream().stream_info(STREAM)
    limit = {"max_msgs": info.state.messages, "discard": DiscardPolicy.NEW} if refused else {"max_msgs": -1}
    await client.jetstream().update_stream(replace(info.config, **limit))


def contact(health: ClusterHealth) -> datetime:
    """Up to when readers may know its VMs."""
    assert health.last_contact
    return health.last_contact


def contact_of_the_watch(health: ClusterHealth) -> datetime:
    """When the watch of VMs received its last byte."""
    (vms,) = [resource for resource in health.resources if resource.resource == VMS]
    assert vms.last_contact
    return vms.last_contact


async def test_cluster_whose_changes_are_not_stored_does_not_look_synced(tmp_path: Path, nats_url: str) -> None:
    """NATS took its heartbeats, which said so, and none of its changes: its VMs looked fresh for ever."""
    times = WatcherTimes(late_seconds=1, heartbeat_seconds=0.1)
    async with (
        SimulatedCluster("vulcan") as cluster,
        publisher(nats_url) as client,
        observing(nats_url) as (log, healths),
    ):
        config = configure(tmp_path, {"vulcan": cluster.write_kubeconfig(tmp_path / "vulcan")})
        cluster.create_vm("web")

        def vulcan() -> ClusterHealth:
            return healths.newest["vulcan"]

        async with watching(nats_url, config, times):
            await log.agrees(cluster)
            await until(lambda: healths.state("vulcan") == State.SYNCED)
            await refuse_events(client)
            cluster.create_vm("db")
            await until(lambda: healths.state("vulcan") == State.BACKPRESSURE)
            held_back = vulcan()
            assert held_back.reason == "NATS has not stored its changes for 1 s and more"
            cluster.create_vm("later")
            await until(lambda: contact_of_the_watch(vulcan()) > contact(vulcan()) + timedelta(seconds=0.5))
            assert contact(vulcan()) - contact(held_back) < timedelta(seconds=0.5), "it becomes stale by that"
            await refuse_events(client, refused=False)
            await log.agrees(cluster)
            await until(lambda: healths.state("vulcan") == State.SYNCED)
            assert contact(vulcan()) == contact_of_the_watch(vulcan())
