"""Dropping months of history, so that what is left still tells how everything was.

A VM that has not changed for years has its last event in a month that is dropped. Its state is carried over to the
moment from which on history is kept: as `observed`, for that is what it says, that it was so then.
"""

import logging
from datetime import datetime

import asyncpg

from summit_models.event import STREAM, VmEventType
from summit_projector.tables.partitions import Month, create_statement, month_before, month_in

logger = logging.getLogger("summit.projector")

TIMEOUT_SECONDS = 600.0
"""One look into the index for each VM: seconds with 100 000 of them, and no reason to give up on a busy machine."""

_PARTITIONS = """
SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = 'vm_events'::regclass
"""

# Index vm_events_by_vm. Also of VMs that have come to their end since: until then they were.
_CARRY_OVER = f"""
INSERT INTO vm_events (revision, observed_at, vm_id, type, epoch, data)
SELECT last.revision, $1, vms.id, '{VmEventType.OBSERVED}', last.epoch, last.data - 'changes'
FROM vms CROSS JOIN LATERAL (
    SELECT revision, type, epoch, data FROM vm_events WHERE vm_id = vms.id AND observed_at < $1
    ORDER BY observed_at DESC, revision DESC LIMIT 1
) AS last
WHERE last.type <> '{VmEventType.DELETED}'
ON CONFLICT DO NOTHING
"""  # noqa: S608  names are our own

_KEPT_SINCE = """
UPDATE checkpoint SET history_since = greatest(history_since, $2) WHERE stream = $1
"""


async def forget(connection: asyncpg.Connection, *, months: int, now: datetime) -> list[Month]:
    """Drop the history of before this month and the `months` before it, and tell which months that were.

    All or nothing, and readers of history wait meanwhile.
    """
    first = month_before(now, months)
    names = [row["relname"] for row in await connection.fetch(_PARTITIONS)]
    dropped = sorted(month for name in names if (month := month_in(name)) and month < first)
    if dropped:
        async with connection.transaction():
            await connection.execute(create_statement(first))
            await connection.execute(_CARRY_OVER, first.begin, timeout=TIMEOUT_SECONDS)
            await connection.execute(f"DROP TABLE {', '.join(month.partition for month in dropped)}")
            await connection.execute(_KEPT_SINCE, STREAM, first.begin)
        logger.info("history before %s has been dropped, %d months of it", first.begin.date(), len(dropped))
    return dropped
