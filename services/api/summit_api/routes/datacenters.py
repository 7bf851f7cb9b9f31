"""GET /api/v1/datacenters and /api/v1/status, as the original API shows the whole fleet; and GET /api/v1/clusters."""

from collections import Counter
from typing import Annotated

from fastapi import APIRouter, Query, Response

from summit_api.access.principal import Scope
from summit_api.freshness import Freshness
from summit_api.openapi.responses import problems, reads
from summit_api.problems import Kind, ProblemError
from summit_api.query import datacenters as query
from summit_api.query.parameters import MomentQuery, Parameters
from summit_api.query.selection.filters import ClusterFilters
from summit_api.query.transaction.read_transaction import ReadTransaction
from summit_api.render import inventory, original
from summit_api.render.clusters import cluster_items, shown_within
from summit_api.render.moment import Moment
from summit_api.requests.reading import Reading, ReadingDep
from summit_api.shapes.inventory import ClusterItem, ClusterList
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
    by_state = None if at else Counter(item.state for item in await _clusters(reading))
    tag = reading.tag(staleness=at is None, counts=by_state and sorted(by_state.items()))
    if unchanged := reading.unchanged(tag):
        return unchanged
    declared = [row.id for row in await query.declared(reading.transaction, reading.scope)]
    counts = await query.counts(reading.transaction, reading.scope, at=at)
    return reading.answer(original.status(declared, counts, by_state, reading.transaction, moment), tag)


@router.get("/clusters", tags=["clusters"], response_model=ClusterList)
async def list_clusters(reading: ReadingDep, filters: Annotated[ClusterFilters, Query()]) -> Response:
    """Connection health and freshness of clusters, by name: the state that is true now.

    A cluster is `stale` when no watcher reports any longer, whatever its last event says, and while events wait to be
    applied. Repeat a filter for "or". Who is limited to namespaces sees how the connection of each cluster is, but no
    number of objects and no reason.
    """
    tag = reading.tag(staleness=True, contacts=True)
    if unchanged := reading.unchanged(tag):
        return unchanged
    items = [item for item in await _clusters(reading) if filters.matches(item.model_dump(by_alias=True))]
    return reading.answer(inventory.models(items, reading.transaction), tag)


@router.get(
    "/clusters/{name}", tags=["clusters"], response_model=ClusterItem, responses=problems(Kind.CLUSTER_NOT_FOUND)
)
async def get_cluster(reading: ReadingDep, name: str, _: Annotated[Parameters, Query()]) -> Response:
    """Connection health and freshness of one cluster: the state that is true now."""
    for item in await _clusters(reading):
        if item.name == name:
            return reading.answer(item.model_dump_json().encode(), reading.tag(staleness=True, contacts=True))
    raise ProblemError(Kind.CLUSTER_NOT_FOUND, f"there is no cluster {name!r}")


async def _clusters(reading: Reading) -> list[ClusterItem]:
    return await present_clusters(reading.transaction, reading.scope, reading.freshness, reading.moment)


async def present_clusters(
    transaction: ReadTransaction, scope: Scope, freshness: Freshness, moment: Moment
) -> list[ClusterItem]:
    """The clusters as they are now, as far as the scope shows them."""
    reports = [report for report in freshness.reports() if scope.allows_datacenter(report.health.datacenter)]
    items = cluster_items(await query.clusters(transaction, scope), reports, moment)
    return [shown_within(scope.limit, item) for item in items]
