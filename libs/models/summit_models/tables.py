"""The tables in Postgres: written by the projector alone, read by the api, migrated by alembic.

`vms`, `migrations`, `clusters` and `datacenters` are made from the contract's own models, so a field is declared once
and its column follows. Numbers are BIGINT throughout: SQLModel's INTEGER overflows at 2 GiB and at 2^31 sequences.

A VM or migration is identified by its uid and the cluster that shows it. A second cluster may show the same uid,
because it was restored from a copy of the first one's etcd, is the first one under another name, or means harm: that is
another row.
"""

import types
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import AwareDatetime
from sqlalchemy import Column, Computed, Index, Table, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR
from sqlalchemy.types import BigInteger, Boolean, DateTime, Text, TypeEngine
from sqlmodel import Field, SQLModel

from summit_models.bulk_operation import BulkOperation
from summit_models.cluster import ClusterHealth
from summit_models.contract import Contract
from summit_models.datacenter import Datacenter
from summit_models.migration import Migration
from summit_models.operation import Operation
from summit_models.vm import Vm

metadata = SQLModel.metadata

SCHEMA_REVISION = "0015"
"""alembic's newest revision of these tables. The api is ready when the database has it."""


def newer_schema(found: str | None) -> str | None:
    """What to do about tables of this revision, if a newer version has made them; None for all others.

    After a downgrade nobody writes them: this version's projector cannot, so they show the moment of the downgrade.
    """
    if found is None or found <= SCHEMA_REVISION:  # they have four digits
        return None
    return (
        f"the tables were made by a newer version (their schema is {found}, this version's is {SCHEMA_REVISION}): "
        "start that version again, or restore a backup of Postgres from before the upgrade"
    )


def _columns(model: type[Contract], *key: str) -> list[Column[Any]]:
    return [
        Column(name, _sql_type(field.annotation), primary_key=name in key) for name, field in model.model_fields.items()
    ]


def _sql_type(annotation: Any) -> TypeEngine[Any]:
    """Column type of a model field. Raises TypeError for a type that has no rule yet."""
    if get_origin(annotation) in (Union, types.UnionType):
        (annotation,) = (a for a in get_args(annotation) if a is not types.NoneType)
    annotation = getattr(annotation, "__supertype__", annotation)  # what a NewType wraps
    if get_origin(annotation) in (list, dict, tuple) or _is_a(annotation, Contract):
        return JSONB()
    if get_origin(annotation) is Literal or _is_a(annotation, StrEnum):
        return Text()
    try:
        return _SQL_TYPES[annotation]
    except KeyError:
        raise TypeError(f"no column type for {annotation!r}: add it to _SQL_TYPES") from None


def _is_a(annotation: Any, kind: type) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, kind)


_SQL_TYPES: dict[Any, TypeEngine[Any]] = {
    bool: Boolean(),
    int: BigInteger(),
    str: Text(),
    AwareDatetime: DateTime(timezone=True),
}


def _provenance(*versions: str) -> list[Column[Any]]:
    """The event that a row is from, and its resourceVersions: a row never goes back to older ones."""
    return [
        Column("observed_at", DateTime(timezone=True), nullable=False),
        Column("epoch", BigInteger, nullable=False),
        *(Column(version, BigInteger, nullable=False) for version in versions),
        Column("revision", BigInteger, nullable=False),
    ]


def _tombstone() -> Column[Any]:
    """A deleted object keeps its row, so that a late older event cannot bring it back. It ends with its history."""
    return Column("deleted_at", DateTime(timezone=True))


SHOWN_BY = "CASE WHEN managed THEN coalesce(cluster, '') ELSE '' END"
"""The cluster that shows a row of `vms`, which with the id identifies it. Empty for a VM that was added by hand: nobody
watches it, and its member `cluster` is any text."""
ENTRY_SHOWN_BY = "CASE WHEN {0}data ->> 'managed' = 'false' THEN '' ELSE coalesce({0}data ->> 'cluster', '') END"
"""The same of a journal entry, also of one about a migration. Empty for clusters and datacenters. Without a column and
an index of its own, since two clusters seldom show one id, and a year of history cannot be rewritten in a moment.
`{0}` is the alias of the entry with its dot."""


