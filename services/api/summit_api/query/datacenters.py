"""Datacenters with their VMs, in the columns of the original's shape, and the counts of GET /api/v1/status.

The whole fleet in one answer is rows made into JSON by msgspec: as fast as JSON built in Postgres with its nulls left
out (measured with 10 000 VMs), and easier to read.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import func, select

from summit_api.query.snapshot import Snapshot
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
_MEMBERS = ", ".join(name for name in OriginalVm.model_fields if name in vms.c)
# One scan of the table, whatever its indexes.
_FLEET = f"""
SELECT datacenter, managed, created_at, {_MEMBERS} FROM vms WHERE deleted_at IS NULL ORDER BY name, id
"""  # noqa: S608  names are our own
_BELONGING = (vms.c.datacenter, vms.c.cluster, vms.c.managed, vms.c.status)
_COUNTS = select(*_BELONGING, func.count()).where(vms.c.deleted_at.is_(None)).group_by(*_BELONGING)


async def declared(snapshot: Snapshot) -> list[DatacenterRow]:
    """All datacenters in the order of their ids."""
    return [DatacenterRow(*row) for row in await snapshot.connection.execute(_DECLARED)]


async def fleet(snapshot: Snapshot) -> Sequence[Sequence[Any]]:
    """All living VMs by name: datacenter, managed, created_at, then the stored members of OriginalVm in their order.

    The driver's own rows: SQLAlchemy's double the time of 10 000.
    """
    return await snapshot.fetch(_FLEET)


async def counts(snapshot: Snapshot) -> list[Count]:
    """Living VMs per datacenter, cluster and status: one scan of the table."""
    return [Count(*row) for row in await snapshot.connection.execute(_COUNTS)]
