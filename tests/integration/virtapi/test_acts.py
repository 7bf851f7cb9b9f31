"""Requests that are slow, refused, lost, or executed without an answer: by the switches of `cluster.faults.acts`."""

import asyncio
from typing import Any

import aiohttp
import pytest
from support.simulator_client import Unanswered
from support.virtctl import MIGRATIONS, PLACE, WEB, Virtctl, refusal
from support.waiting import until

# action → the run strategy in which it is possible
ACTIONS = {
    "start": "Halted",
    "stop": "Always",
    "restart": "Always",
    "pause": "Always",
    "unpause": "Always",
    "softreboot": "Always",
    "reset": "Always",
    "migrate": "Always",
    "resize": "Always",
    "delete": "Always",
    "cancel": "Always",
}


async def _prepare(virtctl: Virtctl, action: str) -> None:
    await virtctl.create(ACTIONS[action])
    if action == "unpause":
        await virtctl.ask("pause")
    elif action == "cancel":
        await virtctl.migrate()


async def _request(virtctl: Virtctl, action: str) -> Any:
    match action:
        case "migrate":
            return await virtctl.migrate()
        case "resize":
            return await virtctl.resize(cpu={"sockets": 2})
        case "delete":
            return await virtctl.client.request("DELETE", WEB)
        case "cancel":
            return await virtctl.client.request("DELETE", f"{MIGRATIONS}/m")
        case _:
            return await virtctl.ask(action)


def _count(virtctl: Virtctl, action: str) -> int:
    return len([act for act in virtctl.cluster.acts if act.action == action and act.code < 400])


@pytest.mark.parametrize("action", ACTIONS)
async def test_an_answer_is_lost_after_the_effect(virtctl: Virtctl, action: str) -> None:
    """The connection breaks, and it happened exactly once; the next request is answered."""
    await _prepare(virtctl, action)
    mishap = virtctl.cluster.faults.acts.lose_answer(action, times=1)
    revision = virtctl.cluster.store.revision
    with pytest.raises(Unanswered):
        await _request(virtctl, action)
    assert (_count(virtctl, action), mishap.met) == (1, 1)
    assert virtctl.cluster.store.revision > revision
    await _request(virtctl, action)
    assert mishap.met == 1


@pytest.mark.parametrize("action", ACTIONS)
async def test_a_request_is_lost_before_the_effect(virtctl: Virtctl, action: str) -> None:
    """The connection breaks just the same, and nothing happened."""
    await _prepare(virtctl, action)
    virtctl.cluster.faults.acts.lose_request(action)
    revision = virtctl.cluster.store.revision
    with pytest.raises(Unanswered):
        await _request(virtctl, action)
    assert (_count(virtctl, action), virtctl.cluster.store.revision) == (0, revision)


@pytest.mark.parametrize("executes", [True, False])
async def test_a_504_says_nothing_about_the_effect(virtctl: Virtctl, executes: bool) -> None:
    """The same answer, with and without it."""
    await virtctl.create("Always")
    before = virtctl.vmi["metadata"]["uid"]
    virtctl.cluster.faults.acts.time_out("restart", executes=executes)
    answer = await virtctl.ask("restart")
    assert (refusal(answer)[0], answer.json()["reason"]) == (504, "Timeout")
    await virtctl.cluster.settle()
    assert (virtctl.vmi["metadata"]["uid"] != before) is executes


async def test_a_held_answer_comes_when_it_is_released(virtctl: Virtctl) -> None:
    """It is executed at once; a caller that goes away meanwhile does not take it back."""
    await virtctl.create("Always")
    mishap = virtctl.cluster.faults.acts.hold("restart")
    waiting = asyncio.ensure_future(virtctl.ask("restart"))
    await until(lambda: _count(virtctl, "restart"))
    assert not waiting.done()
    mishap.release()
    assert (await waiting).code == 202
    assert _count(virtctl, "restart") == 1