def shown_by(vm: Any) -> str:
    """The same of a state, a `Vm` or a struct with its fields."""
    return (vm.cluster or "") if vm.managed else ""


def _shown_by() -> Column[Any]:
    return Column("shown_by", Text, Computed(SHOWN_BY, persisted=True), primary_key=True)


_LIVE = text("deleted_at IS NULL")

vms = Table(
    "vms",
    metadata,
    *_columns(Vm, "id"),
    *_provenance("vm_version", "vmi_version"),
    _tombstone(),
    _shown_by(),
    # One index per filter and order of GET /api/v1/vms, each in the order of its pages, which ends with
    # (name, id, shown_by).
    # No index has a column that each event changes: an update that moves no index entry stays on its page (HOT).
    Index("vms_by_name", "name", "id", "shown_by", postgresql_where=_LIVE),
    Index("vms_by_datacenter", "datacenter", "name", "id", "shown_by", postgresql_where=_LIVE),
    Index("vms_by_cluster", "cluster", "name", "id", "shown_by", postgresql_where=_LIVE),
    Index("vms_by_namespace", "namespace", "name", "id", "shown_by", postgresql_where=_LIVE),
    Index("vms_by_status", "status", "name", "id", "shown_by", postgresql_where=_LIVE),
    Index("vms_by_node", "node_name", "name", "id", "shown_by", postgresql_where=_LIVE),
    Index("vms_by_cpu", text("cpu DESC"), "name", "id", "shown_by", postgresql_where=_LIVE),
    Index("vms_by_memory", text("memory DESC"), "name", "id", "shown_by", postgresql_where=_LIVE),
    Index("vms_by_disk", text("disk DESC"), "name", "id", "shown_by", postgresql_where=_LIVE),
    Index("vms_by_created", text("created_at DESC"), "name", "id", "shown_by", postgresql_where=_LIVE),
    Index("vms_unmanaged", "name", "id", "shown_by", postgresql_where=text("deleted_at IS NULL AND NOT managed")),
    Index(
        "vms_with_problems", "name", "id", "shown_by", postgresql_where=text("deleted_at IS NULL AND problems <> '[]'")
    ),
)

vm_labels = Table(
    "vm_labels",
    metadata,
    Column("id", Text, primary_key=True),
    Column("shown_by", Text, primary_key=True),
    Column("labels", ARRAY(Text), nullable=False),
    Index("vm_labels_by_label", "labels", postgresql_using="gin"),
)
"""The labels of each row of `vms` as `key` and `key=value`, kept by triggers. Readers find VMs by it."""

vm_words = Table(
    "vm_words",
    metadata,
    Column("id", Text, primary_key=True),
    Column("shown_by", Text, primary_key=True),
    Column("text", Text, nullable=False),
    Column("words", TSVECTOR, nullable=False),
    Index("vm_words_by_word", "words", postgresql_using="gin"),
)
"""Names, places, addresses and guest OS of each row of `vms`, for the search of free text. Kept by triggers."""

migrations = Table(
    "migrations",
    metadata,
    *_columns(Migration, "id", "cluster"),
    *_provenance("object_version"),
    _tombstone(),
    Index("migrations_by_age", text("created_at DESC"), "id", "cluster"),
    Index("migrations_by_vm", "vm_name", text("created_at DESC")),
    Index("migrations_by_datacenter", "datacenter_id", text("created_at DESC")),
    Index("migrations_by_cluster", "cluster", text("created_at DESC")),
    Index("migrations_by_namespace", "namespace", text("created_at DESC")),
    Index("migrations_by_phase", "phase", text("created_at DESC")),
    Index("migrations_by_direction", "direction", text("created_at DESC")),
    Index("migrations_by_start", text("start_time DESC")),
    Index("migrations_by_end", text("end_time DESC")),
    Index("migrations_stuck", text("created_at DESC"), postgresql_where=text("stuck IS NOT NULL")),
    Index("migrations_active", text("created_at DESC"), postgresql_where=text("NOT completed")),
)

