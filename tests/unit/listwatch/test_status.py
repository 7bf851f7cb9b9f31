"""The log lines of the list-watches of one cluster: people read what is wrong, and for how long, once."""

import logging

import pytest

from summit_models.cluster import ConnectionState as State
from summit_models.contract import ClusterName
from summit_watcher.kube.failure import Failure
from summit_watcher.kube.resources import MIGRATIONS, VIRTUAL_MACHINES
from summit_watcher.listwatch.status import ClusterStatus

NEXT = "next attempt in 1.0 s"
FAILURES = {
    Failure(State.UNREACHABLE, "refused"): [
        f"cluster vulcan: cannot list virtualmachines: refused; its VMs show their last known state; {NEXT}",
        "cluster vulcan is watched again, after 0.0 s",
    ],
    Failure(State.FORBIDDEN, "403"): [
        f"cluster vulcan: cannot list virtualmachines: 403; what is known stays visible; {NEXT}",
        f"cluster vulcan: cannot list virtualmachineinstancemigrations: 403; what is known stays visible; {NEXT}",
        "cluster vulcan: virtualmachines are watched again, after 0.0 s",
        "cluster vulcan: virtualmachineinstancemigrations are watched again, after 0.0 s",
    ],
}


@pytest.mark.parametrize(("failure", "lines"), FAILURES.items())
def test_an_outage_is_logged_once_when_it_begins_and_when_it_ends(
    failure: Failure, lines: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """One failure of the whole cluster is one condition; a resource that is forbidden is a condition of its own."""
    caplog.set_level(logging.INFO, "summit.watcher")
    status = ClusterStatus(ClusterName("vulcan"), (VIRTUAL_MACHINES, MIGRATIONS))
    for attempt in (1, 2):
        for each in status:
            each.failed("list", failure, attempt, 1.0)
    for each in status:
        each.synced()
    assert caplog.messages == lines
    fields = vars(caplog.records[0])
    assert (fields["cluster"], fields["resource"], fields["state"]) == ("vulcan", "virtualmachines", failure.state)
    assert fields["attempt"] == 1


def test_a_cluster_is_tried_when_one_of_its_list_watches_has_worked_or_failed() -> None:
    """It stays so while a list-watch lists again: a process that was ready stays ready."""
    status = ClusterStatus(ClusterName("vulcan"), (VIRTUAL_MACHINES, MIGRATIONS))
    status[VIRTUAL_MACHINES].listing()
    assert not status.tried
    status[MIGRATIONS].failed("list", Failure(State.FORBIDDEN, "403"), 1, 1.0)
    assert status.tried
    status[MIGRATIONS].listing()
    assert status.tried


async def test_a_change_of_state_wakes_those_that_wait_for_one() -> None:
    """The event is taken before the states are read, so a change in between is seen as well."""
    status = ClusterStatus(ClusterName("vulcan"), (VIRTUAL_MACHINES,))
    changed = status.changed
    status[VIRTUAL_MACHINES].listing()
    assert changed.is_set()
    assert not status.changed.is_set()
