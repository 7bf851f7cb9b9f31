"""What a run of events means for the read models. Pure: messages in, rows out; the store applies them.

The one idea: a row carries where it comes from (epoch, resourceVersions, revision), and of two states of one object the
one with the greater of these wins, whatever the order in which they arrive. The same comparison is made here among the
events of a batch and in SQL against the stored row, so redelivery and replay change nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
from pydantic import BaseModel
from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import JSONB

from summit_models import tables
from summit_models.cluster import ClusterHealth
from summit_models.contract import ClusterName, Contract, DatacenterId, Revision
from summit_models.datacenter import Datacenter
from summit_models.event import (
    UNMANAGED,
    ClusterEvent,
    DatacenterEvent,
    MigrationEvent,
    MigrationEventType,
    VmEvent,
    VmEventType,
    cluster_subject,
    datacenter_subject,
    migration_subject,
    source_of,
    unmanaged_vm_subject,
    vm_subject,
)
from summit_models.fence import Fence, is_void
from summit_models.migration import Migration
from summit_models.vm import Vm
from summit_projector.decode import NOT_JSON, Decode, Decoded, by_model, by_struct, decode_envelope
from summit_runtime.consumer import StreamMessage

Row = tuple[Any, ...]
"""Values in the order of the table's columns, JSONB as text."""
Order = tuple[int, ...]
"""Epoch, resourceVersions, revision: the greater one is the newer state."""
Epochs = Mapping[str, Fence]
"""The newest epoch of each source, as its cluster's own events tell it. What is of an older one is void: it is from a
watcher that has lost the cluster to another, and its resourceVersions may be of a history that has ended."""
NONE_KNOWN: Epochs = MappingProxyType({})

SUBJECTS_REMEMBERED = 20_000
"""To make a subject and look at each of its characters takes as long as to decode an event."""

EARLIEST_YEAR, LATEST_YEAR = 2000, 2100
"""Event times outside are nonsense, and each month that history is kept of has a partition."""


class HistoryRow(NamedTuple):
    """A row of `vm_events`; `data` is the event's own JSON text."""

    revision: int
    observed_at: datetime
    vm_id: str
    type: str
    epoch: int
    data: str


class SetAsideRow(NamedTuple):
    """A row of `set_aside` but for its time, which the store adds."""

    revision: int
    subject: str
    reason: str
    body: bytes


@dataclass
class Batch:
    """All that one transaction does. `rows` hold the newest state of each object, by table name."""

    revision: Revision
    event_id: str | None
    """Id of the last event: by it the stream is recognized at the next start."""
    epochs: Epochs = field(default_factory=dict)
    """After this batch."""
    rows: dict[str, list[Row]] = field(default_factory=dict)
    history: list[HistoryRow] = field(default_factory=list)
    set_aside: list[SetAsideRow] = field(default_factory=list)
    oldest: datetime | None = None
    """When the first of its events was observed."""
    outdated: int = 0
    """Events of an older epoch, which are ignored."""


class _RejectedError(Exception):
    """The event is not applied; the sentence is kept with it."""


class Place(NamedTuple):
    """Where an event belongs, by its own data."""

    subject: str
    source: str


@dataclass(frozen=True)
class Projection:
    """How the events of one collection become rows of one table."""

    table: Table
    decode: Decode
    place: Callable[[Any], Place]
    """From the data. Raises ValueError when a name in it cannot be part of a subject."""
    fields: Callable[[Any], tuple[Any, ...]]
    """Values of the model's fields, which are the table's first columns."""
    key: str
    version_columns: tuple[str, ...] = ()
    versions: Callable[[Any], tuple[int, ...]] = lambda _: ()
    deleted: str | None = None
    """Type of the event that sets `deleted_at`, for tables that keep tombstones."""
    history: bool = False

    @property
    def order_columns(self) -> tuple[str, ...]:
        return ("epoch", *self.version_columns, "revision")

    def order(self, event: Decoded, revision: int) -> Order:
        return (event.epoch, *self.versions(event.data), revision)

    def row(self, event: Decoded, order: Order) -> Row:
        values = list(self.fields(event.data))
        for position in _json_positions(self.table):
            values[position] = _json_text(values[position])
        tombstone = () if self.deleted is None else (event.time if event.type == self.deleted else None,)
        return (*values, event.time, *order, *tombstone)


def _fields_of(model: type[Contract]) -> Callable[[Any], tuple[Any, ...]]:
    return attrgetter(*model.model_fields)


def _vm_place(vm: Any) -> Place:
    if not vm.managed:
        return Place(unmanaged_vm_subject(vm.datacenter, vm.id), source_of(vm.datacenter))
    return _vm_place_by_names(vm.datacenter, vm.cluster, vm.namespace, vm.name)


@lru_cache(maxsize=SUBJECTS_REMEMBERED)
def _vm_place_by_names(
    datacenter: DatacenterId, cluster: ClusterName | None, namespace: str | None, name: str
) -> Place:
    subject = vm_subject(datacenter, cluster or UNMANAGED, namespace or UNMANAGED, name)
    return Place(subject, source_of(datacenter, cluster))


def _migration_place(migration: Any) -> Place:
    datacenter, cluster = migration.datacenter_id, migration.cluster
    subject = migration_subject(datacenter, cluster, migration.namespace, migration.name)
    return Place(subject, source_of(datacenter, cluster))


def _cluster_place(cluster: ClusterHealth) -> Place:
    return Place(cluster_subject(cluster.datacenter, cluster.name), source_of(cluster.datacenter, cluster.name))


def _datacenter_place(datacenter: Datacenter) -> Place:
    return Place(datacenter_subject(datacenter.id), source_of(datacenter.id))


