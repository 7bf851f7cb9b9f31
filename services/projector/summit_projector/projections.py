"""How the events of each collection become rows of a table, with a key and the order of their states.

A field is declared once, in the contract's models, and a collection once, here: decoding, projecting, SQL, rewinding
and rebuilding all follow.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import BigInteger, DateTime, Table
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from summit_models import tables
from summit_models.bulk_operation import BulkOperation
from summit_models.cluster import ClusterHealth
from summit_models.codec import Decode, Decoded, decoder
from summit_models.contract import ClusterName, Contract, DatacenterId
from summit_models.datacenter import Datacenter
from summit_models.event import (
    BULK_SOURCE,
    BulkOperationEvent,
    ClusterEvent,
    DatacenterEvent,
    MigrationEvent,
    MigrationEventType,
    OperationEvent,
    VmEvent,
    VmEventType,
    source_of,
)
from summit_models.migration import Migration
from summit_models.operation import Operation
from summit_models.structs import to_json
from summit_models.subject import (
    UNMANAGED,
    bulk_operation_subject,
    cluster_subject,
    datacenter_subject,
    migration_subject,
    subject_of_operation,
    unmanaged_vm_subject,
    vm_subject,
)
from summit_models.vm import Vm

Row = tuple[Any, ...]
"""Values in the order of the table's columns, JSONB as text."""

_SMALLEST, _LARGEST = -(2**63), 2**63 - 1
"""Of BIGINT."""
_FINITE = {
    datetime.min.replace(tzinfo=UTC): datetime.min.replace(microsecond=1, tzinfo=UTC),
    datetime.max.replace(tzinfo=UTC): datetime.max.replace(microsecond=999_998, tzinfo=UTC),
}
"""The first and the last time of Python, which asyncpg stores as -infinity and infinity, and what is stored instead.
asyncpg reads an infinity as a time without a zone, which no answer can be made of: one VM would fail every list."""

Order = tuple[int, ...]
"""Epoch, resourceVersions, revision: the greater one is the newer state. They order the states of one object of one
cluster: epochs and resourceVersions of two clusters have nothing to do with each other."""

Identity = tuple[str, ...]
"""The primary key of a row: the uid of a VM or migration and the cluster that shows it, or a name."""

CACHED_SUBJECTS = 20_000
"""Making and checking a subject takes as long as decoding an event."""


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
    """The field that the journal names the object by."""
    shown_by: Callable[[Any], tuple[str, ...]] = lambda _: ()
    """From the data: what identifies the object beside the key."""
    version_columns: tuple[str, ...] = ()
    versions: Callable[[Any], tuple[int, ...]] = lambda _: ()
    deleted: str | None = None
    """Type of the event that sets `deleted_at`, for tables that keep tombstones."""
    has_epochs: bool = True
    """Whether the watch of its cluster publishes its events. Without epochs the stream alone orders them."""
    observed: str | None = None
    """Type of the event that repeats an unchanged state."""
    outlives_log: str = "FALSE"
    """SQL condition on a `{row}` that stays when a stream does not have it."""

    def outlives(self, row: str) -> str:
        """The condition on the row of this alias."""
        return self.outlives_log.format(row=row)

    @cached_property
    def identity_columns(self) -> tuple[str, ...]:
        """The primary key, in the order of `identity`."""
        return tuple(column.name for column in sorted(self.table.primary_key, key=lambda c: c.name != self.key))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Those that a row has values for; the database computes the others."""
        return tuple(column.name for column in self.table.columns if column.computed is None)

    def identity(self, data: Any) -> Identity:
        return (getattr(data, self.key), *self.shown_by(data))

    @property
    def order_columns(self) -> tuple[str, ...]:
        return ("epoch", *self.version_columns, "revision")

    @cached_property
    def _json_positions(self) -> Sequence[int]:
        return [position for position, column in enumerate(self.table.columns) if isinstance(column.type, JSONB)]

    def _positions(self, kind: type[TypeEngine[Any]]) -> Sequence[int]:
        """Where values of this kind stand among those of the model's fields."""
        fields = [column for column in self.columns if column not in (*self.order_columns, "observed_at", "deleted_at")]
        return [position for position, name in enumerate(fields) if isinstance(self.table.c[name].type, kind)]

    @cached_property
    def _time_positions(self) -> Sequence[int]:
        return self._positions(DateTime)

    @cached_property
    def _number_positions(self) -> Sequence[int]:
        return self._positions(BigInteger)

    def check(self, data: Any) -> None:
        """Raise ValueError for a value that no column can hold.

        Postgres would refuse its row, but not its entry in the journal if a newer event of the same batch makes the
        row: then each look at that time would fail.
        """
        values = self.fields(data)
        numbers = [(self.columns[position], values[position]) for position in self._number_positions]
        for name, number in (*numbers, *zip(self.version_columns, self.versions(data), strict=True)):
            if number is not None and not _SMALLEST <= number <= _LARGEST:
                raise ValueError(f"{name}: {number} does not fit into 64 bits")
        for position in self._time_positions:
            time = values[position]
            if time is not None and time.tzinfo is not UTC and not _is_in_a_year(time):
                raise ValueError(f"{self.columns[position]}: {time.isoformat()} is in no year from 1 to 9999")

    def order(self, event: Decoded, revision: int) -> Order:
        return (event.epoch, *self.versions(event.data), revision)

    def row(self, event: Decoded, order: Order) -> Row:
        values = list(self.fields(event.data))
        for position in self._json_positions:
            values[position] = _json_text(values[position])
        for position in self._time_positions:
            values[position] = _FINITE.get(values[position], values[position])
        tombstone = () if self.deleted is None else (event.time if event.type == self.deleted else None,)
        return (*values, event.time, *order, *tombstone)


