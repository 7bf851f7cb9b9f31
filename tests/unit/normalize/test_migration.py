"""The last state of a migration whose object has disappeared."""

import pytest

from summit_models.contract import ClusterName, DatacenterId, Uid
from summit_models.migration import Migration, MigrationDirection
from summit_watcher.normalize.migration import ended_migration


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


DELETED = "its object was deleted before it had ended: somebody has canceled it, or its instance has ended"
MISSED = "the migration object disappeared before its end was seen"


@pytest.mark.parametrize(
    ("direction", "was_seen", "phase", "reason"),
    [
        (MigrationDirection.UNKNOWN, True, "Aborted", DELETED),
        (MigrationDirection.INCOMING, True, "Aborted", DELETED),
        (MigrationDirection.UNKNOWN, False, "Unknown", MISSED),
        (MigrationDirection.OUTGOING, True, "Unknown", f"{MISSED}; whether the VM arrived shows in the target cluster"),
    ],
)
def test_migration_that_disappears_was_canceled_or_its_end_is_unknown(
    direction: MigrationDirection, phase: str, reason: str | None, *, was_seen: bool
) -> None:
    """People cancel one by deleting it. KubeVirt deletes a source's migration right after success."""
    ended = ended_migration(migration(direction), was_seen=was_seen)
    assert (ended.phase, ended.completed, ended.failure_reason) == (phase, True, reason)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
@pytest.mark.parametrize("direction", list(MigrationDirection))
def test_completed_migration_stays_as_it_was(direction: MigrationDirection, phase: str) -> None:
    """Deleting a completed migration only removes history."""
    last = migration(direction, phase, completed=True)
    assert ended_migration(last, was_seen=False) is last
