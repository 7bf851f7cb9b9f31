"""A user of NATS who may not publish what happens in one cluster: the others do not notice."""

import os
import signal
from pathlib import Path

import pytest
from support.nats_server import nats_server
from support.waiting import until
from support.watched import configure, observing, watching

from summit_models.cluster import ConnectionState as State
from summit_runtime.nats.connection.bus import NatsTimes
from summit_simulator.cluster import simulated_clusters
from summit_watcher.settings import WatcherTimes

VMS = "virtualmachines"
USERS = """authorization {{ users: [
  {{ user: all, password: p }}
  {{ user: few, password: p, permissions: {{ publish: {{ deny: [{denied}] }} }} }}
] }}"""


async def test_a_cluster_that_may_not_be_published_holds_up_no_other_and_heals(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The other's events and positions are stored; its own wait, are counted, and come when they may."""
    times = WatcherTimes(nats=NatsTimes(denied_retry_seconds=(0.05, 0.2)))
    rights = USERS.format(denied='"ingest.summit.vms.dc-solna.vulcan.>"')
    async with simulated_clusters("vulcan", "romulus") as (vulcan, romulus):
        for cluster in (vulcan, romulus):
            cluster.create_vm("web", namespace="prod")
        config = configure(tmp_path, {c.name: c.write_kubeconfig(tmp_path / c.name) for c in (vulcan, romulus)})
        async with (
            nats_server(tmp_path / "nats", more=rights) as (address, server),
            observing(f"nats://all:p@{address}") as (log, healths),
            watching(f"nats://few:p@{address}", config, times),
        ):
            await log.lives(romulus)
            await until(lambda: healths.position("romulus", VMS))
            vulcan.create_vm("db", namespace="prod")
            await until(lambda: healths.newest["vulcan"].waiting_events)
            await until(lambda: healths.state("vulcan") == State.SYNCED)
            assert healths.position("vulcan", VMS) is None
            file = tmp_path / "nats" / "nats.conf"
            file.write_text(file.read_text().replace(rights, USERS.format(denied="")))
            os.kill(server.pid or 0, signal.SIGHUP)
            await log.agrees(vulcan, romulus)
            await until(lambda: healths.position("vulcan", VMS))
            assert len(romulus.requests_for(VMS)) == 1
    needed = "give that user the permission to publish 'ingest.summit.vms.dc-solna.vulcan.>'"
    assert len([line for line in caplog.messages if needed in line]) == 1


async def test_a_cluster_whose_lease_may_not_be_stored_is_logged_and_holds_up_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody would know else why nobody watches it. It is watched when that is permitted."""
    times = WatcherTimes(lease_answer_seconds=0.2)
    rights = USERS.format(denied='"$KV.summit-leases.cluster.dc-solna.vulcan"')
    async with simulated_clusters("romulus", "vulcan") as clusters:
        config = configure(tmp_path, {c.name: c.write_kubeconfig(tmp_path / c.name) for c in clusters})
        async with (
            nats_server(tmp_path / "nats", more=rights) as (address, server),
            observing(f"nats://all:p@{address}") as (_, healths),
            watching(f"nats://few:p@{address}", config, times),
        ):
            await until(lambda: healths.state("romulus") == State.SYNCED)
            await until(lambda: "NATS does not store leases of clusters (1)" in caplog.text)
            assert healths.state("vulcan") is None
            file = tmp_path / "nats" / "nats.conf"
            file.write_text(file.read_text().replace(rights, USERS.format(denied="")))
            os.kill(server.pid or 0, signal.SIGHUP)
            await until(lambda: healths.state("vulcan") == State.SYNCED)
