"""The difference between the cache of one cluster and its published state, as events for the readers of the log.

Nothing is published before the first lists are complete: without its instance, every VM would look stopped. Nor is an
object deleted because it is missing from a list that left something out.

An event keeps its id however often it is sent, and no other event has it: NATS drops what has an id of the last
minute. So events are numbered within their epoch. An id made of the content would not do: a state that returns within
a minute, as that of a migration while VMs of one name follow each other, would be dropped. Events of a killed
watcher are not made again, since the log is read back first.

A state is encoded once: to compare it, to keep it, and as the greater part of the event.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from pydantic import JsonValue

from summit_models.contract import Uid
from summit_models.event import source_of
from summit_models.subject import UNMANAGED
from summit_watcher.inventory.cluster_cache import ClusterCache
from summit_watcher.inventory.fitting import fitting
from summit_watcher.inventory.kinds import KINDS, VM_KIND, Joined, Kind, Model
from summit_watcher.inventory.lost_addresses import LostAddresses
from summit_watcher.inventory.published import Published, PublishedState
from summit_watcher.inventory.stuck_migrations import StuckMigrations
from summit_watcher.kube.resources import VIRTUAL_MACHINES, Resource
from summit_watcher.listwatch.events import Apply, Delete, ListWatchEvent


class Outgoing(NamedTuple):
    """An event, ready to be published."""

    type: StrEnum
    subject: str
    id: str
    body: bytes
    model: Model
    """The state in the event, for the log."""
    changes: Mapping[str, JsonValue] = MappingProxyType({})
    """The old values of its changed members, by their names in JSON."""


class Diff:
    def __init__(
        self,
        published: Published,
        lost_addresses: LostAddresses,
        stuck: StuckMigrations,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.published = published
        self.cache = ClusterCache(lost_addresses, stuck)
        self._clock = clock
        self._stores = {kind: [self.cache.store_of(r) for r in (*kind.resources, *kind.joined_with)] for kind in KINDS}
        self._compared: dict[Kind[Any], tuple[bool, ...]] = {}
        """By kind, which lists were complete when all its published objects were last compared."""

    def follow(self, resource: Resource[Any], received: Sequence[ListWatchEvent]) -> Iterator[Outgoing | None]:
        """Take in events of the list-watch of a resource, and make the events that follow from them; take all of these.

        Each step of an object is published, however quickly they came: create and delete in one burst are two events,
        and a delete carries the last state there was.
        """
        for turn in _turns(received):
            self.cache.apply(resource, turn)
            yield from self.take_events()

    def deletions(self, resource: Resource[Any]) -> tuple[int, int]:
        """How many objects of a resource are known, and how many of them the present list has not contained.

        Before the first complete list of VMs the known ones are those that were published.
        """
        store = self.cache.store_of(resource)
        if resource is not VIRTUAL_MACHINES or store.complete:
            return len(store.items), store.unlisted
        states = self.published.of(VM_KIND.collection).items()
        published = [uid for uid, vm in states if VM_KIND.resource_of(vm.state) is resource]
        return len(published), sum(not store.is_listing(uid) for uid in published)

    @property
    def complete(self) -> bool:
        """The first lists of all that makes up a VM are read, or cannot be had. Once so, it stays so."""
        return self._is_ready(VM_KIND)

    @property
    def is_known(self) -> bool:
        """The first lists of VMs and their instances are read, or cannot be had; what completes them may be missing."""
        first, *others = (self.cache.store_of(resource) for resource in VM_KIND.resources)
        return first.listed and all(store.settled for store in others)

    def take_events(self) -> Iterator[Outgoing | None]:
        """The events that bring readers up to date. Each is in `published` as soon as it is taken, so take all.

        None for each object that was looked at and has not changed, so that others have a turn meanwhile: an edited
        instancetype touches each VM that has it.
        """
        if not self.complete:
            return
        for kind in KINDS:
            if self._is_ready(kind):
                yield from self._events_of(kind)

    def take_lost_addresses(self) -> Iterator[Outgoing | None]:
        """The events of the VMs whose addresses have been lost for long enough to count."""
        due = self.cache.touch_lost_addresses()
        yield from self.take_events()
        self.cache.lost_addresses.forget(due)

    def take_stuck_migrations(self) -> Iterator[Outgoing | None]:
        """The events of the migrations that have stood still for too long."""
        self.cache.touch_stuck_migrations()
        yield from self.take_events()

    def observed(self, older_than: timedelta) -> Iterator[Outgoing]:
        """Repeat the state of each object that has had no event for so long, unless it cannot change any more."""
        now = self._clock()
        for kind in KINDS:
            for uid, last in list(self.published.of(kind.collection).items()):
                if now - last.at > older_than and kind.is_repeated(last.state):
                    yield observed(self.published, kind, uid, now)

    def _is_ready(self, kind: Kind[Any]) -> bool:
        if kind in self._compared:
            return True
        first, *others = self._stores[kind]
        return first.listed and all(store.settled for store in others)

    def _events_of(self, kind: Kind[Any]) -> Iterator[Outgoing | None]:
        """Deletes come first, since a name may have returned."""
        touched = self.cache.take_touched(kind.resources[0])
        complete = tuple([store.complete for store in self._stores[kind]])
        if self._compared.get(kind) != complete:
            self._compared[kind] = complete
            touched |= dict.fromkeys(self.published.of(kind.collection))
        gone = {uid for uid in touched if not kind.exists(self.cache, uid)}
        for uid in gone:
            yield self._deleted(kind, uid)
        for uid in touched.keys() - gone:
            joined = kind.join(self.cache, self.published, uid)
            yield changed(self.published, kind, joined, self._clock())

    def _deleted(self, kind: Kind[Any], uid: Uid) -> Outgoing | None:
        """The delete of an object that is not there.

        None if no watch has reported it, and a list may have left the object out: the next complete list decides.
        """
        last = self.published.of(kind.collection).get(uid)
        store = self.cache.store_of(kind.resource_of(last.state) if last else kind.resources[0])
        end = self.cache.take_end(uid)
        if end is None and not store.complete:
            return None
        version = end.version if end else store.list_version
        by_comparison = end.by_comparison if end else True
        return deleted(self.published, kind, uid, version, self._clock(), by_comparison=by_comparison)


def _turns(events: Sequence[ListWatchEvent]) -> Iterator[Sequence[ListWatchEvent]]:
    """Parts in which no object appears twice."""
    turn: list[ListWatchEvent] = []
    seen: set[str | None] = set()
    for event in events:
        uid = event.object.metadata.uid if isinstance(event, Apply | Delete) else None
        if uid in seen:
            yield turn
            turn, seen = [], set()
        turn.append(event)
        if uid:
            seen.add(uid)
    if turn:
        yield turn


def changed(published: Published, kind: Kind[Any], joined: Joined[Model], now: datetime) -> Outgoing | None:
    """Keep the present state of an object, and make the event for the change; None when there is none.

    An unchanged state whose last event is of a stale epoch is published again.
    """
    model, versions, by = joined
    states, (model, state) = published.of(kind.collection), _fitting(published, kind, model)
    last = states.get(model.id)
    if last is not None and last.is_last and last.state == state:
        return None
    states[model.id] = present = PublishedState(state, versions, now)
    if last is None or not last.is_known:
        return _event(published, kind, "CREATED", model, present)
    if last.state == state:
        return _event(published, kind, "OBSERVED", model, present)
    return _event(published, kind, "UPDATED", model, present, changes=kind.codec.changes(last.state, model), by=by)


def deleted(
    published: Published, kind: Kind[Any], uid: Uid, version: int, now: datetime, *, by_comparison: bool
) -> Outgoing | None:
    """Drop an object, and make the event of its end, with its last state; None when it was never published.

    `version` is the resourceVersion of the delete.
    """
    last = published.of(kind.collection).pop(uid, None)
    if last is None:
        return None
    model, state = _fitting(published, kind, kind.when_gone(kind.codec.decode(last.state), not by_comparison))
    own = kind.resources.index(kind.resource_of(last.state))
    versions = tuple(max(v, version) if i == own else v for i, v in enumerate(last.versions))
    final = PublishedState(state, versions, now)
    return _event(published, kind, "DELETED", model, final, final_state_unknown=by_comparison)


def observed(published: Published, kind: Kind[Any], uid: Uid, now: datetime) -> Outgoing:
    """Repeat an unchanged state, so that the last event of a living object never ages out of the log."""
    states = published.of(kind.collection)
    model, state = _fitting(published, kind, kind.codec.decode(states[uid].state))
    states[uid] = repeated = states[uid]._replace(state=state, at=now)
    return _event(published, kind, "OBSERVED", model, repeated)


def _fitting(published: Published, kind: Kind[Any], model: Model) -> tuple[Model, bytes]:
    """The model and its JSON, as far as they fit into an event with the old values beside them."""
    return fitting(kind.codec, model, published.event_bytes // 2)


def _event(
    published: Published,
    kind: Kind[Any],
    type_name: str,
    model: Model,
    present: PublishedState,
    *,
    changes: Mapping[str, JsonValue] | None = None,
    by: str | None = None,
    final_state_unknown: bool = False,
) -> Outgoing:
    type_ = kind.types[type_name]
    namespace = model.namespace or UNMANAGED
    published.events += 1
    verb = type_.rpartition(".")[2]
    event_id = f"{published.cluster}/{published.epoch}/{published.events}/{model.id}/{verb}"
    about = {
        "changes": changes or {},
        **kind.versions_field(present.versions),
        "final_state_unknown": final_state_unknown,
        **({"by": by} if by else {}),
    }
    encode = partial(
        kind.codec.encode_event,
        present.state,
        id=event_id,
        source=source_of(published.datacenter, published.cluster),
        subject=f"{namespace}/{model.name}",
        time=present.at,
        epoch=published.epoch,
        type=type_,
    )
    body = encode(about)
    if len(body) > published.event_bytes:  # the old values are of a time when events could be larger
        body = encode({**about, "changes": {}})
    subject = kind.subject(published.datacenter, published.cluster, namespace, model.name)
    return Outgoing(type_, subject, event_id, body, model, changes or {})
