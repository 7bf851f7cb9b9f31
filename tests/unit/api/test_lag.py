"""When the tables do not follow the log: an event is old, and twice in a row not applied."""

import logging
from datetime import UTC, datetime, timedelta

import pytest

from summit_api.lag import Lag
from summit_api.metrics import TABLES_BEHIND
from summit_runtime.nats.streams.unapplied import Unapplied

NOW = datetime(2026, 11, 23, 10, 32, 40, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LATE = 30 * SECOND
WAITING = Unapplied(120, NOW)
"""120 events, the first of which was stored now."""


def looked(lag: Lag, *looks: tuple[Unapplied, int]) -> bool:
    """Whether the tables are behind after these looks, each so many seconds from now."""
    for found, seconds in looks:
        lag.note(found, NOW + seconds * SECOND, LATE)
    return lag.behind is not None


def test_event_that_waits_for_half_a_minute_is_late_at_the_second_look() -> None:
    """An event takes a second; one that is applied meanwhile is followed by others, which are younger."""
    assert not looked(Lag(), (WAITING, 10), (WAITING, 20), (WAITING, 30))
    lag = Lag()
    assert not looked(lag, (WAITING, 20), (WAITING, 31))
    assert looked(lag, (WAITING, 41))
    assert lag.behind
    assert lag.behind.since == NOW


def test_events_of_the_last_evening_are_not_late_at_the_start_of_all() -> None:
    """The projector, which starts as well, applies them between the first two looks."""
    assert not looked(Lag(), (WAITING, 40_000), (Unapplied(), 40_010))


def test_busy_projector_is_not_late() -> None:
    """At each look something waits, and it is never the same."""
    younger = [Unapplied(9_000, NOW + at * SECOND) for at in range(0, 120, 10)]
    assert not looked(Lag(), *((found, 10 * n + 5) for n, found in enumerate(younger)))


def test_clock_of_nats_that_is_set_forward_makes_nothing_late() -> None:
    """One event was stored by the clock as it was before: it is applied before the next look."""
    assert not looked(Lag(), (WAITING, 3600), (Unapplied(1, NOW + 3605 * SECOND), 3605), (WAITING, -3600))


def test_event_that_the_log_drops_at_this_moment_is_not_late() -> None:
    """Its time is not known; the next look takes the next one."""
    assert not looked(Lag(), (Unapplied(5), 100), (Unapplied(5), 110))


def test_begin_and_end_are_a_line_each(caplog: pytest.LogCaptureFixture) -> None:
    """With the effect on people; and the metric has the age, which is 0 when all is applied."""
    caplog.set_level(logging.INFO)
    lag = Lag()
    looked(lag, (WAITING, 31), (WAITING, 41), (WAITING, 51))
    assert TABLES_BEHIND._value.get() == 51
    assert not looked(lag, (Unapplied(), 61), (Unapplied(), 71))
    assert TABLES_BEHIND._value.get() == 0
    began, ended = [record.getMessage() for record in caplog.records]
    assert began == (
        "the tables show the state of 10:32 UTC: the projector has not applied 120 events since; "
        "all clusters and their VMs are shown as stale"
    )
    assert ended.startswith("the tables follow the log again, after ")


def test_another_day_is_named() -> None:
    """The time alone would be taken for one of today."""
    lag, day = Lag(), 86_400
    assert looked(lag, (Unapplied(1, NOW), day), (Unapplied(1, NOW), day + 10))
    assert lag.behind
    assert lag.behind.reason == (
        "the tables show the state of 2026-11-23 10:32 UTC: the projector has not applied 1 event since"
    )


def test_tables_that_cannot_be_read_for_half_a_minute_are_behind() -> None:
    """Requests are refused; an open feed would go on to show the state before."""
    lag = Lag()
    for seconds in (0, 30):
        lag.unreadable(NOW + seconds * SECOND, LATE)
        assert lag.behind is None
    lag.unreadable(NOW + 31 * SECOND, LATE)
    assert lag.behind == (NOW, "this api has not been able to read the tables since 10:32 UTC")
    lag.readable()
    assert lag.behind is None, "also while NATS does not answer"
    lag.unreadable(NOW + 50 * SECOND, LATE)
    assert lag.behind is None, "the time counts from here"