async def test_a_slow_request_is_executed_though_its_caller_has_hung_up(virtctl: Virtctl) -> None:
    """It arrives late, when nobody waits for it any more."""
    await virtctl.create("Always")
    virtctl.cluster.faults.acts.slow("stop", 0.2)
    with pytest.raises(TimeoutError):
        await virtctl.ask("stop", timeout=aiohttp.ClientTimeout(0.05))
    assert virtctl.vm["spec"]["runStrategy"] == "Always"
    await until(lambda: virtctl.vm["spec"]["runStrategy"] == "Halted")


@pytest.mark.parametrize("code", [400, 403, 409, 422, 500])
@pytest.mark.parametrize("action", ["start", "migrate", "resize"])
async def test_a_refusal_has_the_given_code_and_words(virtctl: Virtctl, action: str, code: int) -> None:
    """Nothing is executed; a dry run is never spoilt."""
    await _prepare(virtctl, action)
    virtctl.cluster.faults.acts.refuse(action, code, "not on a Sunday")
    assert refusal(await _request(virtctl, action)) == (code, "not on a Sunday")
    assert _count(virtctl, action) == 0
    assert (await virtctl.resize(query="?dryRun=All", cpu={"sockets": 2})).code == 200


@pytest.mark.parametrize("code", [400, 403, 422])
async def test_a_webhook_refuses_writes_and_virt_api_wraps_what_it_says(virtctl: Virtctl, code: int) -> None:
    """A PATCH gets its code; start, which is a write of virt-api, gets a 500."""
    await virtctl.create()
    for action in ("resize", "start"):
        virtctl.cluster.faults.acts.refuse(action, code, "no budget", webhook="policy.example.com")
    denied = 'admission webhook "policy.example.com" denied the request: no budget'
    assert refusal(await virtctl.resize(cpu={"sockets": 2})) == (code, denied)
    assert refusal(await virtctl.ask("start")) == (500, f"Internal error occurred: {denied}")


async def test_a_mishap_is_for_one_vm_if_it_names_one(virtctl: Virtctl) -> None:
    """The others are answered."""
    await virtctl.create()
    virtctl.cluster.create_vm("db", namespace="prod")
    virtctl.cluster.faults.acts.refuse("start", 409, name="db")
    assert (await virtctl.ask("start", name="db")).code == 409
    assert (await virtctl.ask("start")).code == 202


async def test_what_has_ended_spoils_nothing(virtctl: Virtctl) -> None:
    """One mishap, or all faults."""
    await virtctl.create()
    first = virtctl.cluster.faults.acts.refuse("start", 409)
    virtctl.cluster.faults.acts.refuse("stop", 409, "later")
    virtctl.cluster.faults.acts.end(first)
    assert (await virtctl.ask("start")).code == 202
    assert refusal(await virtctl.ask("stop"))[1] == "later"
    await virtctl.cluster.faults.clear()
    assert (await virtctl.ask("stop")).code == 202


async def test_without_virt_api_writes_fail_and_watches_go_on(virtctl: Virtctl) -> None:
    """503 in plain text from the aggregation layer, 500 for a webhook that cannot be called."""
    await virtctl.create("Always")
    async with virtctl.client.watch() as watch:
        await watch.event()
        virtctl.cluster.faults.virt_api_down = True
        answer = await virtctl.ask("stop")
        assert (answer.code, answer.body) == (503, b"service unavailable\n")
        for answer in (await virtctl.migrate(), await virtctl.resize(cpu={"sockets": 2})):
            code, message = refusal(answer)
            assert (code, message.startswith("Internal error occurred: failed calling webhook")) == (500, True)
        virtctl.cluster.request("stop", PLACE)
        assert (await watch.event())[0] == "MODIFIED"


async def test_each_act_is_noted_with_its_user_and_code(virtctl: Virtctl) -> None:
    """Refusals and dry runs are noted as such, and do not count as effects."""
    await virtctl.create()
    await virtctl.ask("start", {"dryRun": ["All"]})
    await virtctl.ask("stop")
    await virtctl.ask("start")
    noted = [(act.action, act.user, act.dry_run, act.code) for act in virtctl.cluster.acts]
    assert noted == [("start", "admin", True, 202), ("stop", "admin", False, 409), ("start", "admin", False, 202)]
    assert [act.action for act in virtctl.cluster.acts_on(PLACE)] == ["start"]
    assert virtctl.cluster.acts_on(PLACE, "stop") == []
