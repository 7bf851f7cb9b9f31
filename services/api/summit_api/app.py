"""Composition: routes, problems and middleware become one application around what the process holds."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from summit_api import problems
from summit_api.access.pages import ANY
from summit_api.deps import Services
from summit_api.leniency import Leniency
from summit_api.limits.requests import Limited, RequestLimits
from summit_api.metrics import Timing
from summit_api.problems import Problem
from summit_api.routes import (
    admin,
    clusters,
    datacenters,
    docs,
    events,
    metrics,
    migrate,
    migrations,
    probes,
    tickets,
    vms,
)

_DESCRIPTION = (
    "Inventory of KubeVirt virtual machines in many clusters. Every list carries the revision it was made at and an "
    "ETag; ask again with If-None-Match and an unchanged list answers 304. Errors are RFC 9457 problems."
)

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": Problem, "description": "The request is wrong; the problem says what"},
    "5XX": {"model": Problem, "description": "Not at the moment, or not in this version; the problem says why"},
}
_NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "What you have still is the answer"}}

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Application(FastAPI):
    """FastAPI whose OpenAPI document tells the media type of problems."""

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        for methods in document["paths"].values():
            for operation in methods.values():
                for status, answer in operation["responses"].items():
                    if "application/json" in answer.get("content", {}) and status in ("4XX", "5XX"):
                        answer["content"][problems.MEDIA_TYPE] = answer["content"].pop("application/json")
        return document


def create_app(services: Services, *, origins: Sequence[str] = (ANY,), limits: RequestLimits | None = None) -> FastAPI:
    """The application; web pages of these origins may read its answers."""
    app = Application(
        title="summit-connect",
        version=version("summit-connect"),
        description=_DESCRIPTION,
        docs_url=None,  # both pages load their scripts from a CDN
        redoc_url=None,
        generate_unique_id_function=_operation_id,
        middleware=[
            Middleware(
                CORSMiddleware,
                allow_origins=list(origins),
                allow_methods=_METHODS,
                allow_headers=["*"],
                expose_headers=["ETag", "Link", "Summit-Revision"],
            ),
            Middleware(Leniency),
            Middleware(Timing),
            Middleware(Limited, limits=limits or RequestLimits()),
        ],
    )
    app.state.services = services
    api = APIRouter(prefix="/api/v1", responses=_PROBLEMS)
    for module in (datacenters, vms, clusters, migrations):
        api.include_router(module.router, responses=_NOT_MODIFIED)
    for module in (migrate, admin, events, tickets):
        api.include_router(module.router)
    app.include_router(api)
    app.include_router(probes.router)
    app.include_router(metrics.router)
    app.include_router(docs.router)
    problems.install(app)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name
