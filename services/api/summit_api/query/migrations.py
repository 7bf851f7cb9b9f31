"""Migrations, newest first unless told otherwise. Those whose object KubeVirt has removed stay: their history."""

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, Field
from pydantic.config import JsonDict

from summit_api.access.scope import Scope
from summit_api.query import cursor, order, paging
from summit_api.query.arguments import Arguments, where
from summit_api.query.filters import MAX_VALUES, Parameters
from summit_api.query.order import ID, Bind, Column, Order
from summit_api.query.paging import Listing
from summit_api.query.read_transaction import ReadTransaction
from summit_api.shapes.original import OriginalMigration
from summit_models.contract import ClusterName, DatacenterId
from summit_models.migration import MigrationDirection

MAX_LIMIT = 1000
"""Also without `limit`: history grows for ever, and 1000 migrations are 0.7 MB. `Link` leads on."""

COLUMNS = {
    "createdAt": Column("created_at", datetime),
    "startTime": Column("start_time", datetime),
    "endTime": Column("end_time", datetime),
    "vmName": Column("vm_name"),
    "phase": Column("phase"),
    "namespace": Column("namespace"),
    "cluster": Column("cluster"),
    "datacenterId": Column("datacenter_id"),
    "id": ID,
}
"""What migrations can be sorted by; each has an index."""

_FILTERED = {
    "datacenter": "datacenter_id",
    "cluster": "cluster",
    "namespace": "namespace",
    "vm": "vm_name",
    "phase": "phase",
}

_ENDED = "(completed OR deleted_at IS NOT NULL)"
"""A migration whose object was deleted under way has ended, whatever it said last."""
_UNDER_WAY = "NOT completed AND deleted_at IS NULL"
"""Index migrations_active."""

_NEVER_NULL = ("vm_id", "source_cluster", "target_cluster", "source_node", "target_node", "source_pod", "target_pod")
_COMPUTED = {
    **{name: f"coalesce({name}, '')" for name in _NEVER_NULL},
    "created_at": "coalesce(created_at, observed_at)",  # the original always has one
    "updated_at": "observed_at",
    "completed": _ENDED,
}
_MEMBERS = ", ".join(_COMPUTED.get(name, name) for name in OriginalMigration.model_fields)

_DIRECTIONS: JsonDict = {"enum": [direction.value for direction in MigrationDirection]}
"""Documented only: a wrong one is answered with the original's status and sentence, not with a 422."""


def _sort(text: str) -> str:
    order.parse(text, COLUMNS)
    return text


class MigrationFilters(Parameters):
    """Which migrations: repeat a parameter for "or", combine parameters for "and"."""

    datacenter: list[DatacenterId] = Field(default=[], max_length=MAX_VALUES, description="Datacenter id")
    cluster: list[ClusterName] = Field(default=[], max_length=MAX_VALUES, description="Cluster name")
    namespace: list[str] = Field(default=[], max_length=MAX_VALUES, description="Namespace")
    vm: list[str] = Field(default=[], max_length=MAX_VALUES, description="Name of the VM")
    phase: list[str] = Field(default=[], max_length=MAX_VALUES, description="Phase", examples=[["Failed"]])
    direction: str = Field(default="", description="Direction; empty is all", json_schema_extra=_DIRECTIONS)
    completed: bool | None = Field(default=None, description="true: has ended, well or not; false: is under way")

    def conditions(self, bind: Bind) -> list[str]:
        conditions = [
            f"{column} IN ({', '.join(map(bind, values))})"
            for name, column in _FILTERED.items()
            if (values := getattr(self, name))
        ]
        if self.direction:
            conditions.append(f"direction = {bind(self.direction)}")
        if self.completed is not None:
            conditions.append(_ENDED if self.completed else _UNDER_WAY)
        return conditions

    def fingerprint(self) -> list[tuple[str, object]]:
        """Equal for filters that select the same: a cursor belongs to it."""
        lists = [(name, sorted(getattr(self, name))) for name in _FILTERED]
        return [*lists, ("direction", self.direction), ("completed", self.completed)]


class MigrationPageQuery(MigrationFilters):
    """Which migrations, and which page of them."""

    sort: Annotated[str, AfterValidator(_sort)] = Field(
        default="-createdAt",
        max_length=100,
        description=f"Members to sort by, `-` for the greatest first: of {', '.join(COLUMNS)}. Unknown comes last",
    )
    limit: int = Field(default=MAX_LIMIT, ge=1, le=MAX_LIMIT, description="Most migrations of one answer")
    cursor: str | None = Field(
        default=None, max_length=cursor.MAX_LENGTH, description="As in the `Link` of the answer before"
    )

    @cached_property
    def order(self) -> Order:
        return order.parse(self.sort or "-createdAt", COLUMNS)


class MigrationPage(NamedTuple):
    rows: list[Sequence[Any]]
    """The members of OriginalMigration, in order."""
    next: str | None


async def page(transaction: ReadTransaction, query: MigrationPageQuery, scope: Scope) -> MigrationPage:
    belongs = cursor.digest("migrations", str(query.order), query.fingerprint())
    after = None if query.cursor is None else cursor.decode(query.cursor, belongs, query.order.columns)
    rows, last = await paging.read(transaction, listing(query, query.order, scope), after, query.limit)
    return MigrationPage(rows, None if last is None else cursor.encode(belongs, last))


async def every(transaction: ReadTransaction, filters: MigrationFilters, scope: Scope) -> list[Sequence[Any]]:
    """All of a selection at once, as the original's paths have it, newest first."""
    return await paging.read_all(transaction, listing(filters, order.parse("-createdAt", COLUMNS), scope))


def listing(filters: MigrationFilters, wanted: Order, scope: Scope) -> Listing:
    """Indexes migrations_by_…, of the order or of a filter."""

    def conditions(bind: Bind) -> list[str]:
        return [*filters.conditions(bind), *scope.conditions(bind, datacenter="datacenter_id")]

    return Listing(f"SELECT {paging.selected(_MEMBERS, wanted)} FROM migrations", conditions, wanted)  # noqa: S608


async def by_id(transaction: ReadTransaction, migration_id: str, scope: Scope) -> Sequence[Any] | None:
    arguments = Arguments()
    one = f"id = {arguments.bind(migration_id)}"
    visible = where([one, *scope.conditions(arguments.bind, datacenter="datacenter_id")])
    for row in await transaction.fetch(f"SELECT {_MEMBERS} FROM migrations {visible}", *arguments):  # noqa: S608
        return row
    return None
