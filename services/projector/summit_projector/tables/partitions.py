"""Months of the journal: each is a partition of `events`, so dropping a month is dropping a table."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple


class Month(NamedTuple):
    """A month of the calendar, in UTC."""

    year: int
    month: int

    @property
    def next(self) -> "Month":
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    @property
    def partition(self) -> str:
        return f"events_{self.year:04}_{self.month:02}"

    @property
    def begin(self) -> datetime:
        return datetime(self.year, self.month, 1, tzinfo=UTC)

    @property
    def start(self) -> str:
        return f"{self.year:04}-{self.month:02}-01 00:00:00+00"


def month_of(time: datetime) -> Month:
    utc = time if time.tzinfo is UTC else time.astimezone(UTC)  # events' times are, and are many
    return Month(utc.year, utc.month)


def month_before(time: datetime, months: int) -> Month:
    """The month so many months before the one of `time`."""
    this = month_of(time)
    number = 12 * this.year + this.month - 1 - months
    return Month(number // 12, number % 12 + 1)


def month_in(partition: str) -> Month | None:
    """The month of a partition, from its name; None for another table."""
    found = re.fullmatch(r"events_(\d{4})_(\d{2})", partition)
    return Month(int(found[1]), int(found[2])) if found else None


def needed_months(times: Iterable[datetime], now: datetime) -> set[Month]:
    """The months of `times`, this one and the next: a month must not begin with a wait for its partition."""
    this = month_of(now)
    return {month_of(time) for time in times} | {this, this.next}


def create_statement(month: Month) -> str:
    """SQL that makes the month's partition if it is not there."""
    return (
        f"CREATE TABLE IF NOT EXISTS {month.partition} PARTITION OF events "
        f"FOR VALUES FROM ('{month.start}') TO ('{month.next.start}')"
    )
