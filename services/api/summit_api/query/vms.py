"""VMs as GET /api/v1/vms serves them: Postgres builds each item's JSON from its columns.

This endpoint is asked hundreds of times per second, so its SQL is text and its rows are the driver's. That takes half
of the CPU time of SQLAlchemy, and a quarter of making the JSON here (measured with pages of 100).
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from functools import cached_property, lru_cache, partial
from typing import Annotated, NamedTuple

import msgspec
from pydantic import AfterValidator, Field
from sqlalchemy import Column, DateTime

from summit_api.access.principal import EVERYTHING, Scope
from summit_api.query import identity
from summit_api.query.pages import cursor, order, paging
from summit_api.query.pages.order import Order
from summit_api.query.pages.paging import Listing
from summit_api.query.parameters import DEFAULT_LIMIT, MAX_LIMIT, MAX_VALUES, checked
from summit_api.query.past import check_known, vms_at
from summit_api.query.selection.filters import VmFilters
from summit_api.query.times import Past
from summit_api.query.transaction.arguments import Arguments, Bind, where
from summit_api.query.transaction.read_transaction import ReadTransaction
from summit_api.shapes.inventory import VmItem
from summit_models.contract import ClusterName, DatacenterId, Uid
from summit_models.tables import shown_by, vms

COLUMNS = order.sortable(
    vms,
    *("name", "namespace", "cluster", "datacenter", "status", "node_name", "cpu", "memory", "disk", "created_at", "id"),
)
"""VMs can be sorted by these. Each has an index that ends with (name, id, shown_by)."""

MEMBERS = {field.alias or name: name for name, field in VmItem.model_fields.items()}
"""Members of an item, and their names in the model."""


def vm_order(text: str) -> Order:
    return order.parse(text, COLUMNS, then=("name",))


def _named(text: str) -> list[str]:
    return [name for name in map(str.strip, text.split(",")) if name]


def _members(text: str) -> str:
    for name in _named(text):
        if name not in MEMBERS:
            raise ValueError(f"there is no member {name!r}; members are {', '.join(MEMBERS)}")
    return text


class VmPageQuery(VmFilters):
    """Which VMs, and which page of them."""

    sort: Annotated[str, checked(vm_order)] = Field(
        default="name",
        max_length=MAX_VALUES,
        description=f"Members to sort by: {', '.join(COLUMNS)}. `-` before a member sorts it in descending order. "
        "Unknown values come last; equal ones are in the order of name and id",
        examples=["-memory,name"],
    )
    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Maximum number of items in one page")
    cursor: str | None = Field(
        default=None,
        max_length=cursor.MAX_LENGTH,
        description="`next` of the previous page, with the same sort and filters",
    )
    fields: list[Annotated[str, AfterValidator(_members)]] = Field(
        default=[],
        max_length=MAX_VALUES,
        description="Members that each item should have, separated by `,`; without it all. `id` is always there",
        examples=[["name,status,nodeName"]],
    )
    count: bool = Field(default=False, description="Also count all VMs that match, in the member `count`")
    at: Past = None

    @cached_property
    def order(self) -> Order:
        return vm_order(self.sort)

    @cached_property
    def members(self) -> tuple[str, ...]:
        """The wanted members by their names in the model, in its order."""
        wanted = {MEMBERS[name] for text in self.fields for name in _named(text)}
        return tuple(name for name in MEMBERS.values() if not wanted or name in wanted or name == "id")


class _Identity(msgspec.Struct):
    id: Uid


class VmRow(NamedTuple):
    """An item as Postgres made it, and the columns that age and staleness are computed from."""

    json: str
    datacenter: DatacenterId
    cluster: ClusterName | None
    managed: bool
    created_at: datetime | None

    @property
    def id(self) -> Uid:
        return msgspec.json.decode(self.json, type=_Identity).id


PIECE_ROWS = 50
"""For a list that is read piece by piece: about as much JSON as is sent at once."""


class DeletedVm(NamedTuple):
    name: str
    deleted_at: datetime


class VmPage(NamedTuple):
    rows: Sequence[VmRow]
    next: str | None
    total: int | None
    """On all pages; None unless it was requested."""


def _member(column: Column[object], name: str) -> str:
    """A column under its JSON name. Times are in UTC with a `Z`, whatever the session's time zone is."""
    if isinstance(column.type, DateTime):
        return f"(to_json(vms.{column.name} AT TIME ZONE 'UTC') #>> '{{}}') || 'Z' AS \"{name}\""
    return f'vms.{column.name} AS "{name}"'


# Index: the primary key. It is read for the rows of one page, or of a snapshot: nothing has to be kept beside the rows.
_PROBLEMS = """vms.problems || coalesce((
    SELECT jsonb_agg(CASE other.shown_by WHEN '' THEN 'also added by hand under this id'
        ELSE 'also shown by cluster ' || other.shown_by END ORDER BY other.shown_by)
    FROM vms AS other
    WHERE other.id = vms.id AND other.shown_by <> vms.shown_by AND other.deleted_at IS NULL{visible}
), '[]') AS problems"""
_SURELY_VISIBLE = " AND (other.datacenter, other.namespace) IS NOT DISTINCT FROM (vms.datacenter, vms.namespace)"


