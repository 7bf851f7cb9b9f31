"""`may` of a cluster: the actions that its credentials allow, as the cluster itself answers."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.operating import TIMES, Operating, config_of
from support.rights import rules
from support.virtctl import Virtctl
from support.waiting import until
from support.watched import Healths, Log, observing, watching

from summit_models.operation import ROLES, Action, OperationState
from summit_simulator import SimulatedCluster
from summit_watcher.kube.rights.reviews import NEEDED

POWER = ["start", "stop", "restart"]
SELDOM = replace(TIMES, granted_seconds=3600.0, review_rest_seconds=0.05)
SOON = replace(SELDOM, granted_seconds=0.1)


@asynccontextmanager
async def watched(
    nats_url: str, directory: Path, cluster: SimulatedCluster, *, user: str = "watcher", times: Any = SELDOM
) -> AsyncIterator[tuple[Log, Healths]]:
    """A watcher with the credentials of this user, and what it publishes."""
    async with (
        observing(nats_url) as observed,
        watching(nats_url, config_of(directory, cluster, user=user), times),
    ):
        yield observed


async def shows(healths: Healths, may: Sequence[str] | None) -> None:
    """Wait until the heartbeat has just these actions."""
    await until(lambda: healths.newest.get("vulcan"), lambda health: health is not None and health.may == may)


def reviews(cluster: SimulatedCluster, kind: str = "rules") -> int:
    return len(cluster.requests_for(f"selfsubject{kind}reviews", verb="create"))


@pytest.fixture
async def limited(virtctl: Virtctl) -> SimulatedCluster:
    """The VM prod/web, and a user that may watch and nothing else."""
    await virtctl.create()
    virtctl.cluster.access.add_token("watcher")
    virtctl.cluster.access.bind("watcher", rules()[""])
    return virtctl.cluster


async def test_all_rights_cost_one_question(nats_url: str, tmp_path: Path, virtctl: Virtctl) -> None:
    """One review of one namespace, whatever the number of actions and namespaces is."""
    await virtctl.create()
    async with watched(nats_url, tmp_path, virtctl.cluster, user="admin") as (log, healths):
        await shows(healths, list(Action))
        assert (reviews(virtctl.cluster), reviews(virtctl.cluster, "access")) == (1, 0)
        await until(lambda: [m for m in log.messages if b'"may":["start"' in m.body])  # readers of events know it, too


async def test_who_may_watch_only_may_act_on_nothing(nats_url: str, tmp_path: Path, limited: SimulatedCluster) -> None:
    """An empty list: every action is refused beforehand."""
    async with watched(nats_url, tmp_path, limited) as (_, healths):
        await shows(healths, [])


async def test_a_part_that_was_applied_is_noticed(nats_url: str, tmp_path: Path, limited: SimulatedCluster) -> None:
    """Somebody has applied what the refusal names, and tries again."""
    async with watched(nats_url, tmp_path, limited, times=SOON) as (_, healths):
        await shows(healths, [])
        limited.access.bind("watcher", rules()["operator-power"])
        await shows(healths, POWER)


async def test_a_part_in_one_namespace_counts(nats_url: str, tmp_path: Path, limited: SimulatedCluster) -> None:
    """Where it has VMs; what is not allowed in another namespace, the cluster refuses itself."""
    limited.create_vm("lion", namespace="zoo")
    limited.access.bind("watcher", rules()["operator-power"], namespace="zoo")
    limited.access.bind("watcher", rules()["operator-deletes"], namespace="empty")
    async with watched(nats_url, tmp_path, limited) as (_, healths):
        await shows(healths, POWER)


async def test_a_namespace_that_is_new_is_looked_at_first(
    nats_url: str, tmp_path: Path, limited: SimulatedCluster
) -> None:
    """Its first VM may be acted on by a RoleBinding there."""
    limited.access.bind("watcher", rules()["operator-guests"], namespace="zoo")
    async with watched(nats_url, tmp_path, limited, times=SOON) as (_, healths):
        await shows(healths, [])
        limited.create_vm("lion", namespace="zoo")
        await shows(healths, ["pause", "unpause", "softreboot", "reset"])


async def test_a_right_that_was_taken_away_is_noticed_by_a_refusal(
    nats_url: str, tmp_path: Path, operating: Operating, limited: SimulatedCluster
) -> None:
    """The operation fails with the sentence of Kubernetes and what to apply; later ones are refused beforehand."""
    limited.access.bind("watcher", rules()["operator-power"])
    async with watched(nats_url, tmp_path, limited) as (_, healths):
        await shows(healths, POWER)
        limited.access.unbind("watcher")
        limited.access.bind("watcher", rules()[""])
        end = await operating.end(await operating.ask("start"))
        assert end.state is OperationState.FAILED
        assert 'cannot update resource "virtualmachines/start"' in end.message
        assert end.message.endswith("apply the part summit-connect:operator-power of config/rbac/operator.yaml")
        await shows(healths, [])


async def test_other_credentials_are_reviewed_at_once(nats_url: str, tmp_path: Path, limited: SimulatedCluster) -> None:
    """A kubeconfig with another user takes the place of the first."""
    async with watched(nats_url, tmp_path, limited) as (_, healths):
        await shows(healths, [])
        limited.write_kubeconfig(tmp_path / "kubeconfig", user="admin")
        await shows(healths, list(Action))


async def test_an_authorizer_that_lists_no_rules_is_asked_right_by_right(
    nats_url: str, tmp_path: Path, limited: SimulatedCluster
) -> None:
    """The webhooks of GKE and EKS: the rules are `incomplete`, and would make nothing allowed."""
    limited.access.has_webhook = True
    limited.access.bind("watcher", rules()["operator-migrations"])
    async with watched(nats_url, tmp_path, limited) as (_, healths):
        await shows(healths, ["migrate"])


async def test_a_cluster_that_answers_no_reviews_refuses_nothing_beforehand(
    nats_url: str, tmp_path: Path, virtctl: Virtctl
) -> None:
    """`may` stays null."""
    await virtctl.create()
    virtctl.cluster.access.forbid("create", "selfsubjectrulesreviews")
    async with watched(nats_url, tmp_path, virtctl.cluster, user="admin") as (_, healths):
        await until(lambda: reviews(virtctl.cluster))
        await until(lambda: healths.state("vulcan") == "synced")
        assert healths.newest["vulcan"].may is None


async def test_a_right_to_one_named_vm_counts(nats_url: str, tmp_path: Path, limited: SimulatedCluster) -> None:
    """A rule with `resourceNames` allows it on that VM: nothing is refused that might be allowed."""
    rule: Mapping[str, Sequence[str]] = rules()["operator-power"][0]
    limited.access.bind("watcher", [{**rule, "resourceNames": ["web"]}])
    async with watched(nats_url, tmp_path, limited) as (_, healths):
        await shows(healths, POWER)


def test_each_part_has_the_rights_of_its_actions() -> None:
    """Those that are reviewed, in the ClusterRole that a refusal names."""
    for action in Action:
        right = NEEDED[action]
        granted = {
            (verb, group, resource)
            for rule in rules()[ROLES[action]]
            for verb in rule["verbs"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
        }
        assert right in granted
