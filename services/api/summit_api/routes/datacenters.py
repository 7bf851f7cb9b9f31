"""GET /api/v1/datacenters and /api/v1/status, as the original API shows the whole fleet; and GET /api/v1/clusters."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from summit_api.openapi.responses import problems, reads
from summit_api.problems import Kind
from summit_api.query import datacenters as query
from summit_api.query.parameters import MomentQuery, Parameters
from summit_api.render import inventory, original
from summit_api.requests.reading import ReadingDep
from summit_api.shapes.inventory import ClusterList
from summit_api.shapes.original import Datacenters, Status

router = APIRouter(responses=reads())


@router.get("/datacenters", tags=["datacenters"], response_model=Datacenters)
async def list_datacenters(reading: ReadingDep) -> Response:
    """All datacenters with all their VMs. For large fleets, or for all members of a VM, use /api/v1/vms."""
    tag = reading.tag(ages=True, staleness=True)
    if unchanged := reading.unchanged(tag):
        return unchanged
    declared = await query.declared(reading.transaction, reading.scope)
    fleet = await query.fleet(reading.transaction, reading.scope)
    return reading.answer(original.datacenters(declared, fleet, reading.transaction, reading.moment), tag)


@router.get("/status", tags=["datacenters"], response_model=Status, responses=problems(Kind.HISTORY_NOT_KEPT))
async def get_status(reading: ReadingDep, parameters: Annotated[MomentQuery, Query()]) -> Response:
    """Counts of datacenters and VMs. With `at` it counts the VMs as they were then, in the datacenters of today."""
    at = parameters.at
    moment = reading.at(at)
    tag = reading.tag(staleness=at is None)
    if unchanged := reading.unchanged(tag):
        return unchanged
    declared = [row.id for row in await query.declared(reading.transaction, reading.scope)]
    counts = await query.counts(reading.transaction, reading.scope, at=at)
    return reading.answer(original.status(declared, counts, reading.transaction, moment), tag)


@router.get("/clusters", tags=["clusters"], response_model=ClusterList)
async def list_clusters(reading: ReadingDep, _: Annotated[Parameters, Query()]) -> Response:
    """Connection health and freshness of all clusters, by name.

    Who is limited to namespaces sees how the connection of each cluster is, but no number of objects and no reason.
    """
    tag = reading.tag(staleness=True, contacts=True)
    if unchanged := reading.unchanged(tag):
        return unchanged
    listed = await query.clusters(reading.transaction, reading.scope)
    heartbeats = (h for h in reading.freshness.healths() if reading.scope.allows_datacenter(h.datacenter))
    answer = inventory.clusters(listed, heartbeats, reading.transaction, reading.moment, reading.scope)
    return reading.answer(answer, tag)
