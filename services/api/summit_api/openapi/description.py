"""What the OpenAPI document adds to FastAPI's: the role that each operation needs, and examples of its bodies."""

from collections.abc import Mapping
from typing import Any

from summit_api.access.principal import Role
from summit_api.openapi.examples import example_of
from summit_api.openapi.responses import shared
from summit_api.problems.problem import Problem

Document = dict[str, Any]

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
