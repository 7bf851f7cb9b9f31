"""Migrations, newest first by default, also those whose object KubeVirt has deleted."""

from collections.abc import Sequence
from functools import cached_property, partial
from typing import Annotated, Any

from pydantic import Field
from pydantic.config import JsonDict

from summit_api.access.principal import Scope
from summit_api.query import identity
from summit_api.query.pages import cursor, order, paging
from summit_api.query.pages.order import Order
from summit_api.query.pages.paging import Listing, Page
from summit_api.query.parameters import checked
from summit_api.query.selection.filters import Filter, Filters, is_so, one_of, several
from summit_api.query.transaction.arguments import Arguments, Bind, where
from summit_api.query.transaction.read_transaction import ReadTransaction
from summit_api.shapes.original import EMPTY_IF_UNKNOWN, OriginalMigration
from summit_models.contract import ClusterName, DatacenterId
from summit_models.migration import Migration, MigrationDirection
from summit_models.tables import migrations

MAX_LIMIT = 1000
"""Also without `limit`: a year of history is long, and 1000 migrations are 0.7 MB. `Link` leads on."""

COLUMNS = order.sortable(
    migrations,
    *("created_at", "start_time", "end_time", "vm_name", "phase", "namespace", "cluster", "datacenter_id", "id"),
)
"""Migrations can be sorted by these; each has an index."""

_IDENTITY = (order.ID, order.Column("cluster", nullable=False))
"""What identifies a migration."""

_ENDED = "(completed OR deleted_at IS NOT NULL)"
"""A migration whose object was deleted under way has ended, whatever its last state was."""
_UNDER_WAY = "NOT completed AND deleted_at IS NULL"
"""Index migrations_active."""

_COMPUTED = {
    **{name: f"coalesce({name}, '')" for name in EMPTY_IF_UNKNOWN},
    "created_at": "coalesce(created_at, observed_at)",  # the original always has one
    "updated_at": "observed_at",
    "completed": _ENDED,
}
_MEMBERS = ", ".join(_COMPUTED.get(name, name) for name in OriginalMigration.model_fields)

DIRECTIONS: JsonDict = {"enum": [direction.value for direction in MigrationDirection]}
"""Only documented: a wrong direction is answered with the original's status and sentence, not with a 422."""

_DIRECTION = Filter(
    condition=lambda direction, bind: f"direction = {bind(direction)}",
    matches=lambda direction, state: state.get("direction") == direction,
)


_of = partial(one_of, model=Migration)


class MigrationFilters(Filters):
    """Which migrations."""

    datacenter: Annotated[list[DatacenterId], _of("datacenter_id")] = several("Id of the datacenter")
    cluster: Annotated[list[ClusterName], _of("cluster")] = several("Name of the cluster")
    namespace: Annotated[list[str], _of("namespace")] = several("Namespace")
    vm: Annotated[list[str], _of("vm_name")] = several("Name of the VM")
    phase: Annotated[list[str], _of("phase")] = several("Phase", examples=[["Failed"]])
    direction: Annotated[str, _DIRECTION] = Field(
        default="", description="Direction; empty for all", json_schema_extra=DIRECTIONS
    )
    completed: Annotated[bool | None, is_so("completed", _ENDED, _UNDER_WAY, model=Migration)] = Field(
        default=None, description="true: migrations that have ended, well or not; false: those under way"
    )
    stuck: Annotated[bool | None, is_so("stuck", "stuck IS NOT NULL", "stuck IS NULL", model=Migration)] = Field(
        default=None, description="true: only migrations that make no progress; false: all others"
    )


class MigrationPageQuery(MigrationFilters):
    """Which migrations, and which page of them."""

    sort: Annotated[str, checked(lambda text: order.parse(text, COLUMNS, tie=_IDENTITY))] = Field(
        default="-createdAt",
        max_length=100,
        description=f"Members to sort by: {', '.join(COLUMNS)}. `-` before a member sorts it in descending order. "
        "Unknown values come last",
    )
    limit: int = Field(default=MAX_LIMIT, ge=1, le=MAX_LIMIT, description="Maximum number of migrations in one answer")
    cursor: str | None = Field(
        default=None, max_length=cursor.MAX_LENGTH, description="As in the `Link` of the previous answer"
    )

    @cached_property
    def order(self) -> Order:
        return order.parse(self.sort or "-createdAt", COLUMNS, tie=_IDENTITY)


async def page(transaction: ReadTransaction, query: MigrationPageQuery, scope: Scope) -> Page:
    """Rows have the members of OriginalMigration, in order."""
    belongs = ("migrations", str(query.order), query.fingerprint())
    return await paging.read(
        transaction, listing(query, query.order, scope), query.cursor, query.limit, belongs=belongs
    )


async def every(transaction: ReadTransaction, filters: MigrationFilters, scope: Scope) -> list[Sequence[Any]]:
    """All of a selection at once, as the original's paths have it, newest first."""
    return await paging.read_all(
        transaction, listing(filters, order.parse("-createdAt", COLUMNS, tie=_IDENTITY), scope)
    )


def listing(filters: MigrationFilters, wanted: Order, scope: Scope) -> Listing:
    """Indexes migrations_by_…, of the order or of a filter."""

    def conditions(bind: Bind) -> list[str]:
        return [*filters.conditions(bind), *scope.conditions(bind, datacenter="datacenter_id")]

    return Listing(f"SELECT {paging.selected(_MEMBERS, wanted)} FROM migrations", conditions, wanted)  # noqa: S608


async def by_id(
    transaction: ReadTransaction, migration_id: str, scope: Scope, cluster: Sequence[ClusterName] = ()
) -> Sequence[Any] | None:
    """The migration with this id; of several the one whose object is not deleted. Index: the primary key.

    Raises AmbiguousIdError when several clusters have the object.
    """
    arguments = Arguments()
    one = [f"id = {arguments.bind(migration_id)}", *identity.in_cluster(cluster, arguments.bind)]
    visible = where([*one, *scope.conditions(arguments.bind, datacenter="datacenter_id")])
    rows = await transaction.fetch(
        f"SELECT deleted_at IS NULL, cluster, {_MEMBERS} FROM migrations {visible} ORDER BY revision DESC",  # noqa: S608
        *arguments,
    )
    living = [row for row in rows if row[0]] or rows[:1]
    row = identity.only(migration_id, living, lambda row: str(row[1]), named=bool(cluster))
    return None if row is None else row[2:]
