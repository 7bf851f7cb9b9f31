"""What a run of events means for the read models. Pure: messages in, rows out; the store applies them.

The one idea: a row carries where it comes from (epoch, resourceVersions, revision), and of two states of one object the
one with the greater of these wins, whatever the order in which they arrive. The same comparison is made here among the
events of a batch and in SQL against the stored row, so redelivery and replay change nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
from pydantic import BaseModel, ValidationError
from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import JSONB

from summit_models import tables
from summit_models.cluster import ClusterHealth
from summit_models.contract import Contract, Revision
from summit_models.datacenter import Datacenter
from summit_models.event import (
    EVENT_BY_COLLECTION,
    ClusterEvent,
    DatacenterEvent,
    Event,
    MigrationEvent,
    MigrationEventType,
    VmEvent,
    VmEventType,
    source_of,
    subject_of,
)
from summit_models.migration import Migration
from summit_models.vm import Vm
from summit_runtime.consumer import StreamMessage

Row = tuple[Any, ...]
"""Values in the order of the table's columns, JSONB as text."""
Order = tuple[int, ...]
"""Epoch, resourceVersions, revision: the greater one is the newer state."""

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
    rows: dict[str, list[Row]] = field(default_factory=dict)
    history: list[HistoryRow] = field(default_factory=list)
    set_aside: list[SetAsideRow] = field(default_factory=list)


class _RejectedError(Exception):
    """The event is not applied; the sentence is kept with it."""


class _Envelope(msgspec.Struct):
    """Of a CloudEvent, what is needed beside its model: the id, and the data's own text for history."""

    id: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")


_decode_envelope = msgspec.json.Decoder(_Envelope).decode


@dataclass(frozen=True)
class Projection:
    """How the events of one collection become rows of one table."""

    table: Table
    fields: Callable[[Any], tuple[Any, ...]]
    """Values of the model's fields, which are the table's first columns."""
    key: str
    version_columns: tuple[str, ...] = ()
    versions: Callable[[Any], tuple[int, ...]] = lambda _: ()
    deleted: str | None = None
    """Type of the event that sets `deleted_at`, for tables that keep tombstones."""

    @property
    def order_columns(self) -> tuple[str, ...]:
        return ("epoch", *self.version_columns, "revision")

    def order(self, event: Event, revision: int) -> Order:
        return (event.epoch, *self.versions(event.data), revision)

    def row(self, event: Event, order: Order) -> Row:
        values = list(self.fields(event.data))
        for position in _json_positions(self.table):
            values[position] = _json_text(values[position])
        tombstone = () if self.deleted is None else (event.time if event.type == self.deleted else None,)
        return (*values, event.time, *order, *tombstone)


def _fields_of(model: type[Contract]) -> Callable[[Any], tuple[Any, ...]]:
    return attrgetter(*model.model_fields)


PROJECTIONS: Mapping[str, Projection] = {
    "vms": Projection(
        table=tables.vms,
        fields=_fields_of(Vm),
        key="id",
        version_columns=("vm_version", "vmi_version"),
        versions=lambda vm: (vm.resource_versions.vm, vm.resource_versions.vmi),
        deleted=VmEventType.DELETED,
    ),
    "migrations": Projection(
        table=tables.migrations,
        fields=_fields_of(Migration),
        key="id",
        version_columns=("object_version",),
        versions=lambda migration: (migration.resource_version,),
        deleted=MigrationEventType.DELETED,
    ),
    "clusters": Projection(table=tables.clusters, fields=_fields_of(ClusterHealth), key="name"),
    "datacenters": Projection(table=tables.datacenters, fields=_fields_of(Datacenter), key="id"),
}
"""By collection, the second token of the subject. Collections of later versions are passed over."""


