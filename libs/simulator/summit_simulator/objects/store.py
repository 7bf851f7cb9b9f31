"""Objects, one revision counter and a window of history: etcd and the watch cache of a real cluster.

Objects are kept as encoded bytes, not as dicts (7 kB instead of 44 kB each): lists are joined from them and a
watch event is the same bytes for every watcher. A record is never changed, only replaced, so a snapshot of a
list is a list of references.
"""

from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from summit_simulator.objects.manifest import Manifest, decode, encode, metadata
from summit_simulator.objects.resources import Resource

EventType = Literal["ADDED", "MODIFIED", "DELETED"]
Key = tuple[str, str]  # namespace, name


@dataclass(frozen=True, slots=True)
class Record:
    namespace: str
    name: str
    uid: str
    revision: int
    labels: Mapping[str, str]
    data: bytes

    def manifest(self) -> Manifest:
        """The object, decoded again for each caller, who may change it."""
        return decode(self.data)

    @classmethod
    def of(cls, manifest: Manifest, revision: int) -> "Record":
        """Stamp the revision as resourceVersion and encode."""
        meta = metadata(manifest)
        meta["resourceVersion"] = str(revision)
        namespace, name, uid = meta.get("namespace", ""), meta["name"], meta["uid"]
        return cls(namespace, name, uid, revision, meta.get("labels") or {}, encode(manifest))


class Event:
    """One change. Its line is encoded once, by the first watcher that wants it."""

    __slots__ = ("_line", "previous", "record", "resource", "revision", "type")

    def __init__(self, kind: EventType, resource: Resource, record: Record, previous: Record | None) -> None:
        self.type = kind
        self.resource = resource
        self.revision = record.revision
        self.record = record
        self.previous = previous
        self._line: bytes | None = None

    @property
    def line(self) -> bytes:
        """The watch event as it goes over the wire, `type` first and newline at the end."""
        if self._line is None:
            self._line = event_line(self.type, self.record.data)
        return self._line


def event_line(kind: str, data: bytes) -> bytes:
    return b'{"type":"%s","object":%s}\n' % (kind.encode(), data)


class Change(NamedTuple):
    """One entry of the complete journal: enough for an oracle, without the object."""

    revision: int
    type: EventType
    resource: str
    uid: str


class Compacted(Exception):
    """The revision lies below the window of history."""


class Saved(NamedTuple):
    """A backup of the store, as `etcdctl snapshot save` takes one."""

    revision: int
    objects: dict[Resource, dict[Key, Record]]


class Store:
    def __init__(self, *, first_revision: int = 1000, history_events: int = 10_000) -> None:
        self.revision = first_revision
        self.oldest = first_revision  # a watch may start here or above
        self.journal: deque[Change] = deque(maxlen=1_000_000)  # ~150 MB at worst, in a long benchmark
        self.listeners: list[Callable[[Event], None]] = []
        self.wakers: defaultdict[Resource, set[Callable[[], None]]] = defaultdict(set)
        self.is_watched = True  # False: no watch sends what is written, as if the server had a defect
        self._history_events = history_events  # kept per resource, at least
        self._history: defaultdict[Resource, list[Event]] = defaultdict(list)
        self._objects: defaultdict[Resource, dict[Key, Record]] = defaultdict(dict)
        self._order: dict[Resource, list[Key]] = {}
        self._compacted: defaultdict[Resource, int] = defaultdict(lambda: self.oldest)

    def get(self, resource: Resource, namespace: str, name: str) -> Record | None:
        return self._objects[resource].get((namespace, name))

    def records(self, resource: Resource) -> list[Record]:
        """Every object of a resource in key order, the order of a real list."""
        held = self._objects[resource]
        if resource not in self._order:
            self._order[resource] = sorted(held)
        return [held[key] for key in self._order[resource]]

    def records_at(self, resource: Resource, revision: int) -> list[Record]:
        """Every object of a resource as of an earlier revision. Raises Compacted if that is forgotten."""
        events = self.events_after(resource, revision)
        if not events:
            return self.records(resource)
        held = dict(self._objects[resource])
        for event in reversed(events):
            place = event.record.namespace, event.record.name
            if event.previous is None:
                del held[place]
            else:
                held[place] = event.previous
        return [held[place] for place in sorted(held)]

    def put(self, resource: Resource, manifest: Manifest) -> Record:
        """Create or replace an object at the next revision."""
        return self.put_record(resource, Record.of(manifest, self.revision + 1))

    def put_record(self, resource: Resource, record: Record) -> Record:
        """Create or replace by an already encoded record of the next revision."""
        held, place = self._objects[resource], (record.namespace, record.name)
        previous = held.get(place)
        if previous is None:
            self._order.pop(resource, None)
        held[place] = record
        self._append(Event("MODIFIED" if previous else "ADDED", resource, record, previous))
        return record

    def delete(self, resource: Resource, namespace: str, name: str) -> Record:
        """Remove an object. The deletion has a revision of its own, which its last state carries."""
        previous = self._objects[resource].pop((namespace, name))
        self._order.pop(resource, None)
        record = Record.of(previous.manifest(), self.revision + 1)
        self._append(Event("DELETED", resource, record, previous))
        return record

    def events_after(self, resource: Resource, revision: int) -> list[Event]:
        """Changes above a revision, in order. Raises Compacted if some of them are forgotten."""
        if revision < self._compacted[resource]:
            raise Compacted
        history = self._history[resource]
        return history[bisect_right(history, revision, key=_revision) :]

    def oldest_of(self, resource: Resource) -> int:
        """The lowest revision that a watch of this resource may start from."""
        return self._compacted[resource]

    def forget_history(self) -> None:
        """Move the window to now: every older resourceVersion is expired, as after an apiserver restart."""
        self.oldest = self.revision
        self._history.clear()
        self._compacted.clear()

    def save(self) -> Saved:
        """Back up objects and revision."""
        return Saved(self.revision, {resource: dict(held) for resource, held in self._objects.items()})

    def restore(self, saved: Saved) -> None:
        """Restore a backup: revisions jump back, as without `--bump-revision`."""
        self.revision = saved.revision
        self._objects.clear()
        self._objects.update({resource: dict(held) for resource, held in saved.objects.items()})
        self._order.clear()
        self.forget_history()

    def _append(self, event: Event) -> None:
        self.revision = event.revision
        history = self._history[event.resource]
        if self.is_watched:
            history.append(event)
        if len(history) >= 2 * self._history_events:
            self._compacted[event.resource] = history[-self._history_events - 1].revision
            del history[: -self._history_events]
        self.journal.append(Change(event.revision, event.type, event.resource.plural, event.record.uid))
        for wake in tuple(self.wakers[event.resource]):
            wake()
        for listener in self.listeners:
            listener(event)


def _revision(event: Event) -> Any:
    return event.revision
