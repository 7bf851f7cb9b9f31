"""Clusters as the tables know them: the last change of state of each."""

from sqlalchemy import select

from summit_api.query.snapshot import Snapshot
from summit_models.cluster import ClusterHealth
from summit_models.tables import clusters

_SELECT = select(*(clusters.c[name] for name in ClusterHealth.model_fields)).order_by(clusters.c.name)


async def listed(snapshot: Snapshot) -> list[ClusterHealth]:
    rows = await snapshot.connection.execute(_SELECT)
    return [ClusterHealth.model_validate(dict(row._mapping)) for row in rows]  # noqa: SLF001  SQLAlchemy's public name