def project(messages: Sequence[StreamMessage]) -> Batch:
    """Make one batch of messages that follow each other in the stream; there must be at least one."""
    last = messages[-1]
    batch = Batch(revision=Revision(last.sequence), event_id=event_id(last.body))
    newest: dict[str, dict[str, tuple[Order, Event]]] = {collection: {} for collection in PROJECTIONS}
    for message in messages:
        collection = message.subject.split(".", 2)[1]
        if projection := PROJECTIONS.get(collection):
            try:
                event = _accept(message, EVENT_BY_COLLECTION[collection])
                history = _history_rows(event, message)
            except _RejectedError as error:
                batch.set_aside.append(_set_aside_row(message, str(error)))
                continue
            _keep_newest(newest[collection], projection, event, message.sequence)
            batch.history += history
    for collection, kept in newest.items():
        if kept:
            projection = PROJECTIONS[collection]
            batch.rows[projection.table.name] = [projection.row(event, order) for order, event in kept.values()]
    return batch


def set_aside(message: StreamMessage, reason: str) -> Batch:
    """A batch that only sets this message aside, for when the database refuses what it says."""
    row = _set_aside_row(message, reason)
    return Batch(revision=Revision(message.sequence), event_id=event_id(message.body), set_aside=[row])


def event_id(body: bytes) -> str | None:
    """The CloudEvents id of a body; None when it has none."""
    try:
        return _storable(_decode_envelope(body).id)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _keep_newest(kept: dict[str, tuple[Order, Event]], projection: Projection, event: Event, revision: int) -> None:
    order = projection.order(event, revision)
    key = getattr(event.data, projection.key)
    known = kept.get(key)
    if known is None or order > known[0]:
        kept[key] = (order, event)


def _accept(message: StreamMessage, model: type[Event]) -> Event:
    """Decode an event and check that it may say what it says where it says it."""
    if _has_nul(message.body):
        raise _RejectedError("it contains the character U+0000, which Postgres cannot store")
    try:
        event = model.model_validate_json(message.body)
        subject = subject_of(event)
    except ValidationError as error:
        raise _RejectedError(_sentence(error)) from error
    except ValueError as error:
        raise _RejectedError(str(error)) from error
    if message.subject != subject:
        raise _RejectedError(f"its data belongs under subject {subject!r}")
    if event.source != (source := _rightful_source(event)):
        raise _RejectedError(f"its source is {event.source!r}, but its data is about {source!r}")
    if not EARLIEST_YEAR <= event.time.year < LATEST_YEAR:
        raise _RejectedError(f"its time {event.time.isoformat()} cannot be right: check the clock of its writer")
    return event


def _rightful_source(event: Event) -> str:
    match event:
        case VmEvent(data=vm):
            return source_of(vm.datacenter, vm.cluster)
        case MigrationEvent(data=migration):
            return source_of(migration.datacenter_id, migration.cluster)
        case ClusterEvent(data=cluster):
            return source_of(cluster.datacenter, cluster.name)
        case DatacenterEvent(data=datacenter):
            return source_of(datacenter.id)


def _history_rows(event: Event, message: StreamMessage) -> Sequence[HistoryRow]:
    """The event as history keeps it; none for what is no VM's or told of no change."""
    if not isinstance(event, VmEvent) or event.type == VmEventType.OBSERVED:
        return ()
    try:
        data = str(_decode_envelope(message.body).data, "utf-8")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # for example NaN, which pydantic takes for a number
        raise _RejectedError(f"its data is not JSON: {error}") from error
    return (HistoryRow(message.sequence, event.time, event.data.id, event.type, event.epoch, data),)


def _set_aside_row(message: StreamMessage, reason: str) -> SetAsideRow:
    return SetAsideRow(message.sequence, _storable(message.subject) or "", _storable(reason) or "", message.body)


def _storable(text: str | None) -> str | None:
    return text and text.replace("\0", "\ufffd")


def _has_nul(body: bytes) -> bool:
    """Whether the JSON text escapes U+0000. An escaped backslash before `u0000` is no such escape."""
    return b"\\u0000" in body and b"\\u0000" in body.replace(b"\\\\", b"")


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}"


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
