"""Seeded fleets are varied, of realistic size, and the same for the same seed."""

from datetime import UTC, datetime

from summit_simulator import Blast, Life, SimulatedCluster, seed_fleet
from summit_simulator.objects.resources import VIRTUALMACHINEINSTANCES, VIRTUALMACHINES

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
KINDS = ("virtualmachines", "virtualmachineinstances", "virtualmachineinstancemigrations")


def _fleet(name: str = "vulcan", *, vms: int = 150, seed: int = 1) -> SimulatedCluster:
    cluster = SimulatedCluster(name, tls=False, epoch=EPOCH)
    seed_fleet(cluster, vms=vms, seed=seed)
    return cluster


def test_the_same_seed_gives_the_same_fleet() -> None:
    """It is the same to the last byte; another seed or cluster gives another fleet."""
    assert _fleet().truth(*KINDS) == _fleet().truth(*KINDS)
    assert _fleet().truth(*KINDS) != _fleet(seed=2).truth(*KINDS)
    assert not _fleet().truth(*KINDS)["virtualmachines"].keys() & _fleet("romulus").truth()["virtualmachines"].keys()


def test_a_fleet_has_every_state() -> None:
    """Running, stopped, paused and broken ones, and VMIs without a VM."""
    cluster = _fleet(vms=800)
    truth = cluster.truth(*KINDS)
    states = {vm["status"]["printableStatus"] for vm in truth["virtualmachines"].values()}
    assert states >= {"Running", "Stopped", "Paused", "ErrorUnschedulable", "CrashLoopBackOff", "DataVolumeError"}
    assert any("ownerReferences" not in vmi["metadata"] for vmi in truth["virtualmachineinstances"].values())
    assert 0.7 < len(truth["virtualmachineinstances"]) / 800 < 0.9


def test_objects_are_as_large_as_real_ones() -> None:
    """Compare reference sizes: VM 5.8 kB, VMI 7.9 kB."""
    store = _fleet().store
    for resource in (VIRTUALMACHINES, VIRTUALMACHINEINSTANCES):
        sizes = [len(record.data) for record in store.records(resource)]
        assert 5_000 < sum(sizes) / len(sizes) < 9_000


async def test_a_seeded_fleet_is_at_rest() -> None:
    """Nothing is under way until somebody acts."""
    cluster = _fleet()
    before = cluster.store.revision
    await cluster.settle()
    assert cluster.store.revision == before


async def test_life_is_reproducible_and_keeps_the_fleet_whole() -> None:
    """The same seed lives the same life; VMs and VMIs stay consistent."""
    lives = []
    for _ in range(2):
        cluster = _fleet(vms=60)
        life = Life(cluster, seed=7)
        life.wake()
        for _ in range(80):
            life.step()
            cluster.clock.advance(5)
        await cluster.settle()
        lives.append(cluster.truth(*KINDS))
    assert lives[0] == lives[1]
    running = [vm for vm in lives[0]["virtualmachines"].values() if vm["status"]["printableStatus"] == "Running"]
    owners = {
        owner["uid"]
        for vmi in lives[0]["virtualmachineinstances"].values()
        for owner in vmi["metadata"].get("ownerReferences", ())
    }
    assert {vm["metadata"]["uid"] for vm in running} <= owners
    assert not any(vm["metadata"].get("deletionTimestamp") for vm in lives[0]["virtualmachines"].values())


async def test_a_blast_is_in_the_store() -> None:
    """The store holds what it sends, with revision and label."""
    cluster = _fleet(vms=20)
    blast = Blast(cluster, objects=5)
    blast.send(12)
    changed = cluster.store.records(VIRTUALMACHINES)[:5]
    assert [int(record.manifest()["metadata"]["labels"]["blast"]) for record in changed] == [11, 12, 8, 9, 10]
    assert all(record.manifest()["metadata"]["resourceVersion"] == str(record.revision) for record in changed)
    assert await blast.run(events_per_second=2000, seconds=0.05) == 100
