"""What the OpenAPI document says of each operation beyond what FastAPI reads from its types.

Who may ask, which problems it can answer, what its headers mean, and an answer as it looks. All of it follows from
rules that hold for every operation; only what an operation has of its own is declared with its route.
"""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from summit_api.access.principal import Role
from summit_api.examples import example_of
from summit_api.problem_kinds import KINDS, TABLES, anchor
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
    "Summit-Position": {
        "description": "`since` of a feed that continues after this answer",
        "schema": {"type": "string"},
    },
    "Summit-Revision": {"description": "Last applied stream sequence", "schema": {"type": "integer"}},
}

_SCHEMAS = "#/components/schemas/"

_ALWAYS: Mapping[int, Sequence[str]] = {
    400: ["Bad Request"],
    **{status: list(KINDS[status]) for status in (401, 403, 414, 421, 429, 431, 500)},
    503: ["Busy", "Timeout", "Identity provider unavailable"],
}
_FOLLOWING: Mapping[int, Iterable[str]] = {400: ["Invalid request"], 409: ["Revision not applied"], 503: TABLES}
"""Which kinds follow from parameters, where not all of the status do."""
_CHECKED_LATER = frozenset({"cursor", "at", "direction", "last-event-id"})
"""Parameters of which not all that their schema allows is possible."""


def describe(document: Document, roles: Mapping[tuple[str, str], Role | None]) -> None:
    """Add it to FastAPI's document, in place."""
    components = document["components"]
    components["securitySchemes"] = _SECURITY
    components["responses"] = {_name(status): _problem(status, list(kinds)) for status, kinds in KINDS.items()}
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
    for status, titles in _problems(operation, parameters).items():
        responses[str(status)] = _answer(status, titles)
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


def _problems(operation: Document, parameters: set[str]) -> Mapping[int, Sequence[str]]:
    """Which it can answer, by status and title: what all can, what follows from its parameters, what its route has."""
    follows = _following(operation, parameters)
    can = {
        status: {*_ALWAYS.get(status, ()), *follows.get(status, ()), *_declared(operation, status)} for status in KINDS
    }
    known = {status: [title for title in kinds if title in can[status]] for status, kinds in KINDS.items()}
    return {status: titles for status, titles in known.items() if titles}


def _following(operation: Document, parameters: set[str]) -> Mapping[int, Iterable[str]]:
    places = {parameter["in"] for parameter in operation.get("parameters", [])}
    has_body = "requestBody" in operation
    follows = {
        400: "path" in places or bool(parameters & _CHECKED_LATER),
        408: has_body,
        409: "revision" in parameters,
        410: "at" in parameters,
        413: has_body,
        422: "query" in places,
        503: "if-none-match" in parameters,
    }
    return {status: _FOLLOWING.get(status, KINDS[status]) for status, it_does in follows.items() if it_does}


def _declared(operation: Document, status: int) -> Sequence[str]:
    """As `problem_kinds.declared` wrote them."""
    description: str = operation["responses"].get(str(status), {}).get("description", "")
    return description.split("\n")


def _answer(status: int, titles: Sequence[str]) -> Document:
    """By reference where it can be every kind of this status."""
    if len(titles) == len(KINDS[status]):
        return {"$ref": f"#/components/responses/{_name(status)}"}
    return _problem(status, titles)


def _name(status: int) -> str:
    return HTTPStatus(status).phrase.replace(" ", "")


def _problem(status: int, titles: Sequence[str]) -> Document:
    """The answer of this status: each kind of it, and one as it looks."""
    title, meaning = titles[0], KINDS[status][titles[0]]
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
        "description": "\n".join(f"- {title}: {KINDS[status][title]}" for title in titles),
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
