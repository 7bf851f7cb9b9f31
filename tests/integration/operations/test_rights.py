"""config/rbac/operator.yaml: each part allows its actions and no others; the cluster names what is missing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.operating import TIMES, Operating, config_of
from support.paths import ROOT
from support.virtctl import Virtctl
from support.watched import watching

from summit_models.operation import OperationState as S

ACTIONS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "start": ("power", "Halted", {}),
    "stop": ("power", "Always", {}),
    "restart": ("power", "Always", {}),
    "pause": ("guests", "Always", {}),
    "unpause": ("guests", "Always", {}),
    "softreboot": ("guests", "Always", {}),
    "reset": ("guests", "Always", {}),
    "migrate": ("migrations", "Always", {}),
    "resize": ("sizes", "Always", {"cpu": 2}),
    "delete": ("deletes", "Always", {}),
}


def documents(name: str) -> list[Mapping[str, Any]]:
    """The objects in a file of config/rbac."""
    return list(yaml.safe_load_all((ROOT / "config" / "rbac" / name).read_text()))


def rules() -> dict[str, list[Mapping[str, Any]]]:
    """The rules of each part, "" for those of the watcher."""
    roles = [
        one for name in ("watcher.yaml", "operator.yaml") for one in documents(name) if one["kind"] == "ClusterRole"
    ]
    return {role["metadata"]["name"].partition("operator-")[2]: role["rules"] for role in roles}


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
    assert end.message.endswith('in the namespace "prod"')


async def test_a_part_may_be_for_one_namespace(
    nats_url: str, tmp_path: Path, operating: Operating, virtctl: Virtctl
) -> None:
    """By a RoleBinding; in the others it is refused."""
    await virtctl.create()
    access = virtctl.cluster.access
    access.add_token("watcher")
    access.bind("watcher", rules()[""])
    access.bind("watcher", rules()["power"], namespace="dev")
    async with watching(nats_url, config_of(tmp_path, virtctl.cluster, user="watcher"), TIMES):
        assert (await operating.end(await operating.ask("start"))).state == S.FAILED
        access.bind("watcher", rules()["power"], namespace="prod")
        assert (await operating.end(await operating.ask("start"))).state == S.SUCCEEDED


def test_each_role_is_bound_to_the_account_of_the_watcher() -> None:
    """The one that config/rbac/watcher.yaml makes."""
    (account,) = [one["metadata"] for one in documents("watcher.yaml") if one["kind"] == "ServiceAccount"]
    bindings = [one for one in documents("operator.yaml") if one["kind"] == "ClusterRoleBinding"]
    roles = [one for one in documents("operator.yaml") if one["kind"] == "ClusterRole"]
    assert [one["roleRef"]["name"] for one in bindings] == [one["metadata"]["name"] for one in roles]
    assert all(one["subjects"] == [{"kind": "ServiceAccount", **account}] for one in bindings)
