"""The statuses of the list-watches of one cluster, and the lines about them for those who look for a cause."""

import logging

import pytest

from summit_models.cluster import ConnectionState as State
from summit_models.contract import ClusterName
from summit_runtime.nats.connection.clock import Clock
from summit_watcher.kube.failure import Failure
from summit_watcher.kube.resources import MIGRATIONS, VIRTUAL_MACHINES
from summit_watcher.listwatch.status import ClusterStatus


def test_what_happens_to_one_list_watch_is_logged_at_debug_alone(caplog: pytest.LogCaptureFixture) -> None:
    """An outage is one line about the cluster; six lines about resources would name no effect."""
    caplog.set_level(logging.DEBUG, "summit.watcher")
    status = ClusterStatus(ClusterName("vulcan"), (VIRTUAL_MACHINES, MIGRATIONS), Clock().now)
    status[VIRTUAL_MACHINES].failed("list", Failure(State.UNREACHABLE, "refused"), 3, 1.04)
    status[VIRTUAL_MACHINES].synced()
    assert caplog.messages == [
        "cluster vulcan: cannot list virtualmachines: refused; next attempt in 1.0 s",
        "cluster vulcan: virtualmachines are watched again",
    ]
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}
    fields = vars(caplog.records[0])
    assert (fields["cluster"], fields["resource"], fields["state"]) == ("vulcan", "virtualmachines", "unreachable")
    assert (fields["attempt"], fields["retry_in"]) == (3, 1.0)


def test_a_cluster_is_tried_when_one_of_its_list_watches_has_worked_or_failed() -> None:
    """It stays so while a list-watch lists again: a process that was ready stays ready."""
    status = ClusterStatus(ClusterName("vulcan"), (VIRTUAL_MACHINES, MIGRATIONS), Clock().now)
    status[VIRTUAL_MACHINES].listing()
    assert not status.tried
    status[MIGRATIONS].failed("list", Failure(State.FORBIDDEN, "403"), 1, 1.0)
    assert status.tried
    status[MIGRATIONS].listing()
    assert status.tried


async def test_a_change_of_state_wakes_those_that_wait_for_one() -> None:
    """The event is taken before the states are read, so a change in between is seen as well."""
    status = ClusterStatus(ClusterName("vulcan"), (VIRTUAL_MACHINES,), Clock().now)
    changed = status.changed
    status[VIRTUAL_MACHINES].listing()
    assert changed.is_set()
    assert not status.changed.is_set()
