"""Datacenters with their VMs, in the columns of the original's shape, and the counts of GET /api/v1/status.

The whole fleet in one answer is rows made into JSON by msgspec: as fast as JSON built in Postgres with its nulls left
out (measured with 10 000 VMs), and easier to read.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from summit_api.query.vms import LIVE
from summit_api.shapes.original import OriginalVm
from summit_models.contract import ClusterName, DatacenterId
from summit_models.tables import datacenters, vms
from summit_models.vm import VmStatus


class DatacenterRow(NamedTuple):
    id: DatacenterId
    name: str
    location: str | None
    coordinates: list[float] | None
    clusters: list[ClusterName] | None


class FleetRow(NamedTuple):
    """A VM: where it belongs, what the members of the moment are made from, and `members` in the shape's order."""

    datacenter: DatacenterId
    cluster: ClusterName | None
    managed: bool
    created_at: datetime | None
    members: Sequence[Any]


class Count(NamedTuple):
    """How many living VMs have these in common."""

    datacenter: DatacenterId
    cluster: ClusterName | None
    managed: bool
    status: VmStatus
    vms: int


def _members() -> list[ColumnElement[Any]]:
    """The columns of the shape's members; NULL becomes the default, which is left out of the answer."""
    return [
        func.coalesce(vms.c[name], field.default) if field.default is False else vms.c[name]
        for name, field in OriginalVm.model_fields.items()
        if name in vms.c
    ]


_DECLARED = select(*(datacenters.c[name] for name in DatacenterRow._fields)).order_by(datacenters.c.id)
_FLEET = (
    select(vms.c.datacenter, vms.c.cluster, vms.c.managed, vms.c.created_at, *_members())
    .where(LIVE)
    .order_by(vms.c.name, vms.c.id)
)
_BELONGING = (vms.c.datacenter, vms.c.cluster, vms.c.managed, vms.c.status)
_COUNTS = select(*_BELONGING, func.count()).where(LIVE).group_by(*_BELONGING)


async def declared(connection: AsyncConnection) -> list[DatacenterRow]:
    """All datacenters in the order of their ids."""
    return [DatacenterRow(*row) for row in await connection.execute(_DECLARED)]


async def fleet(connection: AsyncConnection) -> list[FleetRow]:
    """All living VMs by name: one scan of the table, whatever its indexes."""
    return [
        FleetRow(dc, cluster, managed, created_at, rest)
        for dc, cluster, managed, created_at, *rest in await connection.execute(_FLEET)
    ]


async def counts(connection: AsyncConnection) -> list[Count]:
    """Living VMs per datacenter, cluster and status: one scan of the table."""
    return [Count(*row) for row in await connection.execute(_COUNTS)]
