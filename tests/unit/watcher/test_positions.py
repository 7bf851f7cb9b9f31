"""Where a watcher continues: at the stored position, or further on when the log is ahead of it."""

from datetime import UTC, datetime, timedelta

import pytest

from summit_models.cluster import ConnectionState, Heartbeat, ResourceHealth
from summit_watcher.listwatch.state import Listing, ListReason
from summit_watcher.log.positions import Start, start

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
NOT_BEFORE = NOW - timedelta(minutes=5)
VMS = "virtualmachines"


def heartbeat(resource_version: str | None, seconds_ago: float | None) -> Heartbeat:
    """The heartbeat of a watcher whose last contact was some seconds ago, or never."""
    last_contact = None if seconds_ago is None else NOW - timedelta(seconds=seconds_ago)
    state = {"state": ConnectionState.SYNCED, "since": NOW}
    resource = ResourceHealth(resource=VMS, last_contact=last_contact, resource_version=resource_version, **state)
    return Heartbeat(name="vulcan", datacenter="dc-solna", resources=[resource], **state)


def test_a_watcher_continues_at_a_young_position() -> None:
    """It reads the state as of then, and the changes after it."""
    begin = start(VMS, heartbeat("70", 60), 0, NOT_BEFORE)
    assert begin == Start(Listing(ListReason.RESUMED, at="70", seen="70"), NOW - timedelta(seconds=60))


def test_a_log_that_is_ahead_of_the_position_wins() -> None:
    """The watcher was killed before it could store its position."""
    assert start(VMS, heartbeat("70", 60), 90, NOT_BEFORE).listing.at == "90"
    assert start(VMS, heartbeat("700", 60), 90, NOT_BEFORE).listing.at == "700"


@pytest.mark.parametrize("last", [heartbeat("70", 301), heartbeat("70", None), heartbeat(None, 10), None])
def test_an_old_or_unknown_position_leads_to_the_newest_list(last: Heartbeat | None) -> None:
    """The newest list is compared with the log instead."""
    listing = start(VMS, last, 60, NOT_BEFORE).listing
    assert (listing.reason, listing.at) == (ListReason.START, None)


def test_an_old_position_still_shows_whether_the_server_went_back() -> None:
    """Without any position the server may be anywhere."""
    assert start(VMS, heartbeat("70", 3600), 60, NOT_BEFORE).listing.seen == "70"
    assert start(VMS, None, 60, NOT_BEFORE).listing.seen == "60"
    assert start("virtualmachineinstances", heartbeat("70", 10), 0, NOT_BEFORE) == Start(Listing())
