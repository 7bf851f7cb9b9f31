"""Requests and answers that are lost: each operation has one effect and one end, and says what is not known."""

from typing import Any

import pytest
from support.operating import Operating
from support.virtctl import Virtctl
from support.waiting import until

from summit_models.operation import OperationState as S
from summit_watcher.operations.asking import ASKED_AT_ONCE

REPEATABLE: dict[str, tuple[str, dict[str, Any]]] = {
    "start": ("Halted", {}),
    "stop": ("Always", {}),
    "pause": ("Always", {}),
    "migrate": ("Always", {}),
    "resize": ("Always", {"cpu": 2}),
    "delete": ("Always", {}),
}


async def test_requests_to_a_slow_cluster_wait_for_their_turn_and_not_for_a_connection(
    watched: Operating, virtctl: Virtctl
) -> None:
    """Those that found no connection counted as sent and lost after 30 s, and no watch could begin again meanwhile."""
    names = [f"vm-{n}" for n in range(120)]
    for name in names:
        virtctl.cluster.create_vm(name, namespace="prod", run_strategy="Always", disks=())
    await virtctl.cluster.settle()
    await until(lambda: all(map(watched.log.newest, names)))
    held = virtctl.cluster.faults.acts.hold("reset")
    ids = [await watched.ask("reset", name=name) for name in names]
    await until(lambda: held.met == ASKED_AT_ONCE)
    canceled = ids.pop()
    await watched.cancel(canceled)
    assert (await watched.end(canceled)).state == S.CANCELED
    virtctl.cluster.faults.close_streams()
    virtctl.cluster.create_vm("later", namespace="prod")
    await until(lambda: watched.log.newest("later"))
    assert held.met == ASKED_AT_ONCE
    held.release()
    assert {(await watched.end(id_)).state for id_ in ids} == {S.SUCCEEDED}
    assert held.met == len(ids)


@pytest.mark.parametrize("lost", ["lose_answer", "lose_request", "time_out"])
@pytest.mark.parametrize("action", REPEATABLE)
async def test_what_names_its_goal_is_asked_for_again(
    watched: Operating, virtctl: Virtctl, action: str, lost: str
) -> None:
    """One effect, and it succeeds, whether the first request arrived or not."""
    strategy, parameters = REPEATABLE[action]
    await virtctl.create(strategy)
    mishap = getattr(virtctl.cluster.faults.acts, lost)(action, times=1)
    id_ = await watched.ask(action, **parameters)
    end = await watched.end(id_)
    assert (end.state, mishap.met) == (S.SUCCEEDED, 1)
    assert len({str(migration["metadata"]["uid"]) for migration in virtctl.migrations()}) <= 1
    if action != "resize":  # a second patch with the same size changes nothing
        assert watched.effects(action) == 1


async def test_a_restart_whose_answer_is_lost_is_seen_to_be_done(watched: Operating, virtctl: Virtctl) -> None:
    """Another instance runs; it is never asked for again."""
    await virtctl.create("Always")
    mishap = virtctl.cluster.faults.acts.lose_answer("restart")
    id_ = await watched.ask("restart")
    end = await watched.end(id_)
    assert (end.state, end.message.split(" on ")[0]) == (S.SUCCEEDED, "another instance runs")
    assert (watched.effects("restart"), mishap.met) == (1, 1)
    first = next(step.progress for step in watched.steps(id_) if step.progress)
    assert first.startswith("the answer was lost: the connection to ")


async def test_a_restart_that_is_lost_fails_at_its_deadline(watched: Operating, virtctl: Virtctl) -> None:
    """It says that it is not known, and what the cluster shows."""
    await virtctl.create("Always")
    mishap = virtctl.cluster.faults.acts.lose_request("restart")
    end = await watched.end(await watched.ask("restart", seconds=3))
    assert end.state == S.FAILED
    assert end.message.startswith("whether the cluster was asked is not known (the connection to ")
    assert end.message.endswith("and it does not show the effect: Running on " + virtctl.vmi["status"]["nodeName"])
    assert (watched.effects("restart"), mishap.met) == (0, 1)


