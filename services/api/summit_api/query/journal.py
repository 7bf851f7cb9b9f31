"""The journal: each change of the tables, as the projector wrote it in the transaction of that change.

The feed reads it in the order of revisions, `history` for one object at a time. A revision counts in one stream, so
entries of an earlier stream never belong to a feed.
"""

from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from summit_api.query.transaction.read_transaction import ReadTransaction
from summit_models.contract import Revision

# The primary key of each partition.
ENTRIES = """
SELECT revision, collection, key, type, time, data::text FROM events
WHERE revision > $1 AND revision <= $2 AND stream_created_at = $3 ORDER BY revision LIMIT $4
"""
# The primary key of each partition. An event is applied soon after its time, but not always in the order of times. An
# hour after the dropped months, every entry that was dropped has a lower revision than those that are left.
_FIRST = """
SELECT revision FROM events WHERE stream_created_at = $1 AND time >= $2::timestamptz + INTERVAL '1 hour'
ORDER BY revision LIMIT 1
"""


class Entry(NamedTuple):
    """One event that changed a row."""

    revision: Revision
    collection: str
    """Name of the row's table."""
    key: str
    """Primary key of the row."""
    type: str
    time: datetime
    data: dict[str, Any]
    """The state after the event, and `changes`: members that changed, with their old values."""


async def entries(transaction: ReadTransaction, after: Revision, *, until: Revision, limit: int) -> list[Entry]:
    """The first `limit` entries with revisions above `after`, up to and with `until`."""
    rows = await transaction.fetch(ENTRIES, after, until, transaction.stream_created_at, limit)
    return [Entry._make((*row[:-1], msgspec.json.decode(row[-1]))) for row in rows]


async def complete_after(transaction: ReadTransaction) -> Revision:
    """The revision after which no entry has been dropped."""
    if transaction.history_since is None:
        return Revision(0)
    rows = await transaction.fetch(_FIRST, transaction.stream_created_at, transaction.history_since)
    return Revision(rows[0][0] - 1) if rows else transaction.revision
