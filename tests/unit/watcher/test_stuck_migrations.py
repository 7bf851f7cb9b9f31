"""A migration that stands still is stuck, with the reason: by what is observed, and by our own clock."""

from datetime import UTC, datetime

from summit_models.contract import ClusterName, DatacenterId, Uid
from summit_models.migration import Migration
from summit_watcher.inventory.published import MIGRATION_CODEC
from summit_watcher.inventory.stuck_migrations import StuckMigrations

GIB = 1 << 30


class Watched:
    """One migration, as a watcher sees it."""

    def __init__(self, last: bytes | None = None) -> None:
        self.now = 1000.0
        self.stuck = StuckMigrations(600, clock=lambda: self.now)
        self.last = last
        self.migration = Migration(
            id=Uid("m"), name="m", namespace="t", cluster=ClusterName("vulcan"), datacenter_id=DatacenterId("dc-solna"),
            phase="Pending",
        )  # fmt: skip

    def look(self, seconds: float = 0, *, blocked: str | None = None, memory: int = 0, **changes: object) -> str | None:
        """Why it is stuck after so many seconds and with these changes, as it is published then."""
        self.now += seconds
        self.migration = self.migration.model_copy(update=changes)
        judged = self.stuck.judged(self.migration, self.last, blocked, memory)
        self.last = MIGRATION_CODEC.encode(judged)
        return judged.stuck


def test_a_migration_that_stands_still_is_stuck() -> None:
    """Kubernetes has no field for that: it waits in Pending without a word."""
    watched = Watched()
    assert watched.look() is None
    assert (watched.look(599), watched.stuck.due()) == (None, [])
    watched.now += 1
    assert watched.stuck.due() == ["m"]
    assert (watched.look() or "").startswith("Pending for more than 10 min: it may wait for others")
    assert (watched.stuck.due(), len(watched.stuck)) == ([], 1)


def test_any_progress_begins_the_time_again() -> None:
    """A phase, a node, a time: whatever is known of it."""
    watched = Watched()
    watched.look()
    assert watched.look(600) is not None
    assert watched.look(phase="Scheduling") is None
    assert watched.look(500, target_node="b") is None
    assert watched.look(599) is None
    assert watched.look(1) == "Scheduling for more than 10 min, and nothing that the cluster shows of it has changed"
    assert watched.look(phase="Failed", completed=True) is None
    assert (len(watched.stuck), watched.stuck.due()) == (0, [])


def test_a_condition_says_why() -> None:
    """Its counters change, which is no other reason; another condition is."""
    watched = Watched()
    watched.look()
    first = watched.look(600, blocked="decentralizedMigrationBlocked: dial tcp 10.0.0.1:40001: refused")
    assert first == "Pending for more than 10 min: decentralizedMigrationBlocked: dial tcp 10.0.0.1:40001: refused"
    assert watched.look(5, blocked="decentralizedMigrationBlocked: dial tcp 10.0.0.1:40002: refused") == first
    assert "exceeded" in (watched.look(5, blocked="migrationRejectedByResourceQuota: exceeded quota") or "")


def test_a_copy_has_time_by_its_memory() -> None:
    """KubeVirt gives it 150 seconds a GiB, and nothing that we watch changes meanwhile."""
    watched = Watched()
    watched.look(phase="Running", memory=16 * GIB)
    assert watched.look(600 + 16 * 150 - 1) is None
    assert watched.look(1) == "Running for more than 50 min, and nothing that the cluster shows of it has changed"


def test_a_watcher_that_starts_keeps_what_was_published() -> None:
    """Else each restart would show progress that there was not; what has changed meanwhile begins the time again."""
    watched = Watched()
    watched.look()
    text = watched.look(700)
    assert Watched(watched.last).look() == text
    assert Watched(watched.last).look(start_time=datetime(2026, 11, 29, tzinfo=UTC)) is None


def test_one_that_is_gone_is_forgotten() -> None:
    """Nothing is looked at while no migration is under way."""
    watched = Watched()
    watched.look()
    assert watched.stuck.some.is_set()
    watched.stuck.keep({})
    assert not watched.stuck.some.is_set()
    watched.now += 700
    assert watched.stuck.due() == []
