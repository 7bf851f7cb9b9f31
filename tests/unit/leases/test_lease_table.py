"""What the bucket of leases shows: who runs and who has what, and nobody who no longer renews."""

from datetime import UTC, datetime

from summit_models.contract import ClusterName, DatacenterId
from summit_models.watcher import Holder, Lease, Member, Place
from summit_runtime.nats.streams.consumer import StreamMessage
from summit_runtime.nats.streams.leases import UNSEEN_SECONDS, LeaseTable, lease_subject, member_subject

SINCE = datetime(2026, 11, 29, tzinfo=UTC)
PLACE = Place(DatacenterId("dc"), ClusterName("vulcan"))
MEMBER = Member(watcher="watch-1.example.com/4711", run="f00", since=SINCE)
LEASE = Lease(watcher=MEMBER.watcher, run=MEMBER.run, since=SINCE)


class Bucket:
    """A table, and the messages that it receives at a time that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.table = LeaseTable(lambda: self.now)

    def show(self, subject: str, holder: Holder | None, *, body: bytes = b"", pending: int = 0) -> bool:
        """Receive an entry; whether somebody is woken up by it."""
        changed = self.table.changed
        content = holder.model_dump_json().encode() if holder else body
        self.table.take_in(StreamMessage(1, subject, content, pending))
        return changed.is_set()


def test_an_entry_that_is_renewed_wakes_nobody_up_and_stays() -> None:
    """Fifty leases are renewed each second."""
    bucket = Bucket()
    assert bucket.show(lease_subject(PLACE), LEASE)
    for _ in range(10):
        bucket.now += UNSEEN_SECONDS - 1
        assert not bucket.show(lease_subject(PLACE), LEASE)
    assert bucket.table.leases() == {PLACE: LEASE}
    assert bucket.table.lease(PLACE) == LEASE


def test_an_entry_that_expires_or_goes_to_another_wakes_up_who_waits() -> None:
    """The server writes a message without a body."""
    bucket = Bucket()
    bucket.show(lease_subject(PLACE), LEASE)
    other = LEASE.model_copy(update={"run": "ba5"})
    assert bucket.show(lease_subject(PLACE), other)
    assert bucket.show(lease_subject(PLACE), None)
    assert not bucket.show(lease_subject(PLACE), None)
    assert bucket.table.leases() == {}


def test_an_entry_whose_end_was_missed_is_gone_when_nobody_renews_it() -> None:
    """Else a cluster would belong to a dead watcher for ever."""
    bucket = Bucket()
    bucket.show(member_subject(MEMBER), MEMBER)
    bucket.show(lease_subject(PLACE), LEASE)
    assert bucket.table.members() == [MEMBER]
    bucket.now += UNSEEN_SECONDS + 0.1
    assert (bucket.table.members(), bucket.table.leases(), bucket.table.lease(PLACE)) == ([], {}, None)


def test_what_cannot_be_read_is_nobody() -> None:
    """Somebody may write into the bucket by hand."""
    bucket = Bucket()
    bucket.show(lease_subject(PLACE), None, body=b"mine!")
    bucket.show(member_subject(MEMBER), None, body=b"{}")
    assert (bucket.table.members(), bucket.table.leases()) == ([], {})


def test_a_watcher_on_a_host_of_any_name_has_a_key() -> None:
    """NATS takes no space in a subject, and no empty part."""
    named = MEMBER.model_copy(update={"watcher": "My Mac..local/7"})
    assert member_subject(named) == "$KV.summit-leases.member.My_Mac__local/7/f00"
    bucket = Bucket()
    bucket.show(member_subject(named), named)
    assert bucket.table.members() == [named]


def test_the_bucket_is_read_when_nothing_more_is_pending() -> None:
    """Until then a cluster may look free that is not."""
    bucket = Bucket()
    bucket.show(member_subject(MEMBER), MEMBER, pending=1)
    assert not bucket.table.is_read
    assert bucket.show(lease_subject(PLACE), LEASE)
    assert bucket.table.is_read
