"""Health for people, load balancers and Kubernetes, and metrics.

Liveness depends on nothing else; readiness checks Postgres. An api that can only answer an old state stays ready, since
another one would answer the same, and says so.
"""

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from summit_api.freshness import Freshness
from summit_api.limits.clients import client_of
from summit_api.problems import Kind, ProblemError
from summit_api.query.transaction.errors import DatabaseUnavailableError, QueryError
from summit_api.query.transaction.read_transaction import ReadModels
from summit_api.render.moment import Moment
from summit_api.requests.dependencies import MomentDep, ServicesDep, ViewerDep, host_of
from summit_api.requests.scrape import Scrape
from summit_api.shapes.original import Health
from summit_models.tables import SCHEMA_REVISION, newer_schema
from summit_runtime import metrics

router = APIRouter(tags=["health"])


@router.get("/health")
async def health() -> Health:
    """Whether the process answers, as in the original API."""
    return Health(service="backend-api", status="healthy")


@router.get("/livez", response_class=PlainTextResponse)
@router.get("/healthz", response_class=PlainTextResponse, include_in_schema=False)
async def livez() -> str:
    """Whether the process answers."""
    return "ok\n"


@router.get("/readyz", response_class=PlainTextResponse, responses={503: {"description": "A check has failed"}})
async def readyz(request: Request, services: ServicesDep, moment: MomentDep) -> PlainTextResponse:
    """Whether requests can be answered: Postgres is available and migrated. `?verbose` lists each check.

    A line that begins with `[!]` says why answers show an old state, or why edits are refused.
    """
    checks, notices = await _checks(services.read_models), _notices(services.freshness, moment)
    ready = not any(checks.values())
    lines = ["ok"]
    if not ready or "verbose" in request.query_params:
        lines = [f"[-]{name} failed: {why}" if why else f"[+]{name} ok" for name, why in checks.items()]
        notices.append(f"readyz check {'passed' if ready else 'failed'}")
    return PlainTextResponse("\n".join((*lines, *notices)) + "\n", status_code=200 if ready else 503)


def _notices(freshness: Freshness, moment: Moment) -> list[str]:
    """What is wrong although requests are answered."""
    notices = []
    if trouble := freshness.log_trouble():
        notices.append(f"[!]nats: {trouble}: clusters become stale, and edits are answered 503")
    if moment.behind:
        notices.append(f"[!]tables: {moment.behind.reason}")
    return notices


async def _checks(read_models: ReadModels) -> dict[str, str | None]:
    """Each check and why it failed, None when it did not."""
    try:
        revision = await read_models.schema_revision()
    except QueryError as error:
        return {"postgres" if isinstance(error, DatabaseUnavailableError) else "schema": str(error)}
    if revision != SCHEMA_REVISION:
        other = f"the tables are at {revision}, this api reads {SCHEMA_REVISION}"
        return {"postgres": None, "schema": newer_schema(revision) or other}
    return {"postgres": None, "schema": None}


@router.get("/metrics", include_in_schema=False)  # Prometheus' format, not ours
async def exposition() -> Response:
    return Response(metrics.exposition(), media_type=metrics.CONTENT_TYPE)


@router.get("/metrics/inventory", include_in_schema=False)
async def vm_series(request: Request, services: ServicesDep, asking: ViewerDep) -> Response:
    """The VMs that the sender may see, as series for Prometheus."""
    if not services.inventory.limit:
        raise ProblemError(Kind.NOT_FOUND, "VMs are no series here: API_INVENTORY_SERIES says how many there may be")
    return Scrape(services, asking, client_of(asking, host_of(request)))
