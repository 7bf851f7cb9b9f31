"""A watcher that starts again publishes nothing twice, and misses nothing that happened meanwhile.

The cluster's own journal and state are compared with the log as its readers replay it.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support import oracle
from support.oracle import LoggedEvent
from support.tcp_proxy import tcp_proxy
from support.waiting import until
from support.watched import Healths, Log, configure, observing, watching

from summit_simulator.cluster import SimulatedCluster
from summit_watcher.settings import WatcherTimes

VMS = "virtualmachines"


@pytest.fixture
async def cluster() -> AsyncIterator[SimulatedCluster]:
    async with SimulatedCluster("vulcan", bookmark_seconds=0.3) as simulated:
        for name in ("gone", "again", "changed", "same"):
            simulated.create_vm(name, namespace="prod")
        await simulated.start(named("same"))
        await simulated.settle()
        yield simulated


@pytest.fixture
def config(cluster: SimulatedCluster, tmp_path: Path) -> Path:
    return configure(tmp_path, {cluster.name: cluster.write_kubeconfig(tmp_path / "vulcan.yaml")})


def named(name: str) -> dict[str, Any]:
    return {"metadata": {"namespace": "prod", "name": name}}


def vm_events(log: Log) -> list[LoggedEvent]:
    return list(oracle.events_of(log.messages, "vms"))


def verbs_by_uid(events: Iterable[LoggedEvent]) -> dict[str, list[str]]:
    """The verbs of the events of each uid, in order."""
    verbs: dict[str, list[str]] = {}
    for event in events:
        verbs.setdefault(event.uid, []).append(event.verb)
    return verbs


async def stored(healths: Healths, cluster: SimulatedCluster) -> None:
    """Wait until the watcher has stored the position of the whole log."""
    await until(lambda: healths.position(cluster.name, VMS) == str(cluster.store.revision))


@asynccontextmanager
async def after_a_watcher(
    nats_url: str, cluster: SimulatedCluster, config: Path
) -> AsyncIterator[tuple[Log, Healths, list[LoggedEvent]]]:
    """The log and the health of a cluster that a watcher has published and left, and the events of its VMs so far."""
    async with observing(nats_url) as (log, healths):
        async with watching(nats_url, config):
            await log.agrees(cluster)
        await stored(healths, cluster)
        yield log, healths, vm_events(log)


async def meanwhile(cluster: SimulatedCluster) -> dict[str, Any]:
    """Delete, create again, change and create VMs, and let one come and go; give that one."""
    cluster.delete(VMS, named("gone"))
    cluster.delete(VMS, named("again"))
    await cluster.settle()
    cluster.create_vm("again", namespace="prod")
    size = {"spec": {"template": {"spec": {"domain": {"cpu": {"cores": 4, "sockets": 1, "threads": 1}}}}}}
    cluster.patch(VMS, named("changed"), size)
    cluster.create_vm("new", namespace="prod")
    passing = cluster.create_vm("passing", namespace="prod")
    await cluster.settle()
    cluster.delete(VMS, passing)
    await cluster.settle()
    return passing


async def test_a_restart_with_nothing_changed_publishes_no_vm_and_no_datacenter(
    nats_url: str, cluster: SimulatedCluster, config: Path
) -> None:
    """Only the cluster has events, since its next epoch begins."""
    async with after_a_watcher(nats_url, cluster, config) as (log, healths, _):
        before = len(log.messages)
        async with watching(nats_url, config):
            await until(lambda: log.epoch(cluster.name) == 2 and healths.state(cluster.name) == "synced")
            await log.agrees(cluster)
        assert {message.subject for message in log.messages[before:]} == {"summit.clusters.dc-solna.vulcan"}


async def test_each_step_that_happened_meanwhile_is_published(
    nats_url: str, cluster: SimulatedCluster, config: Path
) -> None:
    """Also a VM that came and went: the stored resourceVersion is young enough."""
    async with after_a_watcher(nats_url, cluster, config) as (log, _, before):
        since = cluster.store.revision
        passing = await meanwhile(cluster)
        async with watching(nats_url, config):
            await log.agrees(cluster)
            published = verbs_by_uid(vm_events(log)[len(before) :])
        changed = [change for change in cluster.store.journal if change.resource == VMS and change.revision > since]
        assert published.keys() == {change.uid for change in changed}
        passed = published[passing["metadata"]["uid"]]
        assert (passed[0], passed[-1]) == ("created", "deleted")
        gone = {change.uid for change in changed if change.type == "DELETED"}
        assert {uid for uid, verbs in published.items() if verbs[-1] == "deleted"} == gone
        assert not any(event.final_state_unknown for event in vm_events(log)[len(before) :])


async def test_changes_before_the_oldest_state_of_the_server_are_found_by_comparison(
    nats_url: str, cluster: SimulatedCluster, config: Path
) -> None:
    """Each change is published once, without a VM that came and went. A delete is marked: its last state is unknown."""
    async with after_a_watcher(nats_url, cluster, config) as (log, _, before):
        passing = await meanwhile(cluster)
        cluster.forget_history()
        async with watching(nats_url, config):
            await log.agrees(cluster)
        published = [(event.name, event.verb, event.final_state_unknown) for event in vm_events(log)[len(before) :]]
        assert sorted(published) == [
            ("prod/again", "created", False),
            ("prod/again", "deleted", True),
            ("prod/changed", "updated", False),
            ("prod/gone", "deleted", True),
            ("prod/new", "created", False),
        ]
        assert published.index(("prod/again", "deleted", True)) < published.index(("prod/again", "created", False))
        assert passing["metadata"]["uid"] not in verbs_by_uid(vm_events(log))


async def test_a_watcher_that_stops_stores_its_last_positions_though_nats_answers_slowly(
    nats_url: str, cluster: SimulatedCluster, config: Path
) -> None:
    """It takes the second that it has: the next watcher then continues there."""
    only_at_the_end = WatcherTimes(checkpoint_seconds=600, heartbeat_seconds=600)
    newest = max(int(vm["metadata"]["resourceVersion"]) for vm in cluster.truth(VMS)[VMS].values())
    async with tcp_proxy(nats_url) as proxy, observing(nats_url) as (log, healths):
        async with watching(proxy.url, config, only_at_the_end):
            await log.agrees(cluster)
            assert healths.position(cluster.name, VMS) is None
            proxy.slow_seconds = 0.5
        await until(lambda: int(healths.position(cluster.name, VMS) or 0) >= newest)
