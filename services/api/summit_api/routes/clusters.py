"""GET /api/v1/clusters: whether each cluster can be watched, since when, and if not, why."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from summit_api.openapi.responses import reads
from summit_api.query import clusters as query
from summit_api.query.parameters import Parameters
from summit_api.render import inventory
from summit_api.requests.reading import ReadingDep
from summit_api.shapes.inventory import ClusterList

router = APIRouter(tags=["clusters"], responses=reads())


@router.get("/clusters", response_model=ClusterList)
async def list_clusters(reading: ReadingDep, _: Annotated[Parameters, Query()]) -> Response:
    """Connection health and freshness of all clusters, by name."""
    tag = reading.tag(staleness=True, contacts=True)
    if reading.is_known(tag):
        return reading.not_modified(tag)
    listed = await query.listed(reading.transaction, reading.scope)
    heartbeats = (h for h in reading.freshness.healths() if reading.scope.allows_datacenter(h.datacenter))
    return reading.answer(inventory.clusters(listed, heartbeats, reading.transaction, reading.moment), tag)
