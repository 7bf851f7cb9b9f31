"""Additions to FastAPI's OpenAPI document: the role that each operation needs, and examples of its bodies."""

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from summit_api.access.principal import Role
from summit_api.openapi.responses import shared
from summit_api.problems.problem import Problem
from summit_api.requests.dependencies import AtLeast

Document = dict[str, Any]

_REF = "#/components/schemas/"
_TIME = "2026-08-21T02:14:22Z"
_OF_TYPE: Mapping[str, Any] = {"string": "", "integer": 1, "number": 1.0, "boolean": False, "null": None}

_SECURITY: Document = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of `summit-connect token new`, or a JWT of the OpenID Connect issuer",
    },
    "ticket": {
        "type": "apiKey",
        "in": "query",
        "name": "ticket",
        "description": "From POST /api/v1/tickets, for browsers: an EventSource cannot send headers",
    },
}


def describe(document: Document, roles: Mapping[tuple[str, str], Role | None]) -> None:
    """Add it to FastAPI's document, in place."""
    components = document["components"]
    components["securitySchemes"] = _SECURITY
    components["responses"] = shared()
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    components["schemas"] |= {**problem.pop("$defs"), "Problem": problem}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if role := roles[method.upper(), path]:
                _require(operation, role)
            _show(operation, components["schemas"])


def _require(operation: Document, role: Role) -> None:
    operation["description"] = f"{operation['description']}\n\nNeeds the role {role}."
    operation["x-role"] = str(role)
    takes_ticket = any(parameter["name"] == "ticket" for parameter in operation.get("parameters", []))
    operation["security"] = [{"token": []}, *([{"ticket": []}] if takes_ticket else [])]


def _show(operation: Document, schemas: Mapping[str, Document]) -> None:
    """An example of each body that has none."""
    bodies = [operation["requestBody"]] if "requestBody" in operation else []
    for body in (*bodies, *operation["responses"].values()):
        for media_type, content in body.get("content", {}).items():
            if media_type == "application/json" and content.get("schema"):
                content.setdefault("example", example_of(content["schema"], schemas))


def example_of(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """The example that the schema has, else its default, else a likely value of its type."""
    if reference := schema.get("$ref"):
        schema = schemas[reference.removeprefix(_REF)] | {name: schema[name] for name in schema if name != "$ref"}
    if "example" in schema:
        return schema["example"]
    for several in ("examples", "enum"):
        if schema.get(several):
            return schema[several][0]
    for keyword in ("const", "default"):
        if keyword in schema:
            return schema[keyword]
    if alternatives := schema.get("anyOf"):
        likely = example_of(alternatives[0], schemas)
        return likely or None  # a member that can be null and has no example
    return _of_type(schema, schemas)


def _of_type(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    match schema.get("type"):
        case "object" if "properties" in schema:
            return {name: example_of(member, schemas) for name, member in schema["properties"].items()}
        case "object":
            return {}
        case "array":
            return [example_of(schema["items"], schemas)] if "items" in schema else []
        case "string" if schema.get("format") == "date-time":
            return _TIME
        case str(known):
            return _OF_TYPE[known]
        case _:
            return None


def roles(app: FastAPI) -> Mapping[tuple[str, str], Role | None]:
    """The least role that each operation needs, by method and path, as its dependencies say; None where no role is."""
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