def _is_in_a_year(time: datetime) -> bool:
    try:
        time.astimezone(UTC)
    except OverflowError:
        return False
    return True


def _fields_of(model: type[Contract]) -> Callable[[Any], tuple[Any, ...]]:
    return attrgetter(*model.model_fields)


def _vm_place(vm: Any) -> Place:
    if not vm.managed:
        return Place(unmanaged_vm_subject(vm.datacenter, vm.id), source_of(vm.datacenter))
    return _vm_place_by_names(vm.datacenter, vm.cluster, vm.namespace, vm.name)


@lru_cache(maxsize=CACHED_SUBJECTS)
def _vm_place_by_names(
    datacenter: DatacenterId, cluster: ClusterName | None, namespace: str | None, name: str
) -> Place:
    subject = vm_subject(datacenter, cluster or UNMANAGED, namespace or UNMANAGED, name)
    return Place(subject, source_of(datacenter, cluster))


def _migration_place(migration: Any) -> Place:
    datacenter, cluster = migration.datacenter_id, migration.cluster
    subject = migration_subject(datacenter, cluster, migration.namespace or UNMANAGED, migration.name)
    return Place(subject, source_of(datacenter, cluster))


def _operation_place(operation: Any) -> Place:
    return Place(subject_of_operation(operation), source_of(operation.datacenter, operation.cluster))


def _bulk_operation_place(operation: Any) -> Place:
    return Place(bulk_operation_subject(operation.id), BULK_SOURCE)


def _cluster_place(cluster: ClusterHealth) -> Place:
    return Place(cluster_subject(cluster.datacenter, cluster.name), source_of(cluster.datacenter, cluster.name))


def _datacenter_place(datacenter: Datacenter) -> Place:
    return Place(datacenter_subject(datacenter.id), source_of(datacenter.id))


PROJECTIONS: Mapping[str, Projection] = {
    "vms": Projection(
        table=tables.vms,
        decode=decoder(VmEvent),
        place=_vm_place,
        fields=_fields_of(Vm),
        key="id",
        shown_by=lambda vm: (tables.shown_by(vm),),
        version_columns=("vm_version", "vmi_version"),
        versions=lambda vm: (vm.resource_versions.vm, vm.resource_versions.vmi),
        deleted=VmEventType.DELETED,
        observed=VmEventType.OBSERVED,
        outlives_log="NOT {row}.managed",  # the api publishes edits again, from their rows
    ),
    "migrations": Projection(
        table=tables.migrations,
        decode=decoder(MigrationEvent),
        place=_migration_place,
        fields=_fields_of(Migration),
        key="id",
        shown_by=lambda migration: (migration.cluster,),
        version_columns=("object_version",),
        versions=lambda migration: (migration.resource_version,),
        deleted=MigrationEventType.DELETED,
        observed=MigrationEventType.OBSERVED,
        outlives_log="{row}.completed",  # they are history, which is older than the stream
    ),
    "operations": Projection(
        table=tables.operations,
        decode=decoder(OperationEvent),
        place=_operation_place,
        fields=_fields_of(Operation),
        key="id",
        has_epochs=False,  # a step is stored only onto the one before, by the api or by a watcher
        outlives_log="{row}.ended_at IS NOT NULL",  # they are history, which is older than the stream
    ),
    "bulk_operations": Projection(
        table=tables.bulk_operations,
        decode=decoder(BulkOperationEvent),
        place=_bulk_operation_place,
        fields=_fields_of(BulkOperation),
        key="id",
        has_epochs=False,
        outlives_log="{row}.ended_at IS NOT NULL",
    ),
    "clusters": Projection(
        table=tables.clusters,
        decode=decoder(ClusterEvent),
        place=_cluster_place,
        fields=_fields_of(ClusterHealth),
        key="name",
    ),
    "datacenters": Projection(
        table=tables.datacenters,
        decode=decoder(DatacenterEvent),
        place=_datacenter_place,
        fields=_fields_of(Datacenter),
        key="id",
    ),
}
"""By collection, the second token of the subject. Events of other collections, from later versions, are ignored."""


def _json_text(value: Any) -> str | None:
    """JSON under the contract's names (camelCase) for a JSONB column; None stays SQL's NULL."""
    return None if value is None else _encode_json(value).decode()


_encode_json = msgspec.json.Encoder(enc_hook=to_json).encode
