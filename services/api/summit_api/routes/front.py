"""GET /: where to go from here, for people; a page for browsers, and text for a terminal."""

from collections import Counter
from collections.abc import Mapping
from html import escape
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from summit_api.access.principal import Principal
from summit_api.http.answer import Page
from summit_api.http.negotiation import weights
from summit_api.query import datacenters as query
from summit_api.query.transaction.errors import QueryError
from summit_api.render import original
from summit_api.render.moment import Moment
from summit_api.requests.dependencies import MomentDep, ServicesDep, VisitorDep
from summit_api.routes.datacenters import present_clusters
from summit_api.services import Services

router = APIRouter(include_in_schema=False)

_PLACES: Mapping[str, str] = {
    "/docs": "the API, for people",
    "/api/v1/vms": "the virtual machines",
    "/api/v1/clusters": "the connection to each cluster",
}
_HEADERS = {"Vary": "Accept, Authorization", "Cache-Control": "no-cache"}


@router.get("/")
async def show_front(request: Request, services: ServicesDep, moment: MomentDep, asking: VisitorDep) -> Response:
    """The counts are those of /api/v1/status, for those who may see them."""
    fleet, root_path = await _fleet(services, asking, moment), request.app.state.root_path
    if weights(request.headers.get("accept", "")).get("text/html"):
        return Page("summit-connect", f"<p>{escape(fleet)}{_links(root_path)}", _HEADERS)
    places = "".join(f"{root_path}{path:<18}{what}\n" for path, what in _PLACES.items())
    return PlainTextResponse(f"summit-connect: {fleet}\n\n{places}", headers=_HEADERS)


async def _fleet(services: Services, asking: Principal | None, moment: Moment) -> str:
    if asking is None:
        return "a token is needed to see the virtual machines"
    try:
        async with services.read_models.transaction() as transaction:
            declared = [row.id for row in await query.declared(transaction, asking.scope)]
            counts = await query.counts(transaction, asking.scope)
            clusters = await present_clusters(transaction, asking.scope, services.freshness, moment)
            by_state = Counter(cluster.state for cluster in clusters)
            status = original.status(declared, counts, by_state, transaction, moment)
    except QueryError as error:
        return f"the virtual machines cannot be counted now: {error}"
    return _counted(msgspec.json.decode(status))


def _counted(status: Mapping[str, Any]) -> str:
    """Stale virtual machines come last: the clusters say why."""
    vms, clusters = status["byStatus"], status["clustersByState"]
    stale = f"; stale virtual machines: {status['stale']}" if status["stale"] else ""
    return (
        f"virtual machines: {status['total_vms']}{_parts(vms)}; datacenters: {status['datacenters']}; "
        f"clusters: {sum(clusters.values())}{_parts(clusters)}{stale}"
    )


def _parts(counts: Mapping[str, int]) -> str:
    parts = [f"{number} {name}" for name, number in counts.items() if number]
    return f" ({', '.join(parts)})" if parts else ""


def _links(root_path: str) -> str:
    places = ((root_path + path, what) for path, what in _PLACES.items())
    return "".join(f"<p><a href={path}>{path}</a>: {escape(what)}" for path, what in places)
