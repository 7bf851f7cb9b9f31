"""Which events of the log the tables have taken in.

The projector passes over what is older than the row it meets, what is of a watcher that has lost its cluster, and sets
aside what is wrong. Its rows are the proof: an event newer than its row was not taken in. Of one that is older than its
row a later event may have made the row, so it is asked what else the tables say: of VMs they keep each event.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from summit_api.query.read_transaction import ReadTransaction
from summit_models.epoch import EpochStart, is_stale_epoch
from summit_models.event import source_of


class Event(Protocol):
    """What is asked about an event."""

    @property
    def collection(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def revision(self) -> int: ...
    @property
    def time(self) -> datetime: ...
    @property
    def epoch(self) -> int: ...
    @property
    def source(self) -> str: ...


EventT = TypeVar("EventT", bound=Event)

KEYS = {"vms": "id", "migrations": "id", "clusters": "name", "datacenters": "id"}
"""Tables that events make, each with its primary key."""

# The primary key of each table.
_ROWS = " UNION ALL ".join(
    f"SELECT '{table}', {key}, revision FROM {table} WHERE {key} = ANY(${n})"  # noqa: S608  names are our own
    for n, (table, key) in enumerate(KEYS.items(), 1)
)
# Its primary key. What was set aside of a log before this one stays there under its number.
_SET_ASIDE = "SELECT revision FROM dead_letters WHERE revision = ANY($1) AND dead_lettered_at >= $2"
# The primary key of the partition of that time.
_HISTORY = """
SELECT e.revision FROM unnest($1::bigint[], $2::timestamptz[]) AS e (revision, time)
WHERE EXISTS (SELECT 1 FROM events AS l WHERE (l.revision, l.time) = (e.revision, e.time))
"""
_EPOCHS = "SELECT datacenter, name, epoch, revision FROM clusters"


async def applied(transaction: ReadTransaction, events: Sequence[EventT]) -> list[EventT]:
    """Those of the events, which are in order, that made their row what it is, or what it was before a later event."""
    rows = await transaction.fetch(_ROWS, *(_distinct(events, table) for table in KEYS))
    revisions = {(table, key): revision for table, key, revision in rows}
    newest = [event for event in events if event.revision <= revisions.get((event.collection, event.key), -1)]
    doubtful = [event for event in newest if event.revision != revisions[event.collection, event.key]]
    refused = await _refused(transaction, doubtful, events) if doubtful else set()
    return [event for event in newest if event.revision not in refused]


async def _refused(transaction: ReadTransaction, doubtful: Sequence[Event], events: Sequence[Event]) -> set[int]:
    """Revisions of those that the tables have not taken in, though their rows are of later events."""
    of_vms = [event for event in doubtful if event.collection == "vms" and _is_kept(transaction, event)]
    kept = await transaction.fetch(_HISTORY, [event.revision for event in of_vms], [event.time for event in of_vms])
    lost = {event.revision for event in of_vms}.difference(revision for (revision,) in kept)
    revisions = [event.revision for event in doubtful]
    aside = await transaction.fetch(_SET_ASIDE, revisions, transaction.stream_created_at)
    fences = await _fences(transaction, events)
    outdated = {e.revision for e in doubtful if is_stale_epoch(e.epoch, e.revision, fences.get(e.source, ()))}
    return lost | outdated | {revision for (revision,) in aside}


def _is_kept(transaction: ReadTransaction, event: Event) -> bool:
    """Whether history reaches back to the event."""
    return transaction.history_since is None or event.time >= transaction.history_since


async def _fences(transaction: ReadTransaction, events: Sequence[Event]) -> Mapping[str, Sequence[EpochStart]]:
    """By source, which epochs a cluster had come to and when, as far as its row and these events tell."""
    fences: defaultdict[str, list[EpochStart]] = defaultdict(list)
    for datacenter, name, epoch, revision in await transaction.fetch(_EPOCHS):
        fences[source_of(datacenter, name)].append(EpochStart(epoch=epoch, revision=revision))
    for event in events:
        if event.collection == "clusters":
            fences[event.source].append(EpochStart(epoch=event.epoch, revision=event.revision))
    return fences


def _distinct(events: Iterable[Event], table: str) -> list[str]:
    return list({event.key for event in events if event.collection == table})
