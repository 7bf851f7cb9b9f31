"""The state of a cluster follows from the states of its list-watches."""

from datetime import UTC, datetime

import pytest

from summit_models.cluster import ConnectionState as State
from summit_models.cluster import ResourceHealth
from summit_watcher.kube.failure import Failure
from summit_watcher.kube.resources import WATCHED
from summit_watcher.log.health import overall

NAMES = [resource.plural for resource in WATCHED]
VMS, VMIS, MIGRATIONS, INSTANCETYPES, CLUSTER_INSTANCETYPES = NAMES


def healths(**states: State) -> list[ResourceHealth]:
    """All synced but for the named ones, whose reason is their own name."""
    now = datetime(2026, 11, 23, tzinfo=UTC)
    return [
        ResourceHealth(
            resource=name,
            state=states.get(name, State.SYNCED),
            since=now,
            reason=f"because of {name}" if name in states else None,
        )
        for name in NAMES
    ]


def test_a_cluster_is_synced_when_all_of_its_list_watches_are() -> None:
    """Nothing to explain then."""
    assert overall(healths()) == (State.SYNCED, None)


def test_one_list_watch_in_trouble_degrades_the_cluster_and_is_named() -> None:
    """The others go on, so it is not the cluster that is forbidden."""
    state, reason = overall(healths(**{MIGRATIONS: State.FORBIDDEN}))
    assert (state, reason) == (State.DEGRADED, f"{MIGRATIONS}: because of {MIGRATIONS}")


@pytest.mark.parametrize("state", [State.UNREACHABLE, State.AUTH_FAILED, State.CRD_MISSING])
def test_the_state_that_all_list_watches_share_is_the_state_of_the_cluster(state: State) -> None:
    """The reason comes along."""
    assert overall(healths(**dict.fromkeys(NAMES, state))) == (state, f"because of {VMS}")


def test_a_cluster_without_instancetypes_is_whole() -> None:
    """Older KubeVirt has none."""
    missing = dict.fromkeys((INSTANCETYPES, CLUSTER_INSTANCETYPES), State.CRD_MISSING)
    assert overall(healths(**missing)) == (State.SYNCED, None)


def test_a_cluster_that_still_lists_is_listing() -> None:
    """It is neither synced nor in trouble yet."""
    assert overall(healths(**{VMS: State.LISTING}))[0] is State.LISTING


def test_unusable_new_files_show_in_the_state_while_the_old_ones_serve() -> None:
    """All list-watches work then. A list-watch that does not work comes first."""
    trouble = Failure(State.CONFIG_ERROR, "the kubeconfig is not YAML")
    assert overall(healths(), trouble) == (State.CONFIG_ERROR, "the kubeconfig is not YAML")
    assert overall(healths(**{MIGRATIONS: State.FORBIDDEN}), trouble)[0] is State.DEGRADED
