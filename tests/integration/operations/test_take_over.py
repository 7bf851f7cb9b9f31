"""A watcher that ends at any step of an operation: the next one finishes it, with one effect and one end."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from support.operating import TIMES, Operating
from support.virtctl import Virtctl
from support.waiting import until
from support.watched import watching
from support.watcher_process import WatcherProcess, watcher_process

from summit_models.operation import OperationState as S
from summit_simulator.api.mishaps import Mishap
from summit_watcher.main import watch
from summit_watcher.operations.asking import ASKED_AT_ONCE
from summit_watcher.settings import WatcherSettings

# action → run strategy, parameters, and whether a second request is harmless
ACTIONS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "start": ("Halted", {}, True),
    "stop": ("Always", {}, True),
    "restart": ("Always", {}, False),
    "pause": ("Always", {}, True),
    "softreboot": ("Always", {}, False),
    "reset": ("Always", {}, False),
    "migrate": ("Always", {}, True),
    "resize": ("Always", {"cpu": 2}, True),
    "delete": ("Always", {}, True),
}
TARGETS = ("namespaces/prod/virtualmachines/web", "namespaces/prod/virtualmachineinstances/web")


@asynccontextmanager
async def watcher_to_kill(nats_url: str, config: Path) -> AsyncIterator[None]:
    """Run a watcher, and end it at the end of the block wherever it is, without an answer to what it has asked."""
    chosen = WatcherSettings.model_validate({"NATS_URL": SecretStr(nats_url), "config": config})
    task = asyncio.create_task(watch(chosen, asyncio.Event(), TIMES))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def claim_and_hold(operating: Operating, virtctl: Virtctl, action: str, **parameters: Any) -> Any:
    """Ask for an operation, which is claimed and not asked of the cluster: the read of the VM has no answer."""
    await until(lambda: operating.log.newest("web"))
    for target in TARGETS:
        virtctl.cluster.faults.withhold(target)
    id_ = await operating.ask(action, **parameters)
    await operating.reaches(id_, "running")
    return id_


async def ask_and_hold(operating: Operating, virtctl: Virtctl, action: str, **parameters: Any) -> tuple[Any, Mishap]:
    """Ask for an operation, which the cluster executes without an answer."""
    mishap = virtctl.cluster.faults.acts.hold(action)
    id_ = await operating.ask(action, **parameters)
    await until(lambda: mishap.met)
    return id_, mishap


async def test_those_that_wait_for_their_turn_are_begun_by_the_next(
    nats_url: str, config: Path, operating: Operating, virtctl: Virtctl
) -> None:
    """They were claimed before: of 400 restarts, 250 were never asked of the cluster, and nobody knew that of them."""
    cluster, names = virtctl.cluster, [f"vm-{n}" for n in range(ASKED_AT_ONCE + 10)]
    for name in names:
        cluster.create_vm(name, namespace="prod", run_strategy="Always", disks=())
    await cluster.settle()
    held = cluster.faults.acts.hold("reset")
    async with watcher_to_kill(nats_url, config):
        await until(lambda: all(map(operating.log.newest, names)))
        ids = [await operating.ask("reset", name=name) for name in names]
        await until(lambda: held.met == ASKED_AT_ONCE)
    cluster.faults.acts.end(held)
    async with watching(nats_url, config, TIMES):
        ends = [(await operating.end(id_)).state for id_ in ids]
    assert ends == [S.FAILED] * ASKED_AT_ONCE + [S.SUCCEEDED] * 10


async def wake_up(zombie: WatcherProcess) -> None:
    """Let a suspended watcher go on, until it has learned that it has lost the cluster, and ends its session."""
    zombie.send(signal.SIGCONT)
    await zombie.logs("has its lease now")


@pytest.mark.parametrize("action", ACTIONS)
async def test_one_that_nobody_has_begun_is_begun_by_the_next(
    nats_url: str, config: Path, operating: Operating, virtctl: Virtctl, action: str
) -> None:
    """It waits in the log."""
    strategy, parameters, _ = ACTIONS[action]
    await virtctl.create(strategy)
    id_ = await operating.ask(action, **parameters)
    async with watching(nats_url, config, TIMES):
        assert (await operating.end(id_)).state == S.SUCCEEDED
    assert operating.effects(action) == 1


@pytest.mark.parametrize("action", ACTIONS)
async def test_one_that_was_claimed_and_not_asked(
    nats_url: str, config: Path, operating: Operating, virtctl: Virtctl, action: str
) -> None:
    """It is asked for by the next watcher, unless twice would be too often: then it says that it is not known."""
    strategy, parameters, is_repeatable = ACTIONS[action]
    await virtctl.create(strategy)
    async with watcher_to_kill(nats_url, config):
        id_ = await claim_and_hold(operating, virtctl, action, seconds=30 if is_repeatable else 4, **parameters)
    await virtctl.cluster.faults.clear()
    async with watching(nats_url, config, TIMES):
        end = await operating.end(id_)
    assert (end.state, operating.effects(action)) == ((S.SUCCEEDED, 1) if is_repeatable else (S.FAILED, 0))
    assert is_repeatable or end.message.startswith("whether ")
    assert len({step.executor for step in operating.steps(id_)} - {None}) == 2


@pytest.mark.parametrize("action", ACTIONS)
async def test_one_that_was_asked_and_not_answered(
    nats_url: str, config: Path, operating: Operating, virtctl: Virtctl, action: str
) -> None:
    """Its effect is seen, or asking again has none; only what nobody can see stays unknown."""
    strategy, parameters, _ = ACTIONS[action]
    await virtctl.create(strategy)
    async with watcher_to_kill(nats_url, config):
        id_, mishap = await ask_and_hold(operating, virtctl, action, **parameters)
    virtctl.cluster.faults.acts.end(mishap)
    async with watching(nats_url, config, TIMES):
        end = await operating.end(id_)
    is_invisible = action in ("softreboot", "reset")
    assert end.state == (S.FAILED if is_invisible else S.SUCCEEDED)
    if action != "resize":  # a second patch with the same size changes nothing
        assert operating.effects(action) == 1


@pytest.mark.parametrize("action", ["softreboot", "reset"])
async def test_a_watcher_that_is_told_to_stop_waits_for_the_answer(
    nats_url: str, config: Path, operating: Operating, virtctl: Virtctl, action: str
) -> None:
    """Else nobody would know whether it was done: an upgrade of the watchers must not do that to people."""
    await virtctl.create("Always")
    async with watching(nats_url, config, TIMES):
        await until(lambda: operating.log.newest("web"))
        mishap = virtctl.cluster.faults.acts.slow(action, 0.2)
        id_ = await operating.ask(action)
        await until(lambda: mishap.met)
    async with watching(nats_url, config, TIMES):
        assert (await operating.end(id_)).state == S.SUCCEEDED
    assert operating.effects(action) == 1


@pytest.mark.parametrize("action", ["start", "stop", "restart", "migrate", "delete"])
async def test_one_that_was_accepted_is_observed_to_its_end(
    nats_url: str, config: Path, operating: Operating, virtctl: Virtctl, action: str
) -> None:
    """Nothing is asked again."""
    strategy, parameters, _ = ACTIONS[action]
    await virtctl.create(strategy)
    virtctl.cluster.stop_controllers()
    async with watcher_to_kill(nats_url, config):
        id_ = await operating.ask(action, **parameters)
        await operating.reaches(id_, "running", accepted=True)
    virtctl.cluster.start_controllers()
    async with watching(nats_url, config, TIMES):
        assert (await operating.end(id_)).state == S.SUCCEEDED
    assert operating.effects(action) == 1


@pytest.mark.parametrize("action", ["restart", "start"])
async def test_a_killed_process_leaves_one_effect_and_one_end(
    nats_url: str, config: Path, operating: Operating, virtctl: Virtctl, action: str
) -> None:
    """SIGKILL while the cluster executes the request."""
    await virtctl.create(ACTIONS[action][0])
    async with watcher_process(config, nats_url) as process:
        id_, mishap = await ask_and_hold(operating, virtctl, action)
        process.send(signal.SIGKILL)
        await process.process.wait()
    virtctl.cluster.faults.acts.end(mishap)
    async with watching(nats_url, config, TIMES):
        assert (await operating.end(id_)).state == S.SUCCEEDED
    assert (operating.effects(action), operating.states(id_)) == (1, ["pending", "running", "succeeded"])


@pytest.mark.parametrize("action", ["restart", "start", "reset"])
async def test_a_zombie_that_wakes_up_asks_for_nothing(
    nats_url: str, config: Path, operating: Operating, virtctl: Virtctl, action: str
) -> None:
    """SIGSTOP between claim and request, SIGCONT when another watcher has ended the operation."""
    await virtctl.create(ACTIONS[action][0])
    async with watcher_process(config, nats_url) as process:
        id_ = await claim_and_hold(operating, virtctl, action, seconds=5)
        process.send(signal.SIGSTOP)
        await virtctl.cluster.faults.clear()
        async with watching(nats_url, config, TIMES):
            end = await operating.end(id_)
            before = operating.effects(action)
            await wake_up(process)
            assert operating.effects(action) == before == (1 if action == "start" else 0)
    assert (end.state, operating.newest(id_).operation) == (S.SUCCEEDED if action == "start" else S.FAILED, end)


async def test_a_zombie_whose_request_was_on_its_way_makes_no_second_end(
    nats_url: str, config: Path, operating: Operating, virtctl: Virtctl
) -> None:
    """SIGSTOP before the answer of a restart, which another watcher has seen to be done."""
    await virtctl.create("Always")
    async with watcher_process(config, nats_url) as process:
        id_, mishap = await ask_and_hold(operating, virtctl, "restart")
        process.send(signal.SIGSTOP)
        async with watching(nats_url, config, TIMES):
            end = await operating.end(id_)
            virtctl.cluster.faults.acts.end(mishap)
            await wake_up(process)
    assert (end.state, operating.newest(id_).operation, operating.effects("restart")) == (S.SUCCEEDED, end, 1)


async def test_two_watchers_of_one_cluster_do_an_operation_once(
    nats_url: str, config: Path, operating: Operating, virtctl: Virtctl
) -> None:
    """The second is a spare: the first has the lease, and operations are done once each."""
    await virtctl.create("Always")
    async with watching(nats_url, config, TIMES), watching(nats_url, config, TIMES):
        for count in range(1, 6):
            id_ = await operating.ask("reset")
            assert (await operating.end(id_)).state == S.SUCCEEDED
            assert operating.effects("reset") == count
