"""Months of history: in UTC, made before they are needed."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from summit_projector.tables.partitions import Month, create_statement, month_before, month_in, month_of, needed_months


def test_month_is_counted_in_utc() -> None:
    """An event just after midnight in Stockholm may belong to the month before."""
    stockholm = timezone(timedelta(hours=1))
    assert month_of(datetime(2026, 12, 1, 0, 30, tzinfo=stockholm)) == Month(2026, 11)


def test_this_month_and_the_next_are_always_needed() -> None:
    """So is any month of an event in a batch."""
    now = datetime(2026, 12, 31, 23, 59, tzinfo=UTC)
    assert needed_months([], now) == {Month(2026, 12), Month(2027, 1)}
    assert Month(2024, 2) in needed_months([datetime(2024, 2, 29, tzinfo=UTC)], now)


def test_partition_ends_where_the_next_begins() -> None:
    """Its bounds are the first instants of two months, in UTC whatever the server's time zone."""
    bounds = "FOR VALUES FROM ('2026-09-01 00:00:00+00:00') TO ('2026-10-01 00:00:00+00:00')"
    assert bounds in create_statement(Month(2026, 9))


@pytest.mark.parametrize(("month", "before", "expected"), [(3, 2, (2026, 1)), (3, 3, (2025, 12)), (3, 15, (2024, 12))])
def test_months_are_counted_back(month: int, before: int, expected: tuple[int, int]) -> None:
    """Across years."""
    assert month_before(datetime(2026, month, 31, tzinfo=UTC), before) == Month(*expected)


def test_name_of_a_partition_contains_its_month() -> None:
    """No other table has such a name."""
    assert month_in(Month(2026, 9).partition) == Month(2026, 9)
    assert month_in("events_old") is None
