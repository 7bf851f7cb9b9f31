"""What a watcher knows of its predecessors: nothing is told twice, and nothing that happened meanwhile is missed.

The oracle is the cluster's own journal and state, against the log as its readers replay it.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support import oracle
from support.oracle import Told
from support.waiting import until
from support.watched import Healths, Log, configure, observing, watching

from summit_simulator.cluster import SimulatedCluster

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


def vm_events(log: Log) -> list[Told]:
    return list(oracle.told(log.messages, "vms"))


def stories(events: Iterable[Told]) -> dict[str, list[str]]:
    """What was told of each uid, in order."""
    told: dict[str, list[str]] = {}
    for event in events:
        told.setdefault(event.uid, []).append(event.verb)
    return told


async def stored(healths: Healths, cluster: SimulatedCluster) -> None:
    """Wait until the watcher has noted that the log holds all that there is."""
    await until(lambda: healths.position(cluster.name, VMS) == str(cluster.store.revision))


@asynccontextmanager
async def after_a_watcher(
    nats_url: str, cluster: SimulatedCluster, config: Path
) -> AsyncIterator[tuple[Log, Healths, list[Told]]]:
    """The log and the health of a cluster that a watcher has told all of and left, and what it has told of VMs."""
    async with observing(nats_url) as (log, healths):
        async with watching(nats_url, config):
            await log.agrees(cluster)
        await stored(healths, cluster)
        yield log, healths, vm_events(log)


async def meanwhile(cluster: SimulatedCluster) -> dict[str, Any]:
    """Deletes, makes again, changes, creates, and lets one come and go; gives that one."""
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


async def test_a_restart_with_nothing_changed_tells_nothing_of_any_vm(
    nats_url: str, cluster: SimulatedCluster, config: Path
) -> None:
    """Only of the cluster, whose next epoch begins."""
    async with after_a_watcher(nats_url, cluster, config) as (log, healths, before):
        async with watching(nats_url, config):
            await until(lambda: log.epoch(cluster.name) == 2 and healths.state(cluster.name) == "synced")
            await log.agrees(cluster)
        assert vm_events(log) == before


async def test_what_happened_meanwhile_is_told_step_by_step(
    nats_url: str, cluster: SimulatedCluster, config: Path
) -> None:
    """Also what came and went, and each as often as it happened: the stored resourceVersion is not too old."""
    async with after_a_watcher(nats_url, cluster, config) as (log, _, before):
        since = cluster.store.revision
        passing = await meanwhile(cluster)
        async with watching(nats_url, config):
            await log.agrees(cluster)
            told = stories(vm_events(log)[len(before) :])
        changed = [change for change in cluster.store.journal if change.resource == VMS and change.revision > since]
        assert told.keys() == {change.uid for change in changed}
        passed = told[passing["metadata"]["uid"]]
        assert (passed[0], passed[-1]) == ("created", "deleted")
        gone = {change.uid for change in changed if change.type == "DELETED"}
        assert {uid for uid, verbs in told.items() if verbs[-1] == "deleted"} == gone
        assert not any(event.final_state_unknown for event in vm_events(log)[len(before) :])


async def test_what_happened_before_the_server_remembers_is_found_by_comparison(
    nats_url: str, cluster: SimulatedCluster, config: Path
) -> None:
    """Each change once; what came and went nobody can know; deletes say that their last state was not seen."""
    async with after_a_watcher(nats_url, cluster, config) as (log, _, before):
        passing = await meanwhile(cluster)
        cluster.forget_history()
        async with watching(nats_url, config):
            await log.agrees(cluster)
        told = [(event.name, event.verb, event.final_state_unknown) for event in vm_events(log)[len(before) :]]
        assert sorted(told) == [
            ("prod/again", "created", False),
            ("prod/again", "deleted", True),
            ("prod/changed", "updated", False),
            ("prod/gone", "deleted", True),
            ("prod/new", "created", False),
        ]
        assert told.index(("prod/again", "deleted", True)) < told.index(("prod/again", "created", False))
        assert passing["metadata"]["uid"] not in stories(vm_events(log))
