"""What the cluster refuses ends as failed, with the cluster's own words, and is asked for once."""

from typing import Any

import pytest
from support.operating import Operating
from support.virtctl import PLACE, Virtctl

from summit_models.operation import OperationState as S

STRATEGY = {"start": "Halted"}
PARAMETERS: dict[str, dict[str, Any]] = {"resize": {"cpu": 2}}
ACTIONS = ("start", "stop", "restart", "pause", "softreboot", "reset", "migrate", "resize", "delete")
CONFLICT = 'Operation cannot be fulfilled on virtualmachine{}.kubevirt.io "web": '


async def refused(watched: Operating, action: str, **parameters: Any) -> str:
    """Ask, and return the last word on what must fail."""
    end = await watched.end(await watched.ask(action, **parameters))
    assert (end.state, end.accepted) == (S.FAILED, False)
    return end.message


@pytest.mark.parametrize("code", [400, 403, 409, 422, 500])
@pytest.mark.parametrize("action", ACTIONS)
async def test_a_refusal_is_in_the_words_of_the_cluster(
    watched: Operating, virtctl: Virtctl, action: str, code: int
) -> None:
    """Whatever its code; the first answer is the last."""
    await virtctl.create(STRATEGY.get(action, "Always"))
    mishap = virtctl.cluster.faults.acts.refuse(action, code, "not on a Sunday")
    assert await refused(watched, action, **PARAMETERS.get(action, {})) == "not on a Sunday"
    assert (watched.effects(action), mishap.met) == (0, 1)


@pytest.mark.parametrize(
    ("strategy", "action", "words"),
    [
        ("Always", "start", CONFLICT.format("") + "VM is already running"),
        ("Halted", "stop", CONFLICT.format("") + "VM is not running"),
        ("Halted", "restart", CONFLICT.format("") + "RunStategy Halted does not support manual restart requests"),
        ("Always", "unpause", CONFLICT.format("instance") + "VMI is not paused"),
        ("Halted", "pause", 'virtualmachineinstances.kubevirt.io "web" not found'),
        ("Halted", "migrate", 'virtualmachineinstances.kubevirt.io "web" not found'),
        ("Halted", "softreboot", 'virtualmachineinstances.kubevirt.io "web" not found'),
    ],
)
async def test_a_vm_in_the_wrong_state_is_refused_by_kubevirt(
    watched: Operating, virtctl: Virtctl, strategy: str, action: str, words: str
) -> None:
    """Where the api did not know it beforehand."""
    await virtctl.create(strategy)
    assert await refused(watched, action) == words


async def test_a_vm_that_is_not_live_migratable_is_refused_with_kubevirts_reason(
    watched: Operating, virtctl: Virtctl
) -> None:
    """The reason and the message of the condition."""
    await virtctl.create("Always")
    virtctl.be_migratable("False", reason="DisksNotLiveMigratable", message="cannot migrate VMI: PVC web is not shared")
    message = await refused(watched, "migrate")
    assert "Reason: DisksNotLiveMigratable, Message: cannot migrate VMI: PVC web is not shared" in message


async def test_a_webhook_refuses_in_its_own_words(watched: Operating, virtctl: Virtctl) -> None:
    """As virt-api wraps them."""
    await virtctl.create()
    virtctl.cluster.faults.acts.refuse("start", 422, "no budget", webhook="policy.example.com")
    words = 'Internal error occurred: admission webhook "policy.example.com" denied the request: no budget'
    assert await refused(watched, "start") == words


async def test_another_migration_in_flight_refuses_a_second(watched: Operating, virtctl: Virtctl) -> None:
    """One that is not of this operation."""
    await virtctl.create("Always")
    virtctl.cluster.clock.speed = 0
    virtctl.cluster.request_migration(PLACE)
    assert "in-flight migration detected" in await refused(watched, "migrate")


async def test_another_vm_of_the_name_is_left_alone(watched: Operating, virtctl: Virtctl) -> None:
    """The operation is about a uid."""
    await virtctl.create("Always")
    message = await refused(watched, "stop", vm_id="0b2f6f0e-5c0d-4b8e-9f63-0d1c8f1b2a77")
    assert (message, watched.effects("stop")) == ("another VM has the name web now", 0)


async def test_a_size_that_is_no_whole_number_of_sockets_is_refused(watched: Operating, virtctl: Virtctl) -> None:
    """KubeVirt plugs sockets."""
    await virtctl.create("Always", cores=2)
    assert await refused(watched, "resize", cpu=3) == "3 vCPUs are no whole number of sockets of 2 cores with 1 threads"


async def test_a_failed_migration_has_kubevirts_reason(watched: Operating, virtctl: Virtctl) -> None:
    """It comes one event after the final phase."""
    await virtctl.create("Always")
    virtctl.cluster.faults.disturb_migrations(failure="the guest dirties its memory too fast")
    end = await watched.end(await watched.ask("migrate"))
    assert (end.state, end.accepted) == (S.FAILED, True)
    assert "the guest dirties its memory too fast" in end.message
