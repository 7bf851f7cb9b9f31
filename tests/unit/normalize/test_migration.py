"""The last state of a migration whose object has disappeared."""

import pytest

from summit_models.contract import ClusterName, DatacenterId, Uid
from summit_models.migration import Migration, MigrationDirection
from summit_watcher.normalize import ended_migration


def migration(direction: MigrationDirection, phase: str = "Running", *, completed: bool = False) -> Migration:
    return Migration(
        id=Uid("m"),
        name="m",
        namespace="t",
        cluster=ClusterName("vulcan"),
        datacenter_id=DatacenterId("dc-solna"),
        direction=direction,
        phase=phase,
        completed=completed,
    )


@pytest.mark.parametrize("direction", [MigrationDirection.UNKNOWN, MigrationDirection.INCOMING])
def test_migration_that_disappears_was_canceled(direction: MigrationDirection) -> None:
    """People cancel a migration by deleting its object."""
    ended = ended_migration(migration(direction), was_seen=True)
    assert (ended.phase, ended.completed, ended.failure_reason) == ("Aborted", True, None)


def test_outgoing_migration_that_disappears_may_have_succeeded() -> None:
    """KubeVirt deletes a source's migration with its instance right after success: only the target shows it."""
    ended = ended_migration(migration(MigrationDirection.OUTGOING), was_seen=True)
    assert (ended.phase, ended.completed) == ("Unknown", True)
    assert ended.failure_reason is not None
    assert "disappeared before its end was seen" in ended.failure_reason
    assert "target cluster" in ended.failure_reason


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
@pytest.mark.parametrize("direction", list(MigrationDirection))
def test_completed_migration_stays_as_it_was(direction: MigrationDirection, phase: str) -> None:
    """Deleting a completed migration only removes history."""
    last = migration(direction, phase, completed=True)
    assert ended_migration(last, was_seen=False) is last