PROJECTIONS: Mapping[str, Projection] = {
    "vms": Projection(
        table=tables.vms,
        decode=by_struct(VmEvent),
        place=_vm_place,
        fields=_fields_of(Vm),
        key="id",
        version_columns=("vm_version", "vmi_version"),
        versions=lambda vm: (vm.resource_versions.vm, vm.resource_versions.vmi),
        deleted=VmEventType.DELETED,
        history=True,
    ),
    "migrations": Projection(
        table=tables.migrations,
        decode=by_struct(MigrationEvent),
        place=_migration_place,
        fields=_fields_of(Migration),
        key="id",
        version_columns=("object_version",),
        versions=lambda migration: (migration.resource_version,),
        deleted=MigrationEventType.DELETED,
    ),
    "clusters": Projection(
        table=tables.clusters,
        decode=by_model(ClusterEvent),
        place=_cluster_place,
        fields=_fields_of(ClusterHealth),
        key="name",
    ),
    "datacenters": Projection(
        table=tables.datacenters,
        decode=by_model(DatacenterEvent),
        place=_datacenter_place,
        fields=_fields_of(Datacenter),
        key="id",
    ),
}
"""By collection, the second token of the subject. Collections of later versions are passed over."""


def project(messages: Sequence[StreamMessage], epochs: Epochs = NONE_KNOWN) -> Batch:
    """Make one batch of messages that follow each other in the stream; there must be at least one."""
    last = messages[-1]
    epochs = dict(epochs)
    batch = Batch(revision=Revision(last.sequence), event_id=event_id(last.body), epochs=epochs)
    newest: dict[str, dict[str, tuple[Order, Decoded]]] = {collection: {} for collection in PROJECTIONS}
    for message in messages:
        collection = message.subject.split(".", 2)[1]
        if projection := PROJECTIONS.get(collection):
            try:
                event = _accept(message, projection)
            except _RejectedError as error:
                batch.set_aside.append(_set_aside_row(message, str(error)))
                continue
            fence = epochs.get(event.source)
            if fence and is_void(event.epoch, message.sequence, (fence,)):
                batch.outdated += 1
                continue
            if collection == "clusters":
                epochs[event.source] = Fence(epoch=event.epoch, revision=message.sequence)
            if batch.oldest is None or event.time < batch.oldest:
                batch.oldest = event.time
            _keep_newest(newest[collection], projection, event, message.sequence)
            if projection.history:
                batch.history.append(_history_row(event, message.sequence))
    for collection, kept in newest.items():
        if kept:
            projection = PROJECTIONS[collection]
            batch.rows[projection.table.name] = [projection.row(event, order) for order, event in kept.values()]
    return batch


def set_aside(message: StreamMessage, reason: str, epochs: Epochs = NONE_KNOWN) -> Batch:
    """A batch that only sets this message aside, for when the database refuses what it says."""
    row = _set_aside_row(message, reason)
    return Batch(revision=Revision(message.sequence), event_id=event_id(message.body), epochs=epochs, set_aside=[row])


def event_id(body: bytes) -> str | None:
    """The CloudEvents id of a body; None when it has none."""
    try:
        return _storable(decode_envelope(body).id)
    except NOT_JSON:
        return None


def _keep_newest(kept: dict[str, tuple[Order, Decoded]], projection: Projection, event: Decoded, revision: int) -> None:
    order = projection.order(event, revision)
    key = getattr(event.data, projection.key)
    known = kept.get(key)
    if known is None or order > known[0]:
        kept[key] = (order, event)


def _accept(message: StreamMessage, projection: Projection) -> Decoded:
    """Decode an event and check that it may say what it says where it says it."""
    if _has_nul(message.body):
        raise _RejectedError("it contains the character U+0000, which Postgres cannot store")
    try:
        event = projection.decode(message.body)
        place = projection.place(event.data)
    except ValueError as error:
        raise _RejectedError(str(error)) from error
    if message.subject != place.subject:
        raise _RejectedError(f"its data belongs under subject {place.subject!r}")
    if event.source != place.source:
        raise _RejectedError(f"its source is {event.source!r}, but its data is about {place.source!r}")
    if not EARLIEST_YEAR <= event.time.year < LATEST_YEAR:
        raise _RejectedError(f"its time {event.time.isoformat()} cannot be right: check the clock of its writer")
    return event


def _history_row(event: Decoded, revision: int) -> HistoryRow:
    return HistoryRow(revision, event.time, event.data.id, event.type, event.epoch, event.text)


def _set_aside_row(message: StreamMessage, reason: str) -> SetAsideRow:
    return SetAsideRow(message.sequence, _storable(message.subject) or "", _storable(reason) or "", message.body)


def _storable(text: str | None) -> str | None:
    return text and text.replace("\0", "\ufffd")


def _has_nul(body: bytes) -> bool:
    """Whether the JSON text escapes U+0000. An escaped backslash before `u0000` is no such escape."""
    return b"\\u0000" in body and b"\\u0000" in body.replace(b"\\\\", b"")


def _json_positions(table: Table) -> Iterable[int]:
    return _JSON_POSITIONS[table.name]


_JSON_POSITIONS: Mapping[str, tuple[int, ...]] = {
    projection.table.name: tuple(
        position for position, column in enumerate(projection.table.columns) if isinstance(column.type, JSONB)
    )
    for projection in PROJECTIONS.values()
}


def _json_text(value: Any) -> str | None:
    """JSON under the contract's names (camelCase) for a JSONB column; None stays SQL's NULL."""
    return None if value is None else _encode_json(value).decode()


def _model_to_json(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"no JSON for {type(value)}")


_encode_json = msgspec.json.Encoder(enc_hook=_model_to_json).encode
