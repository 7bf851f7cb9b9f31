"""VMs as GET /api/v1/vms serves them: Postgres builds each item's JSON from its columns.

The one endpoint that is asked hundreds of times a second, so its SQL is text and its rows are the driver's: half of our
CPU of the same through SQLAlchemy, a quarter of making the JSON here (measured with pages of 100).
"""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Column, DateTime

from summit_api.access.scope import Scope
from summit_api.query import cursor as cursors
from summit_api.query.arguments import Arguments, where
from summit_api.query.cursor import SORT_BY_NAME, Cursor
from summit_api.query.filters import VmFilters, VmPageQuery
from summit_api.query.snapshot import Snapshot
from summit_api.shapes.inventory import VmItem
from summit_models.contract import ClusterName, DatacenterId
from summit_models.tables import vms


class VmRow(NamedTuple):
    """An item as Postgres made it, and what the members of the moment and the cursor are made from."""

    json: str
    id: str
    name: str
    datacenter: DatacenterId
    cluster: ClusterName | None
    managed: bool
    created_at: datetime | None


PIECE_ROWS = 50
"""Of what is read piece by piece: about as much JSON as is sent at once."""


class DeletedVm(NamedTuple):
    name: str
    deleted_at: datetime


class Page(NamedTuple):
    rows: Sequence[VmRow]
    next: str | None


def _member(column: Column[Any], name: str) -> str:
    """A column under its JSON name. Times are in UTC with a `Z`, whatever the session's time zone is."""
    if isinstance(column.type, DateTime):
        return f"(to_json(vms.{column.name} AT TIME ZONE 'UTC') #>> '{{}}') || 'Z' AS \"{name}\""
    return f'vms.{column.name} AS "{name}"'


_MEMBERS = ", ".join(
    _member(vms.c[name], field.alias or name) for name, field in VmItem.model_fields.items() if name in vms.c
)
_SELECT = f"""
SELECT (SELECT row_to_json(item)::text FROM (SELECT {_MEMBERS}) AS item),
       id, name, datacenter, cluster, managed, created_at
FROM vms
"""  # noqa: S608  names are our own

# The primary key.
_BY_ID = f"{_SELECT} WHERE id = $1 AND deleted_at IS NULL"
_DELETED = "SELECT name, deleted_at FROM vms WHERE id = $1"

# Index vms_by_cluster. The newest, should the end of its predecessor not be known yet.
_BY_NAME = f"""
{_SELECT} WHERE deleted_at IS NULL AND datacenter = $1 AND cluster = $2 AND namespace = $3 AND name = $4
ORDER BY revision DESC LIMIT 1
"""


async def page(snapshot: Snapshot, query: VmPageQuery) -> Page:
    """One page in the order of (name, id)."""
    statement, arguments = _page_statement(query)
    rows = [VmRow(*row) for row in await snapshot.fetch(statement, *arguments)]
    if len(rows) <= query.limit:
        return Page(rows, None)
    last = rows[query.limit - 1]
    return Page(rows[: query.limit], cursors.encode(Cursor(SORT_BY_NAME, last.name, last.id)))


def _page_statement(query: VmPageQuery) -> tuple[str, list[str | int]]:
    """SQL and its arguments. Index vms_by_name, or that of a filter: all are in the order of the pages."""
    arguments: list[str | int] = []

    def bind(value: str | int) -> str:
        arguments.append(value)
        return f"${len(arguments)}"

    conditions = ["deleted_at IS NULL", *query.conditions(bind)]
    if query.cursor is not None:
        after = cursors.decode(query.cursor)
        conditions.append(f"(name, id) > ({bind(after.name)}, {bind(after.id)})")
    where = " AND ".join(conditions)
    return f"{_SELECT} WHERE {where} ORDER BY name, id LIMIT {bind(query.limit + 1)}", arguments


async def by_id(snapshot: Snapshot, vm_id: str) -> VmRow | DeletedVm | None:
    """The VM with this id, or that it is no more."""
    for row in await snapshot.fetch(_BY_ID, vm_id):
        return VmRow(*row)
    for row in await snapshot.fetch(_DELETED, vm_id):
        return DeletedVm(*row)
    return None


async def by_name(snapshot: Snapshot, *, datacenter: str, cluster: str, namespace: str, name: str) -> VmRow | None:
    """The living VM of this name."""
    for row in await snapshot.fetch(_BY_NAME, datacenter, cluster, namespace, name):
        return VmRow(*row)
    return None


async def every(snapshot: Snapshot, filters: VmFilters, scope: Scope) -> AsyncIterator[list[VmRow]]:
    """All VMs that a list of these filters has, in no order, piece by piece: the rest stays on the server.

    One scan of the table, or the index of a filter.
    """
    arguments = Arguments()
    conditions = ["deleted_at IS NULL", *filters.conditions(arguments.bind), *scope.conditions(arguments.bind)]
    cursor = await snapshot.driver.cursor(f"{_SELECT} {where(conditions)}", *arguments)
    while rows := await cursor.fetch(PIECE_ROWS):
        yield [VmRow(*row) for row in rows]
