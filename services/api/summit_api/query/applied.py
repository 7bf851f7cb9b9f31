"""Which events of the log the tables have taken in.

The projector passes over what is older than the row it meets, an event of a watcher that lost its cluster for example,
and sets aside what is wrong. Its rows are the proof: an event newer than its row was not taken in.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from summit_api.query.snapshot import Snapshot


class Event(Protocol):
    """What is asked about an event."""

    @property
    def collection(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def revision(self) -> int: ...


EventT = TypeVar("EventT", bound=Event)

KEYS = {"vms": "id", "migrations": "id", "clusters": "name", "datacenters": "id"}
"""Tables that events make, each with its primary key."""

# The primary key of each table.
_ROWS = " UNION ALL ".join(
    f"SELECT '{table}', {key}, revision FROM {table} WHERE {key} = ANY(${n})"  # noqa: S608  names are our own
    for n, (table, key) in enumerate(KEYS.items(), 1)
)
_SET_ASIDE = "SELECT revision FROM set_aside WHERE revision = ANY($1)"


async def applied(snapshot: Snapshot, events: Sequence[EventT]) -> list[EventT]:
    """Those of the events that made their row what it is, or what it was before a later event."""
    rows = await snapshot.fetch(_ROWS, *(_distinct(events, table) for table in KEYS))
    revisions = {(table, key): revision for table, key, revision in rows}
    set_aside = {revision for (revision,) in await snapshot.fetch(_SET_ASIDE, [event.revision for event in events])}
    return [
        event
        for event in events
        if event.revision <= revisions.get((event.collection, event.key), -1) and event.revision not in set_aside
    ]


def _distinct(events: Iterable[Event], table: str) -> list[str]:
    return list({event.key for event in events if event.collection == table})