operations = Table(
    "operations",
    metadata,
    *_columns(Operation, "id"),
    *_provenance(),
    Index("operations_by_age", text("requested_at DESC"), "id"),
    Index("operations_by_vm", "vm_id", text("requested_at DESC")),
    Index("operations_by_datacenter", "datacenter", text("requested_at DESC")),
    Index("operations_by_cluster", "cluster", text("requested_at DESC")),
    Index("operations_by_namespace", "namespace", text("requested_at DESC")),
    Index("operations_by_action", "action", text("requested_at DESC")),
    Index("operations_by_state", "state", text("requested_at DESC")),
    Index("operations_by_caller", "by", text("requested_at DESC")),
    Index("operations_by_parent", "parent", text("requested_at DESC")),
    Index("operations_active", "cluster", "vm_id", postgresql_where=text("ended_at IS NULL")),
)

bulk_operations = Table(
    "bulk_operations",
    metadata,
    *_columns(BulkOperation, "id"),
    *_provenance(),
    Index("bulk_operations_by_age", text("requested_at DESC"), "id"),
    Index("bulk_operations_active", "id", postgresql_where=text("ended_at IS NULL")),
)

clusters = Table("clusters", metadata, *_columns(ClusterHealth, "name"), *_provenance())

datacenters = Table("datacenters", metadata, *_columns(Datacenter, "id"), *_provenance())


class JournalEntry(SQLModel, table=True):
    """The journal: one row for each event that changed a row, written in the same transaction as that row.

    So it is the history of every collection and the source of the feed. An event that is ignored, because its epoch is
    stale or because its row is newer, has no entry, and neither has one that repeats the state of its row. Entries are
    kept for as many months as the operator decides. Partitioned by month of `time`.
    """

    __tablename__ = "events"
    __table_args__ = (
        # A key is unique enough without its collection and cluster: ids are UUIDs, only clusters and datacenters have
        # names, and two clusters seldom show one id.
        Index("events_by_key", "key", "time", "revision"),
        {"postgresql_partition_by": "RANGE (time)"},
    )

    revision: int = Field(primary_key=True, sa_type=BigInteger)
    time: datetime = Field(primary_key=True, sa_type=DateTime(timezone=True))
    key: str = Field(sa_type=Text)
    """The id or name of the object. Which row it is of also depends on the cluster (`ENTRY_SHOWN_BY`)."""
    type: str = Field(sa_type=Text)
    data: dict[str, Any] = Field(sa_type=JSONB)
    """The event's own data as it was published, with its `changes`."""
    collection: str = Field(sa_type=Text)
    """Name of the row's table, which is the second token of the event's subject."""
    stream_created_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    """The stream in which `revision` counts. Entries of earlier streams may have the same revisions, so a query by
    revision also asks for the checkpoint's `stream_created_at`. None: an entry that stands for no event of the stream,
    such as a last state that is kept when its month is dropped."""


class Checkpoint(SQLModel, table=True):
    """One row: how far the stream has been applied, and by what it is recognized as the same stream."""

    stream: str = Field(primary_key=True, sa_type=Text)
    revision: int = Field(sa_type=BigInteger)
    generation: int = Field(sa_type=BigInteger)
    """Raised when rows change otherwise than by the next event: the stream was replaced, the tables were rebuilt.
    A reader that follows the revisions of one generation must read everything again in the next one."""
    stream_created_at: datetime = Field(sa_type=DateTime(timezone=True))
    event_id: str | None = Field(default=None, sa_type=Text)
    applied_at: datetime = Field(sa_type=DateTime(timezone=True))
    history_since: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    """From here on the journal is complete; earlier months were dropped. None while none was dropped."""


class DeadLetter(SQLModel, table=True):
    """An event that cannot be applied. It is kept with the reason, so that nothing is lost and the others go on."""

    __tablename__ = "dead_letters"

    revision: int = Field(primary_key=True, sa_type=BigInteger)
    subject: str = Field(sa_type=Text)
    reason: str = Field(sa_type=Text)
    body: bytes
    dead_lettered_at: datetime = Field(sa_type=DateTime(timezone=True))
