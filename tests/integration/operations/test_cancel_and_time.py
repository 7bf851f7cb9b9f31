"""Operations that are canceled, that expire, that are late, or whose cluster nobody watches: each has one true end."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.operating import TIMES, Operating, declare_elsewhere, watch_another
from support.virtctl import Virtctl
from support.waiting import until
from support.watched import watching

from summit_models.operation import OperationState as S
from summit_runtime.watched_files import FileTimes

GONE = "its migration was deleted: somebody else has aborted it, or its instance has ended"


async def test_a_pending_one_that_was_canceled_is_never_begun(
    nats_url: str, config: Path, operating: Operating, virtctl: Virtctl
) -> None:
    """The cluster is not asked."""
    await virtctl.create("Always")
    id_ = await operating.ask("stop")
    await operating.reaches(id_, "pending")
    await operating.cancel(id_)
    async with watching(nats_url, config, TIMES):
        assert (await operating.end(await operating.ask("pause"))).state == S.SUCCEEDED
    assert (operating.states(id_), operating.effects("stop")) == (["pending", "canceled"], 0)


async def test_one_that_waits_for_its_cluster_is_canceled_before_it_is_asked(
    watched: Operating, virtctl: Virtctl
) -> None:
    """Nothing was sent."""
    await virtctl.create("Always")
    await until(lambda: watched.log.newest("web"))
    virtctl.cluster.faults.refuse_connections()
    id_ = await watched.ask("stop")
    await until(lambda: [s.progress for s in watched.steps(id_)], lambda texts: texts and texts[-1])
    await watched.cancel(id_)
    end = await watched.end(id_)
    assert (end.state, end.message) == (S.CANCELED, "canceled before the cluster was asked")
    await virtctl.cluster.faults.accept_connections()
    assert watched.effects("stop") == 0


@pytest.mark.parametrize("seconds", [1, 8, 16])
async def test_a_migration_in_flight_is_aborted(watched: Operating, virtctl: Virtctl, seconds: int) -> None:
    """Its object is deleted, in whichever phase it is."""
    await virtctl.create("Always")
    node, virtctl.cluster.clock.speed = virtctl.vmi["status"]["nodeName"], 0
    id_ = await watched.ask("migrate")
    await watched.reaches(id_, "running", accepted=True)
    virtctl.cluster.clock.advance(seconds)
    await watched.cancel(id_)
    await until(lambda: [a for a in virtctl.cluster.acts if a.action == "cancel"])
    await virtctl.cluster.settle()
    end = await watched.end(id_)
    assert (end.state, end.message) == (S.CANCELED, "the migration was aborted")
    assert watched.states(id_) == ["pending", "running", "canceling", "canceled"]
    assert virtctl.vmi["status"]["nodeName"] == node


async def test_a_migration_that_succeeds_all_the_same_has_succeeded(watched: Operating, virtctl: Virtctl) -> None:
    """The abort came too late."""
    await virtctl.create("Always")
    virtctl.cluster.clock.speed = 0
    virtctl.cluster.faults.disturb_migrations(ignores_abort=True)
    id_ = await watched.ask("migrate")
    await watched.reaches(id_, "running", accepted=True)
    virtctl.cluster.clock.advance(16)
    await watched.cancel(id_)
    await until(lambda: [a for a in virtctl.cluster.acts if a.action == "cancel"])
    await virtctl.cluster.settle()
    end = await watched.end(id_)
    assert (end.state, end.message) == (S.SUCCEEDED, "it runs on " + virtctl.vmi["status"]["nodeName"])


async def test_operation_goes_on_when_its_cluster_is_declared_in_another_datacenter(
    nats_url: str, config: Path, operating: Operating, virtctl: Virtctl
) -> None:
    """Nobody began it or saw its end, though the cluster was watched and had done it."""
    await virtctl.create("Always")
    virtctl.cluster.clock.speed = 0
    async with watching(nats_url, config, replace(TIMES, files=FileTimes(look_seconds=0.05, settle_seconds=0.05))):
        id_ = await operating.ask("migrate")
        await operating.reaches(id_, "running", accepted=True)
        declare_elsewhere(config)
        await until(lambda: operating.log.epoch(virtctl.cluster.name, datacenter="dc-uppsala"))
        await virtctl.cluster.settle()
        assert (await operating.end(id_)).state == S.SUCCEEDED
        assert (await operating.end(await operating.ask("pause"))).state == S.SUCCEEDED


async def test_a_migration_that_may_not_be_aborted_says_so(watched: Operating, virtctl: Virtctl) -> None:
    """While it goes on and when it has ended: who canceled it wants to know why it was done."""
    await virtctl.create("Always")
    virtctl.cluster.clock.speed = 0
    virtctl.cluster.access.forbid("delete", "virtualmachineinstancemigrations")
    id_ = await watched.ask("migrate")
    await watched.reaches(id_, "running", accepted=True)
    await watched.cancel(id_)
    await until(lambda: watched.newest(id_).operation.progress, lambda text: "cannot be aborted" in (text or ""))
    virtctl.cluster.clock.advance(60)
    await virtctl.cluster.settle()
    end = await watched.end(id_)
    assert end.state == S.SUCCEEDED, end.message
    assert "; it cannot be aborted: " in end.message
    assert end.message.endswith("apply the part summit-connect:operator-migrations of config/rbac/operator.yaml")


async def test_an_abort_that_is_lost_is_sent_again(watched: Operating, virtctl: Virtctl) -> None:
    """Until the cluster has taken it."""
    await virtctl.create("Always")
    virtctl.cluster.clock.speed = 0
    mishap = virtctl.cluster.faults.acts.lose_request("cancel", times=2)
    id_ = await watched.ask("migrate")
    await watched.reaches(id_, "running", accepted=True)
    virtctl.cluster.clock.advance(1)
    await watched.cancel(id_)
    await until(lambda: [a for a in virtctl.cluster.acts if a.action == "cancel"])
    await virtctl.cluster.settle()
    assert ((await watched.end(id_)).state, mishap.met) == (S.CANCELED, 2)


async def test_a_canceled_migration_is_aborted_by_the_next_watcher(
    nats_url: str, config: Path, operating: Operating, virtctl: Virtctl
) -> None:
    """The first one ended meanwhile."""
    await virtctl.create("Always")
    virtctl.cluster.clock.speed = 0
    async with watching(nats_url, config, TIMES):
        id_ = await operating.ask("migrate")
        await operating.reaches(id_, "running", accepted=True)
        await until(virtctl.migrations)
    await operating.cancel(id_)
    async with watching(nats_url, config, TIMES):
        await until(lambda: [a for a in virtctl.cluster.acts if a.action == "cancel"])
        await virtctl.cluster.settle()
        assert (await operating.end(id_)).state == S.CANCELED


async def test_what_cannot_be_aborted_ends_as_it_ends(watched: Operating, virtctl: Virtctl) -> None:
    """A start that was accepted goes on, and its operation says what came of it."""
    await virtctl.create()
    virtctl.cluster.stop_controllers()
    id_ = await watched.ask("start")
    await watched.reaches(id_, "running", accepted=True)
    await watched.cancel(id_)
    virtctl.cluster.start_controllers()
    assert ((await watched.end(id_)).state, watched.states(id_)[-2]) == (S.SUCCEEDED, "canceling")


@pytest.mark.parametrize("seconds", [1, 8, 16])
async def test_a_migration_that_somebody_deletes_fails(watched: Operating, virtctl: Virtctl, seconds: int) -> None:
    """It says that it was not canceled here: nobody asked us to cancel it, so `canceled` is no end that it can have."""
    await virtctl.create("Always")
    virtctl.cluster.clock.speed = 0
    id_ = await watched.ask("migrate")
    await watched.reaches(id_, "running", accepted=True)
    virtctl.cluster.clock.advance(seconds)
    (migration,) = virtctl.migrations()
    virtctl.cluster.delete("virtualmachineinstancemigrations", migration)
    await virtctl.cluster.settle()
    end = await watched.end(id_)
    assert (end.state, end.message) == (S.FAILED, "Live migration aborted by user" if seconds == 16 else GONE)


async def test_one_that_nobody_began_in_time_expires(
    nats_url: str, config: Path, operating: Operating, virtctl: Virtctl
) -> None:
    """A watcher that comes later does not do it any more."""
    await virtctl.create("Always")
    id_ = await operating.ask("stop", seconds=0)
    async with watching(nats_url, config, TIMES):
        end = await operating.end(id_)
    assert (end.state, end.message) == (S.EXPIRED, "no watcher began it in time")
    assert operating.effects("stop") == 0


async def test_one_of_a_cluster_that_is_not_watched_expires(
    nats_url: str, config: Path, operating: Operating, virtctl: Virtctl
) -> None:
    """Any watcher ends it: it was removed from datacenters.yaml, or never was in it."""
    await virtctl.create("Always")
    watch_another(config)
    id_ = await operating.ask("stop", seconds=1)
    async with watching(nats_url, config, TIMES):
        assert (await operating.end(id_)).state == S.EXPIRED


async def test_one_whose_watcher_is_gone_is_ended_after_its_deadline(
    nats_url: str, config: Path, operating: Operating, virtctl: Virtctl
) -> None:
    """By any watcher, which says what is known."""
    await virtctl.create()
    virtctl.cluster.stop_controllers()
    async with watching(nats_url, config, TIMES):
        await operating.watched()
        id_ = await operating.ask("start", seconds=2)
        await operating.reaches(id_, "running", accepted=True)
    watch_another(config)
    async with watching(nats_url, config, TIMES):
        end = await operating.end(id_)
    words = "its watcher is gone: the cluster had accepted it, and nobody saw its end"
    assert (end.state, end.message) == (S.FAILED, words)


async def test_an_expired_one_is_refused_to_the_watcher_that_wants_to_begin_it(
    watched: Operating, virtctl: Virtctl
) -> None:
    """Whoever is first wins: a claim onto an end is not stored."""
    await virtctl.create("Always")
    ids = [await watched.ask("reset", seconds=0.05) for _ in range(10)]
    ends = [await watched.end(id_) for id_ in ids]
    done = [end for end in ends if end.state == S.SUCCEEDED]
    assert watched.effects("reset") == len(done)
    assert {end.state for end in ends} <= {S.SUCCEEDED, S.EXPIRED, S.FAILED}
    assert all(sum(step.has_ended for step in watched.steps(id_)) == 1 for id_ in ids)
