"""Datacenters with their VMs, in the columns of the original's shape, and the counts of GET /api/v1/status.

The whole fleet in one answer is rows made into JSON by msgspec: as fast as JSON built in Postgres with its nulls left
out (measured with 10 000 VMs), and easier to read.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import func, select
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


class Count(NamedTuple):
    """How many living VMs have these in common."""

    datacenter: DatacenterId
    cluster: ClusterName | None
    managed: bool
    status: VmStatus
    vms: int


_DECLARED = select(*(datacenters.c[name] for name in DatacenterRow._fields)).order_by(datacenters.c.id)
_FLEET = (
    select(
        vms.c.datacenter,
        vms.c.managed,
        vms.c.created_at,
        *(vms.c[name] for name in OriginalVm.model_fields if name in vms.c),
    )
    .where(LIVE)
    .order_by(vms.c.name, vms.c.id)
)
_BELONGING = (vms.c.datacenter, vms.c.cluster, vms.c.managed, vms.c.status)
_COUNTS = select(*_BELONGING, func.count()).where(LIVE).group_by(*_BELONGING)


async def declared(connection: AsyncConnection) -> list[DatacenterRow]:
    """All datacenters in the order of their ids."""
    return [DatacenterRow(*row) for row in await connection.execute(_DECLARED)]


async def fleet(connection: AsyncConnection) -> Sequence[Sequence[Any]]:
    """All living VMs by name: datacenter, managed, created_at, then the stored members of OriginalVm in their order.

    One scan of the table, whatever its indexes. The driver's own rows: SQLAlchemy's double the time of 10 000.
    """
    driver = (await connection.get_raw_connection()).driver_connection
    assert driver is not None  # noqa: S101  only of a connection that was closed
    rows: Sequence[Sequence[Any]] = await driver.fetch(str(_FLEET.compile(dialect=connection.dialect)))
    return rows


async def counts(connection: AsyncConnection) -> list[Count]:
    """Living VMs per datacenter, cluster and status: one scan of the table."""
    return [Count(*row) for row in await connection.execute(_COUNTS)]