@pytest.mark.parametrize("lost", ["lose_answer", "lose_request", "time_out"])
@pytest.mark.parametrize("action", ["softreboot", "reset"])
async def test_what_only_the_guest_shows_is_not_guessed(
    watched: Operating, virtctl: Virtctl, action: str, lost: str
) -> None:
    """It fails at once, and says that it is not known; it is never asked for again."""
    await virtctl.create("Always")
    mishap = getattr(virtctl.cluster.faults.acts, lost)(action)
    end = await watched.end(await watched.ask(action))
    assert end.state == S.FAILED
    assert end.message.startswith("whether it was done is not known: the answer of the cluster was lost (")
    assert (watched.effects(action), mishap.met) == (0 if lost == "lose_request" else 1, 1)


async def test_a_cluster_that_cannot_be_reached_is_asked_when_it_is_back(watched: Operating, virtctl: Virtctl) -> None:
    """Also for a restart: nothing was sent. The progress says why it waits."""
    await virtctl.create("Always")
    await until(lambda: watched.log.newest("web"))
    virtctl.cluster.faults.refuse_connections()
    id_ = await watched.ask("restart")
    await until(lambda: [s.progress for s in watched.steps(id_)], lambda texts: texts and texts[-1])
    assert (watched.steps(id_)[-1].progress or "").startswith("asking again: connection refused by ")
    await virtctl.cluster.faults.accept_connections()
    assert (await watched.end(id_)).state == S.SUCCEEDED
    assert watched.effects("restart") == 1


async def test_a_cluster_that_is_away_until_the_deadline_was_never_asked(watched: Operating, virtctl: Virtctl) -> None:
    """It says so, with the reason."""
    await virtctl.create("Always")
    await until(lambda: watched.log.newest("web"))
    virtctl.cluster.faults.refuse_connections()
    end = await watched.end(await watched.ask("restart", seconds=3))
    assert end.state == S.FAILED
    assert end.message.startswith("its time was over before the cluster could be asked: connection refused by ")


async def test_without_virt_api_a_start_waits_for_it(watched: Operating, virtctl: Virtctl) -> None:
    """503 of the aggregation layer."""
    await virtctl.create()
    virtctl.cluster.faults.virt_api_down = True
    id_ = await watched.ask("start")
    await until(lambda: [s.progress for s in watched.steps(id_)], lambda texts: texts and texts[-1])
    virtctl.cluster.faults.virt_api_down = False
    assert (await watched.end(id_)).state == S.SUCCEEDED
    assert watched.effects("start") == 1


async def test_a_second_request_that_is_refused_for_its_own_success_succeeds(
    watched: Operating, virtctl: Virtctl
) -> None:
    """The start was executed, its answer lost, and the next one finds the VM starting."""
    await virtctl.create()
    virtctl.cluster.stop_controllers()
    virtctl.cluster.faults.acts.lose_answer("start", times=1)
    id_ = await watched.ask("start")
    await until(
        lambda: [act.code for act in virtctl.cluster.acts if act.action == "start"], lambda codes: len(codes) > 1
    )
    virtctl.cluster.start_controllers()
    assert (await watched.end(id_)).state == S.SUCCEEDED
    assert watched.effects("start") == 1


async def test_a_resize_of_a_vm_that_changes_meanwhile_is_computed_again(watched: Operating, virtctl: Virtctl) -> None:
    """The patch names the version that it was computed from."""
    await virtctl.create("Always")
    why = "the object has been modified; please apply your changes to the latest version and try again"
    mishap = virtctl.cluster.faults.acts.refuse("resize", 409, why, times=1)
    assert (await watched.end(await watched.ask("resize", cpu=2))).state == S.SUCCEEDED
    assert mishap.met == 1
