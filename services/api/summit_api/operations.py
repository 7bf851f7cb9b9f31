"""What the OpenAPI document says of each operation beyond what FastAPI reads from its types.

Who may ask, which problems it can answer, what its headers mean, and an answer as it looks. All of it follows from
rules that hold for every operation; only what an operation has of its own is declared with its route.
"""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from summit_api.access.principal import Role
from summit_api.examples import example_of
from summit_api.problem_kinds import KINDS, anchor
from summit_api.problems import MEDIA_TYPE

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
        "description": "Of POST /api/v1/tickets, for browsers: an EventSource sends no header",
    },
}

_HEADERS: Mapping[int, Document] = {
    401: {
        "WWW-Authenticate": {"description": "Bearer, and what is wrong with the token", "schema": {"type": "string"}}
    },
    429: {"Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}},
    503: {"Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}},
}
_READ_HEADERS: Document = {
    "ETag": {"description": "For If-None-Match", "schema": {"type": "string"}},
    "Summit-Revision": {"description": "Last applied stream sequence", "schema": {"type": "integer"}},
}

_SCHEMAS = "#/components/schemas/"
_ALWAYS = (400, 401, 403, 414, 429, 431, 500, 503)


def describe(document: Document, roles: Mapping[tuple[str, str], Role | None]) -> None:
    """Add it to FastAPI's document, in place."""
    components = document["components"]
    components["securitySchemes"] = _SECURITY
    components["responses"] = {_name(status): _problem(status) for status in KINDS}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if role := roles[method.upper(), path]:
                _describe(operation, role)
            if "fields" in _parameters(operation):
                _add_partial(operation, components["schemas"])
            _show(operation, components["schemas"])


def _describe(operation: Document, role: Role) -> None:
    operation["description"] = f"{operation['description']}\n\nNeeds the role {role}."
    operation["x-role"] = str(role)
    parameters = _parameters(operation)
    operation["security"] = [{"token": []}, *([{"ticket": []}] if "ticket" in parameters else [])]
    responses = operation["responses"]
    del responses["4XX"]
    if "if-none-match" in parameters:
        responses["200"]["headers"] = _READ_HEADERS
        responses["304"] = {"description": "What you have still is the answer", "headers": _READ_HEADERS}
    for status in _statuses(operation, parameters):
        responses[str(status)] = {"$ref": f"#/components/responses/{_name(status)}"}
    operation["responses"] = dict(sorted(responses.items()))


def _parameters(operation: Document) -> set[str]:
    return {parameter["name"].lower() for parameter in operation.get("parameters", [])}


def _add_partial(operation: Document, schemas: Document) -> None:
    """A list whose items have, with `fields`, no member for certain but `id`."""
    content = operation["responses"]["200"]["content"]["application/json"]
    whole = content["schema"]["$ref"].rpartition("/")[2]
    item = schemas[whole]["properties"]["items"]["items"]["$ref"].rpartition("/")[2]
    partial_item, partial = f"Partial{item}", f"Partial{whole}"
    schemas[partial_item] = schemas[item] | {
        "title": partial_item,
        "description": "The members that `fields` names, and `id`",
        "required": ["id"],
    }
    items = schemas[whole]["properties"]["items"] | {"items": {"$ref": f"{_SCHEMAS}{partial_item}"}}
    properties = schemas[whole]["properties"] | {"items": items}
    schemas[partial] = schemas[whole] | {"title": partial, "properties": properties}
    content["schema"] = {"anyOf": [content["schema"], {"$ref": f"{_SCHEMAS}{partial}"}]}


def _statuses(operation: Document, parameters: set[str]) -> Iterator[int]:
    """Which problems it can answer: what all can, what follows from its parameters, and what its route declares."""
    yield from _ALWAYS
    yield from (int(status) for status in operation["responses"] if status.isdecimal() and int(status) in KINDS)
    places = {parameter["in"] for parameter in operation.get("parameters", [])}
    if "query" in places:
        yield 422
    if "path" in places and not _is_array(operation):  # a bare list of what does not exist is empty, as the original's
        yield 404
    if "revision" in parameters:
        yield 409
    if "at" in parameters:
        yield 410
    if "requestBody" in operation:
        yield from (408, 413)


def _is_array(operation: Document) -> bool:
    content = operation["responses"].get("200", {}).get("content", {})
    return bool(content.get("application/json", {}).get("schema", {}).get("type") == "array")


def _name(status: int) -> str:
    return HTTPStatus(status).phrase.replace(" ", "")


def _problem(status: int) -> Document:
    """The answer of this status: each kind of it, and one as it looks."""
    kinds = KINDS[status]
    title, meaning = next(iter(kinds.items()))
    example = {
        "type": f"/docs#{anchor(title)}",
        "title": title,
        "status": status,
        "detail": meaning,
        "instance": "/api/v1/vms",
        "error": meaning,
    }
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        "description": "\n".join(f"- {title}: {meaning}" for title, meaning in kinds.items()),
        "content": {MEDIA_TYPE: {"schema": schema, "example": example}},
        **({"headers": _HEADERS[status]} if status in _HEADERS else {}),
    }


def _show(operation: Document, schemas: Mapping[str, Document]) -> None:
    """An example of each body that has none."""
    bodies = [operation["requestBody"]] if "requestBody" in operation else []
    for body in (*bodies, *operation["responses"].values()):
        for media_type, content in body.get("content", {}).items():
            if media_type == "application/json" and content.get("schema"):
                content.setdefault("example", example_of(content["schema"], schemas))
