"""An unforeseen failure in one cluster: its state and reason, one line of the log, and no other cluster's trouble."""

import asyncio
import logging
from pathlib import Path

import pytest
from pydantic import SecretStr
from support.waiting import until
from support.watched import QUICK, configure, has_lease, observing

from summit_models.watcher import Place
from summit_runtime.nats.connection import bus
from summit_runtime.nats.publishing.publisher import publishing
from summit_simulator.cluster import SimulatedCluster
from summit_watcher.cluster import ClusterWatcher, HasLease
from summit_watcher.config.datacenters import ClusterConfig, load
from summit_watcher.kube.identity import Identities
from summit_watcher.listwatch.page_slots import PageSlots
from summit_watcher.operations.feed import OperationFeed
from summit_watcher.settings import WatcherTimes
from summit_watcher.supervisor import Supervisor

IMPOSSIBLE = WatcherTimes(watch_seconds=(300, 240))
"""random.randint raises ValueError within the list-watches: nobody expects it there."""


async def test_what_ends_the_task_of_a_cluster_becomes_its_state_and_ends_no_other(
    nats_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is retried, and logged once; the traceback is at DEBUG."""
    caplog.set_level(logging.DEBUG, "summit")
    async with (
        SimulatedCluster("vulcan") as broken,
        SimulatedCluster("romulus") as healthy,
        observing(nats_url) as (log, healths),
        bus.connected(SecretStr(nats_url), name="watcher") as client,
        publishing(client) as publisher,
        asyncio.TaskGroup() as tasks,
    ):
        healthy.create_vm("web", namespace="prod")
        await healthy.settle()

        def watcher(cluster: ClusterConfig, has_lease: HasLease) -> ClusterWatcher:
            times = IMPOSSIBLE if cluster.name == "vulcan" else QUICK
            return ClusterWatcher(
                cluster,
                client,
                publisher,
                times,
                PageSlots(times.slow_page_seconds),
                Identities(),
                OperationFeed(client),
                has_lease,
            )

        async def retire(_: Place) -> None: ...

        files = {c.name: c.write_kubeconfig(tmp_path / c.name) for c in (broken, healthy)}
        supervisor = Supervisor(tasks, watcher, retire, QUICK)
        await supervisor.declare(load(configure(tmp_path, files)).datacenters)
        for place in supervisor.declared:
            supervisor.begin(place, has_lease)
        await until(lambda: log.epoch("vulcan") > 1)  # it was tried again
        await until(lambda: healths.state("vulcan") == "backoff")
        assert "unforeseen, please report it: ValueError" in (healths.newest["vulcan"].reason or "")
        healthy.create_vm("later", namespace="prod")
        await log.agrees(healthy)
        await until(lambda: healths.state("romulus") == "synced")
        for place in supervisor.declared:
            await supervisor.end(place)
    lines = [r for r in caplog.records if "unforeseen" in r.getMessage() and r.levelno > logging.DEBUG]
    assert [line.getMessage().partition(" (")[0] for line in lines] == ["cluster vulcan is failing"]
    tracebacks = [r for r in caplog.records if r.exc_info and "its watcher failed" in r.getMessage()]
    assert [r.levelno for r in tracebacks] == [logging.DEBUG]
