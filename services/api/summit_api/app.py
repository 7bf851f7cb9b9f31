"""Composition: routes, problems and middleware become one application around what the process holds."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from fastapi import Depends, FastAPI
from starlette.middleware import Middleware

from summit_api.access.pages import ANY
from summit_api.http.answer import Json
from summit_api.http.compression import Compressed
from summit_api.http.cross_origin import CrossOrigin
from summit_api.http.leniency import Leniency
from summit_api.http.root_path import RootPath
from summit_api.limits.requests import Limited, RequestLimits
from summit_api.metrics import Timing
from summit_api.openapi.description import describe, roles
from summit_api.problems.answers import install
from summit_api.requests.dependencies import refuse_repeated
from summit_api.routes import (
    actions,
    admin,
    bulk,
    datacenters,
    docs,
    events,
    front,
    history,
    migrate,
    migrations,
    operations,
    probes,
    vms,
    watchers,
)
from summit_api.services import Services

_DESCRIPTION = (
    "Inventory of KubeVirt virtual machines in many clusters. Every list has a revision and an ETag. If you send the "
    "ETag as If-None-Match and the list has not changed, the answer is 304. Units: cpu is vCPU, memory MiB, disk GiB, "
    "memoryBytes and diskBytes bytes. Times are in UTC. Errors are RFC 9457 problems."
)

_TAGS = (
    ("datacenters", "All datacenters with their VMs, as the original API shows them"),
    ("vms", "The inventory: all members of each virtual machine, now and in the past"),
    ("clusters", "Connection and freshness of each cluster, and who watches it"),
    ("migrations", "Live migrations, and the original's migrate"),
    ("actions", "Acting on virtual machines"),
    ("operations", "What was asked to be done to virtual machines, and how it ended"),
    ("bulk operations", "The same action on many virtual machines, within limits"),
    ("events", "The live feed: changes as they happen"),
    ("admin", "Edits by hand: datacenters, and virtual machines that are in no cluster"),
    ("health", "For people, load balancers and Kubernetes; open to everybody"),
)

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Application(FastAPI):
    """FastAPI whose OpenAPI document has roles, problems and examples."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            describe(super().openapi(), roles(self))
        return super().openapi()


def create_app(
    services: Services,
    *,
    origins: Sequence[str] = (ANY,),
    limits: RequestLimits | None = None,
    root_path: str = "",
) -> FastAPI:
    """The application; web pages of these origins may read its answers. A proxy serves it below `root_path`."""
    app = Application(
        title="summit-connect",
        version=version("summit-connect"),
        description=_DESCRIPTION,
        docs_url=None,  # both pages load their scripts from a CDN
        redoc_url=None,
        openapi_url=None,  # routes.docs answers it
        redirect_slashes=False,  # Leniency has taken them away; what is left is part of a name
        default_response_class=Json,
        openapi_tags=[{"name": name, "description": description} for name, description in _TAGS],
        generate_unique_id_function=lambda route: route.name,
        middleware=[
            Middleware(
                CrossOrigin,
                allow_origins=list(origins),
                allow_methods=_METHODS,
                allow_headers=["*"],
                expose_headers=["ETag", "Link", "Location", "Retry-After", "Summit-Position", "Summit-Revision"],
            ),
            Middleware(Leniency),
            Middleware(Timing),
            Middleware(Limited, limits=limits or RequestLimits()),
            Middleware(Compressed),
            *([Middleware(RootPath, root_path=root_path)] if root_path else []),
        ],
    )
    app.state.services = services
    app.state.root_path = root_path
    for module in (datacenters, watchers, vms, actions, migrations, operations, bulk, history, migrate, admin, events):
        app.include_router(module.router, prefix="/api/v1", dependencies=[Depends(refuse_repeated)])
    app.include_router(probes.router)
    app.include_router(docs.router)
    app.include_router(front.router)
    install(app)
    return app
