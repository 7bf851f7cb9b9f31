"""The role that each operation needs, read from its dependencies: for the documents, and for the test of all routes."""

from collections.abc import Iterator, Mapping

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from summit_api.access.principal import Role
from summit_api.requests.principal import AtLeast


def roles(app: FastAPI) -> Mapping[tuple[str, str], Role | None]:
    """The least role that is needed, by method and path; None where no role is."""
    return {
        (method, route.path or ""): max(_roles(route.dependant), default=None)
        for route in iter_route_contexts(app.routes)
        if hasattr(route, "dependant")
        for method in route.methods or ()
    }


def _roles(dependant: Dependant) -> Iterator[Role]:
    if isinstance(dependant.call, AtLeast):
        yield dependant.call.role
    for needed in dependant.dependencies:
        yield from _roles(needed)
