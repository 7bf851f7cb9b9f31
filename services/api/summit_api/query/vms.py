"""VMs as GET /api/v1/vms serves them: Postgres builds each item's JSON from its columns.

Measured with pages of 100: 2 ms of our CPU a request, where rows made into JSON here cost 4 to 5.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, DateTime, Select, Text, cast, func, literal_column, select, true, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from summit_api.query import cursor as cursors
from summit_api.query.cursor import SORT_BY_NAME, Cursor
from summit_api.query.filters import VmPageQuery
from summit_api.shapes.inventory import VmItem
from summit_models.contract import ClusterName
from summit_models.tables import vms

LIVE = vms.c.deleted_at.is_(None)


class VmRow(NamedTuple):
    """An item as Postgres made it, and what the members of the moment and the cursor are made from."""

    json: str
    id: str
    name: str
    cluster: ClusterName | None
    managed: bool
    created_at: datetime | None


class DeletedVm(NamedTuple):
    name: str
    deleted_at: datetime


class Page(NamedTuple):
    rows: Sequence[VmRow]
    next: str | None


def _member(column: Column[Any], name: str) -> ColumnElement[Any]:
    """A column under its JSON name. Times are in UTC with a `Z`, whatever the session's time zone is."""
    if isinstance(column.type, DateTime):
        utc = column.op("AT TIME ZONE")(literal_column("'UTC'"))
        return (func.to_json(utc).op("#>>")(literal_column("'{}'")).op("||")(literal_column("'Z'"))).label(name)
    return column.label(name)


_item = (
    select(*(_member(vms.c[name], field.alias or name) for name, field in VmItem.model_fields.items() if name in vms.c))
    .correlate(vms)
    .lateral("item")
)
_COLUMNS = (
    cast(func.row_to_json(literal_column("item")), Text),
    vms.c.id,
    vms.c.name,
    vms.c.cluster,
    vms.c.managed,
    vms.c.created_at,
)


def _select(*more: ColumnElement[Any]) -> Select[Any]:
    return select(*_COLUMNS, *more).select_from(vms.join(_item, true()))


async def page(connection: AsyncConnection, query: VmPageQuery) -> Page:
    """One page in the order of (name, id). Uses vms_by_name, or the index of a filter."""
    statement = _select().where(LIVE, *query.conditions()).order_by(vms.c.name, vms.c.id).limit(query.limit + 1)
    if query.cursor:
        after = cursors.decode(query.cursor)
        statement = statement.where(tuple_(vms.c.name, vms.c.id) > tuple_(after.name, after.id))
    rows = [VmRow(*row) for row in await connection.execute(statement)]
    if len(rows) <= query.limit:
        return Page(rows, None)
    last = rows[query.limit - 1]
    return Page(rows[: query.limit], cursors.encode(Cursor(SORT_BY_NAME, last.name, last.id)))


async def by_id(connection: AsyncConnection, vm_id: str) -> VmRow | DeletedVm | None:
    """The VM with this id, or that it is no more. Uses the primary key."""
    row = (await connection.execute(_select(vms.c.deleted_at).where(vms.c.id == vm_id))).one_or_none()
    if row is None:
        return None
    *columns, deleted_at = row
    return VmRow(*columns) if deleted_at is None else DeletedVm(row.name, deleted_at)


async def by_name(
    connection: AsyncConnection, *, datacenter: str, cluster: str, namespace: str, name: str
) -> VmRow | None:
    """The living VM of this name; the newest, should its predecessor's end not be known yet. Uses vms_by_cluster."""
    statement = _select().where(
        LIVE,
        vms.c.datacenter == datacenter,
        vms.c.cluster == cluster,
        vms.c.namespace == namespace,
        vms.c.name == name,
    )
    row = (await connection.execute(statement.order_by(vms.c.revision.desc()).limit(1))).one_or_none()
    return VmRow(*row) if row else None
