"""When a state that does not change is published again, by what the log keeps."""

from datetime import UTC, datetime, timedelta

import pytest

from summit_runtime.nats.streams.repeating import LEAST, third

NOW = datetime(2026, 11, 29, tzinfo=UTC)
MONTH, DAY = timedelta(days=30), timedelta(days=1)


@pytest.mark.parametrize(
    ("max_age", "oldest_age", "expected"),
    [
        (90 * DAY, None, MONTH),
        (90 * DAY, 90 * DAY, MONTH),
        (365 * DAY, None, MONTH),
        (timedelta(0), None, MONTH),
        (9 * DAY, None, 3 * DAY),
        (90 * DAY, 6 * DAY, 2 * DAY),
        (9 * DAY, 6 * DAY, 2 * DAY),
        (90 * DAY, timedelta(minutes=9), LEAST),
    ],
)
def test_it_is_a_third_of_the_time_for_which_an_event_is_kept(
    max_age: timedelta, oldest_age: timedelta | None, expected: timedelta
) -> None:
    """A log that is full drops events sooner than by their age, and an operator may choose a shorter age."""
    oldest = None if oldest_age is None else NOW - oldest_age
    assert third(max_age.total_seconds(), oldest, NOW, MONTH) == expected