@lru_cache(maxsize=100)
def _columns(members: Sequence[str], scope: Scope) -> str:
    """The columns of VmRow, with these members of VmItem in its JSON.

    A reader with limits learns of another cluster's VM with the same id where it is in the same place as the VM.
    """
    fields = VmItem.model_fields
    problems = _PROBLEMS.format(visible="" if scope == EVERYTHING else _SURELY_VISIBLE)
    columns = [
        problems if name == "problems" else _member(vms.c[name], fields[name].alias or name)
        for name in members
        if name in vms.c
    ]
    chosen = ", ".join(columns)
    return f"(SELECT row_to_json(item)::text FROM (SELECT {chosen}) AS item), datacenter, cluster, managed, created_at"  # noqa: S608


_ALL = tuple(VmItem.model_fields)


async def page(transaction: ReadTransaction, query: VmPageQuery, scope: Scope) -> VmPage:
    """One page of the living VMs, or of those that lived at `query.at`.

    Raises HistoryNotKeptError for a time at which nothing was known yet.
    """
    belongs = ("vms", str(query.order), query.fingerprint(), query.at)
    rows, following = await paging.read(
        transaction, page_listing(query, scope), query.cursor, query.limit, belongs=belongs
    )
    if query.at and not rows and query.cursor is None:
        await check_known(transaction, query.at, scope, datacenter=query.datacenter, cluster=query.cluster)
    total = await _count(transaction, query, scope) if query.count else None
    return VmPage([VmRow(*row) for row in rows], following, total)


def page_listing(query: VmPageQuery, scope: Scope) -> Listing:
    """Indexes vms_by_… of the order or of a filter, those of vm_labels and vm_words."""
    select = f"SELECT {paging.selected(_columns(query.members, scope), query.order)} FROM vms"  # noqa: S608
    then = partial(vms_at, query.at) if query.at else None
    return Listing(select, lambda bind: _conditions(query, scope, bind), query.order, then)


def _conditions(query: VmPageQuery, scope: Scope, bind: Bind) -> list[str]:
    return ["deleted_at IS NULL", *query.conditions(bind, indexed=query.at is None), *scope.conditions(bind)]


async def _count(transaction: ReadTransaction, query: VmPageQuery, scope: Scope) -> int:
    arguments = Arguments()
    then = vms_at(query.at, arguments.bind)
    matching = where(_conditions(query, scope, arguments.bind))
    ((count,),) = await transaction.fetch(f"{then} SELECT count(*) FROM vms {matching}", *arguments)  # noqa: S608
    return int(count)


async def by_id(
    transaction: ReadTransaction,
    vm_id: str,
    scope: Scope,
    *,
    cluster: Sequence[ClusterName] = (),
    at: datetime | None = None,
) -> VmRow | DeletedVm | None:
    """The VM with this id, or when it was deleted. Index: the primary key.

    Raises AmbiguousIdError when several clusters show the id and none of them is named, and HistoryNotKeptError for a
    time at which nothing was known yet.
    """
    arguments = Arguments()
    then = vms_at(at, arguments.bind)
    visible = where(["deleted_at IS NULL", *_same(vm_id, scope, cluster, arguments.bind)])
    found = await transaction.fetch(f"{then} SELECT {_columns(_ALL, scope)} FROM vms {visible}", *arguments)  # noqa: S608
    rows = [VmRow(*row) for row in found]
    row = identity.only(vm_id, rows, shown_by, named=bool(cluster))
    if row is None and at:
        await check_known(transaction, at, scope, cluster=list(filter(None, cluster)))
    return row if row or at else await _deleted(transaction, vm_id, scope, cluster)


async def _deleted(
    transaction: ReadTransaction, vm_id: str, scope: Scope, cluster: Sequence[ClusterName]
) -> DeletedVm | None:
    arguments = Arguments()
    last = f"{where(_same(vm_id, scope, cluster, arguments.bind))} ORDER BY deleted_at DESC LIMIT 1"
    for row in await transaction.fetch(f"SELECT name, deleted_at FROM vms {last}", *arguments):  # noqa: S608
        return DeletedVm(*row)
    return None


def _same(vm_id: str, scope: Scope, cluster: Sequence[ClusterName], bind: Bind) -> list[str]:
    return [f"id = {bind(vm_id)}", *identity.in_cluster(cluster, bind), *scope.conditions(bind)]


async def by_name(
    transaction: ReadTransaction, scope: Scope, *, datacenter: str, cluster: str, namespace: str, name: str
) -> VmRow | None:
    """The living VM of this name; the newest, should the end of its predecessor not be known yet. Index vms_by_name."""
    arguments = Arguments()
    place = {"datacenter": datacenter, "cluster": cluster, "namespace": namespace, "name": name}
    equal = [f"{column} = {arguments.bind(value)}" for column, value in place.items()]
    visible = where(["deleted_at IS NULL", *equal, *scope.conditions(arguments.bind)])
    statement = f"SELECT {_columns(_ALL, scope)} FROM vms {visible} ORDER BY revision DESC LIMIT 1"  # noqa: S608
    for row in await transaction.fetch(statement, *arguments):
        return VmRow(*row)
    return None


async def every(transaction: ReadTransaction, filters: VmFilters, scope: Scope) -> AsyncIterator[list[VmRow]]:
    """All VMs that a list of these filters has, in no order, piece by piece: the rest stays on the server.

    One scan of the table, or the index of a filter.
    """
    arguments = Arguments()
    conditions = ["deleted_at IS NULL", *filters.conditions(arguments.bind), *scope.conditions(arguments.bind)]
    pieces = await transaction.driver.cursor(f"SELECT {_columns(_ALL, scope)} FROM vms {where(conditions)}", *arguments)  # noqa: S608
    while rows := await pieces.fetch(PIECE_ROWS):
        yield [VmRow(*row) for row in rows]
