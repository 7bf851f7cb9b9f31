"""The state of a cluster follows from the states of its list-watches."""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pytest

from summit_models.cluster import ConnectionState as State
from summit_models.cluster import ResourceHealth
from summit_watcher.kube.failure import Failure
from summit_watcher.kube.resources import (
    CLUSTER_INSTANCETYPES,
    DATA_VOLUMES,
    INSTANCETYPES,
    MIGRATIONS,
    VIRTUAL_MACHINES,
    WATCHED,
    Resource,
)
from summit_watcher.log.health import overall

VMS = VIRTUAL_MACHINES.plural


def healths(states: Mapping[Resource[Any], State] = MappingProxyType({})) -> list[ResourceHealth]:
    """All synced but for those in `states`, whose reason is their own name."""
    now = datetime(2026, 11, 23, tzinfo=UTC)
    return [
        ResourceHealth(
            resource=resource.plural,
            state=states.get(resource, State.SYNCED),
            since=now,
            reason=f"because of {resource.plural}" if resource in states else None,
        )
        for resource in WATCHED
    ]


def test_a_cluster_is_synced_when_all_of_its_list_watches_are() -> None:
    """Nothing to explain then."""
    assert overall(healths()) == (State.SYNCED, None)


def test_one_list_watch_in_trouble_degrades_the_cluster_and_is_named() -> None:
    """The others go on, so it is not the cluster that is forbidden."""
    state, reason = overall(healths({MIGRATIONS: State.FORBIDDEN}))
    assert (state, reason) == (State.DEGRADED, f"{MIGRATIONS.plural}: because of {MIGRATIONS.plural}")


@pytest.mark.parametrize("state", [State.UNREACHABLE, State.AUTH_FAILED, State.CRD_MISSING])
def test_the_state_that_all_list_watches_share_is_the_state_of_the_cluster(state: State) -> None:
    """The reason comes along."""
    assert overall(healths(dict.fromkeys(WATCHED, state))) == (state, f"because of {VMS}")


def test_a_cluster_without_instancetypes_is_whole() -> None:
    """Older KubeVirt has none."""
    missing = dict.fromkeys((INSTANCETYPES, CLUSTER_INSTANCETYPES), State.CRD_MISSING)
    assert overall(healths(missing)) == (State.SYNCED, None)


@pytest.mark.parametrize("state", [State.CRD_MISSING, State.FORBIDDEN])
def test_a_cluster_without_datavolumes_is_whole(state: State) -> None:
    """CDI is not installed, or the watcher may not read its objects: only the progress of imports is unknown."""
    assert overall(healths({DATA_VOLUMES: state})) == (State.SYNCED, None)
    assert overall(healths({DATA_VOLUMES: State.UNREACHABLE}))[0] is State.DEGRADED


def test_a_cluster_without_kubevirt_is_missing_it_though_others_are_there() -> None:
    """What is optional does not decide."""
    gone = dict.fromkeys([resource for resource in WATCHED if resource is not DATA_VOLUMES], State.CRD_MISSING)
    assert overall(healths(gone)) == (State.CRD_MISSING, f"because of {VMS}")


def test_a_cluster_that_still_lists_is_listing() -> None:
    """It is neither synced nor in trouble yet."""
    assert overall(healths({VIRTUAL_MACHINES: State.LISTING}))[0] is State.LISTING


def test_unusable_new_files_show_in_the_state_while_the_old_ones_serve() -> None:
    """All list-watches work then. A list-watch that does not work comes first."""
    trouble = Failure(State.CONFIG_ERROR, "the kubeconfig is not YAML")
    assert overall(healths(), trouble) == (State.CONFIG_ERROR, "the kubeconfig is not YAML")
    assert overall(healths({MIGRATIONS: State.FORBIDDEN}), trouble)[0] is State.DEGRADED
