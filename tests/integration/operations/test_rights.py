"""config/rbac/operator.yaml: each part allows its actions and no others; the cluster names what is missing."""

from pathlib import Path
from typing import Any

import pytest
from support.operating import TIMES, Operating, config_of
from support.rights import documents, rules
from support.virtctl import Virtctl
from support.waiting import until
from support.watched import watching

from summit_models.operation import Action
from summit_models.operation import OperationState as S

ACTIONS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "start": ("operator-power", "Halted", {}),
    "stop": ("operator-power", "Always", {}),
    "restart": ("operator-power", "Always", {}),
    "pause": ("operator-guests", "Always", {}),
    "unpause": ("operator-guests", "Always", {}),
    "softreboot": ("operator-guests", "Always", {}),
    "reset": ("operator-guests", "Always", {}),
    "migrate": ("operator-migrations", "Always", {}),
    "resize": ("operator-sizes", "Always", {"cpu": 2}),
    "delete": ("operator-deletes", "Always", {}),
}


@pytest.mark.parametrize("action", ACTIONS)
async def test_a_part_is_enough_for_its_actions(
    nats_url: str, tmp_path: Path, operating: Operating, virtctl: Virtctl, action: str
) -> None:
    """Beside what the watcher has."""
    part, strategy, parameters = ACTIONS[action]
    await virtctl.create(strategy)
    if action == "unpause":
        await virtctl.ask("pause")
    access = virtctl.cluster.access
    access.add_token("watcher")
    access.bind("watcher", [*rules()[""], *rules()[part]])
    async with watching(nats_url, config_of(tmp_path, virtctl.cluster, user="watcher"), TIMES):
        assert (await operating.end(await operating.ask(action, **parameters))).state == S.SUCCEEDED


@pytest.mark.parametrize("action", ACTIONS)
async def test_all_other_parts_are_not(
    nats_url: str, tmp_path: Path, operating: Operating, virtctl: Virtctl, action: str
) -> None:
    """It fails with the sentence of Kubernetes, which names verb, resource and namespace."""
    part, strategy, parameters = ACTIONS[action]
    await virtctl.create(strategy)
    access = virtctl.cluster.access
    access.add_token("watcher")
    access.bind("watcher", [rule for name, of_part in rules().items() if name != part for rule in of_part])
    async with watching(nats_url, config_of(tmp_path, virtctl.cluster, user="watcher"), TIMES):
        end = await operating.end(await operating.ask(action, **parameters))
    assert (end.state, operating.effects(action)) == (S.FAILED, 0)
    assert 'is forbidden: User "watcher" cannot ' in end.message
    assert 'in the namespace "prod": let an administrator' in end.message
    assert end.message.endswith(f"apply the part summit-connect:{part} of config/rbac/operator.yaml")


async def test_a_part_may_be_for_one_namespace(
    nats_url: str, tmp_path: Path, operating: Operating, virtctl: Virtctl
) -> None:
    """By a RoleBinding; in the others it is refused."""
    await virtctl.create()
    access = virtctl.cluster.access
    access.add_token("watcher")
    access.bind("watcher", rules()[""])
    access.bind("watcher", rules()["operator-power"], namespace="dev")
    async with watching(nats_url, config_of(tmp_path, virtctl.cluster, user="watcher"), TIMES):
        assert (await operating.end(await operating.ask("start"))).state == S.FAILED
        access.bind("watcher", rules()["operator-power"], namespace="prod")
        assert (await operating.end(await operating.ask("start"))).state == S.SUCCEEDED


async def test_a_vm_that_may_not_be_read_is_not_acted_on(watched: Operating, virtctl: Virtctl) -> None:
    """It fails at once, with what is missing, and not at its deadline."""
    await virtctl.create()
    await until(lambda: watched.log.newest("web"))
    virtctl.cluster.access.forbid("get", "virtualmachines")
    end = await watched.end(await watched.ask("start", seconds=600))
    assert (end.state, watched.effects("start")) == (S.FAILED, 0)
    assert 'cannot get resource "virtualmachines"' in end.message


@pytest.mark.parametrize("action", ["stop", "pause", "resize"])
async def test_an_outcome_that_instances_would_show_is_not_made_up_without_them(
    nats_url: str, config: Path, operating: Operating, virtctl: Virtctl, action: str
) -> None:
    """A watcher that may not list them sees none: a VM that runs is neither stopped nor "does not run any more"."""
    _, strategy, parameters = ACTIONS[action]
    await virtctl.create(strategy)
    forbidden = [virtctl.cluster.access.forbid(verb, "virtualmachineinstances") for verb in ("list", "watch")]
    virtctl.cluster.stop_controllers()
    async with watching(nats_url, config, TIMES):
        id_ = await operating.ask(action, **parameters)
        progress = await until(
            lambda: [step.progress for step in operating.steps(id_)], lambda texts: texts and texts[-1]
        )
        assert not operating.newest(id_).operation.has_ended
        for rule in forbidden:
            virtctl.cluster.access.allow(rule)
        virtctl.cluster.start_controllers()
        assert (await operating.end(id_)).state == S.SUCCEEDED
    assert progress[-1] == "the watcher cannot read the instances of the cluster, which would show it"


def test_each_action_has_its_part() -> None:
    """So each is tried above, with its part alone and without it."""
    assert ACTIONS.keys() == set(Action)


def test_each_role_is_bound_to_the_account_of_the_watcher() -> None:
    """The one that config/rbac/watcher.yaml makes."""
    (account,) = [one["metadata"] for one in documents("watcher.yaml") if one["kind"] == "ServiceAccount"]
    bindings = [one for one in documents("operator.yaml") if one["kind"] == "ClusterRoleBinding"]
    roles = [one for one in documents("operator.yaml") if one["kind"] == "ClusterRole"]
    assert [one["roleRef"]["name"] for one in bindings] == [one["metadata"]["name"] for one in roles]
    assert all(one["subjects"] == [{"kind": "ServiceAccount", **account}] for one in bindings)
