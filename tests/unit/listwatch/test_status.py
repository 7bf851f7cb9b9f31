"""The log lines of the list-watches of one cluster: people read what is wrong, and for how long, once."""

import logging

import pytest

from summit_models.cluster import ConnectionState as State
from summit_models.contract import ClusterName
from summit_watcher.kube.failure import Failure
from summit_watcher.kube.resources import MIGRATIONS, VIRTUAL_MACHINES
from summit_watcher.listwatch.status import ClusterStatus


def test_the_end_of_an_outage_is_logged_once_for_a_cluster_and_for_each_resource(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One failure of the whole cluster is one condition; a resource that is forbidden is a condition of its own."""
    caplog.set_level(logging.INFO, "summit.watcher")
    status = ClusterStatus(ClusterName("vulcan"), (VIRTUAL_MACHINES, MIGRATIONS))
    for failure in (Failure(State.UNREACHABLE, "refused"), Failure(State.FORBIDDEN, "403")):
        caplog.clear()
        for each in status:
            each.failed("list", failure, 1, 1.0)
        for each in status:
            each.synced()
        ends = [line for line in caplog.messages if "watched again" in line]
        if failure.state is State.UNREACHABLE:
            assert ends == ["cluster vulcan is watched again, after 0.0 s"]
        else:
            assert ends == [
                "cluster vulcan: virtualmachines are watched again, after 0.0 s",
                "cluster vulcan: virtualmachineinstancemigrations are watched again, after 0.0 s",
            ]


def test_a_cluster_is_tried_when_one_of_its_list_watches_has_worked_or_failed() -> None:
    """It stays so while a list-watch lists again: a process that was ready stays ready."""
    status = ClusterStatus(ClusterName("vulcan"), (VIRTUAL_MACHINES, MIGRATIONS))
    status[VIRTUAL_MACHINES].listing()
    assert not status.tried
    status[MIGRATIONS].failed("list", Failure(State.FORBIDDEN, "403"), 1, 1.0)
    assert status.tried
    status[MIGRATIONS].listing()
    assert status.tried


async def test_a_change_of_state_wakes_whoever_waits_for_one() -> None:
    """The event is taken before the states are read, so a change in between is seen as well."""
    status = ClusterStatus(ClusterName("vulcan"), (VIRTUAL_MACHINES,))
    changed = status.changed
    status[VIRTUAL_MACHINES].listing()
    assert changed.is_set()
    assert not status.changed.is_set()
