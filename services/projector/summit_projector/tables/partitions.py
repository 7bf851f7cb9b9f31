"""Months of the journal: each is a partition of `events`, so dropping a month is dropping a table.

The rest still shows how everything was. The last event of a VM that has not changed for years is in a month that is
dropped. Its state is carried over to the moment from which on the journal is kept. There it is `observed`, since it was
so at that time.
"""

import logging
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import asyncpg

from summit_models.subject import STREAM
from summit_models.tables import ENTRY_SHOWN_BY, DeadLetter
from summit_projector.projections import PROJECTIONS
from summit_runtime.nats.streams.stream import MAX_AGE_SECONDS

logger = logging.getLogger("summit.projector")

TIMEOUT_SECONDS = 600.0
"""One look into the index for each object: seconds with 100 000 of them, and no reason to give up on a busy machine."""

DROP_WAITS_SECONDS = 1
"""Readers of the journal that come later wait as long."""

_PARTITIONS = """
SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = 'events'::regclass
"""

# Index events_by_key. Objects that have ended since are carried over, too: at that moment they were there.
_CARRY_OVER = """
INSERT INTO events (revision, time, key, type, data, collection)
SELECT last.revision, $1, last.key, {type}, last.data - 'changes', '{collection}'
FROM {collection} AS object CROSS JOIN LATERAL (
    SELECT revision, key, type, data FROM events
    WHERE key = object.{key} AND collection = '{collection}' AND time < $1{same_cluster}
    ORDER BY time DESC, revision DESC LIMIT 1
) AS last
WHERE last.type IS DISTINCT FROM {deleted}
ON CONFLICT DO NOTHING
"""

# Readers notice by applied_at that rows have changed without an event.
_KEPT_SINCE = """
UPDATE checkpoint SET history_since = greatest(history_since, $2), applied_at = now() WHERE stream = $1
"""

_ENDED = {
    **{p.table.name: "deleted_at" for p in PROJECTIONS.values() if p.deleted},
    str(DeadLetter.__tablename__): "dead_lettered_at",
}
"""The time at which a row was over, by table."""


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
    """SQL that makes the month's partition if it is not there.

    It waits for no reader: `CREATE TABLE … PARTITION OF` would wait for a backup, and all events with it.
    """
    return f"""
DO $$ BEGIN
    IF to_regclass(format('%I.{month.partition}', current_schema())) IS NULL THEN
        CREATE TABLE {month.partition} (LIKE events INCLUDING ALL);
        ALTER TABLE events ATTACH PARTITION {month.partition}
            FOR VALUES FROM ('{month.begin}') TO ('{month.next.begin}');
    END IF;
END $$
"""


async def drop_months(connection: asyncpg.Connection, *, months: int, now: datetime) -> list[Month]:
    """Drop the entries of before this month and the `months` before it, and return the months that they were of.

    Tombstones and dead letters end with them. All or nothing. Raises LockNotAvailableError when a reader holds the
    journal for long, as a backup does: others would wait behind us.
    """
    first = month_before(now, months)
    names = [row["relname"] for row in await connection.fetch(_PARTITIONS)]
    dropped = sorted(month for name in names if (month := month_in(name)) and month < first)
    if dropped:
        async with connection.transaction():
            await connection.execute(create_statement(first))
            for collection in PROJECTIONS:
                await connection.execute(_carry_over(collection), first.begin, timeout=TIMEOUT_SECONDS)
            await connection.execute(f"SET LOCAL lock_timeout = '{DROP_WAITS_SECONDS}s'")
            await connection.execute(f"DROP TABLE {', '.join(month.partition for month in dropped)}")
            await connection.execute(_KEPT_SINCE, STREAM, first.begin)
        logger.info("history before %s has been dropped, %d months of it", first.begin.date(), len(dropped))
    await _end_tombstones(connection, min(first.begin, now - timedelta(seconds=MAX_AGE_SECONDS)))
    return dropped


async def _end_tombstones(connection: asyncpg.Connection, before: datetime) -> None:
    """Delete what was over before a time at which neither journal nor stream have it any more.

    While the stream has events of an object, a replay of them needs its tombstone, and so does an edit that is based on
    the last one.
    """
    for table, over_at in _ENDED.items():
        deleted: str = await connection.execute(
            f"DELETE FROM {table} WHERE {over_at} < $1",  # noqa: S608  names are our own
            before,
            timeout=TIMEOUT_SECONDS,
        )
        if count := int(deleted.rsplit(maxsplit=1)[-1]):
            logger.info("%d rows of %s that were over before %s have been deleted", count, table, before.date())


def _carry_over(collection: str) -> str:
    projection = PROJECTIONS[collection]
    observed, deleted = (f"'{type_}'" if type_ else None for type_ in (projection.observed, projection.deleted))
    shown_by = ENTRY_SHOWN_BY.format("")
    same_cluster = "".join(f" AND {shown_by} = object.{column}" for column in projection.identity_columns[1:])
    return _CARRY_OVER.format(
        collection=collection,
        key=projection.key,
        same_cluster=same_cluster,
        type=observed or "last.type",
        deleted=deleted or "NULL",
    )
