"""Declarations for `responses=` of routes: the problems that they can answer, and the headers of a read."""

from collections.abc import Mapping
from http import HTTPStatus
from itertools import groupby
from typing import Any

from summit_api.problems.kinds import Kind
from summit_api.problems.problem import MEDIA_TYPE

Responses = dict[int | str, dict[str, Any]]

ANY = (
    *(Kind.BAD_REQUEST, Kind.UNAUTHORIZED, Kind.FORBIDDEN, Kind.URI_TOO_LONG, Kind.MISDIRECTED),
    *(Kind.INVALID_PARAMETER, Kind.TOO_MANY_REQUESTS, Kind.HEADERS_TOO_LARGE, Kind.INTERNAL),
    *(Kind.BUSY, Kind.STOPPING, Kind.TIMEOUT, Kind.ISSUER_UNAVAILABLE),
)
"""Problems of every operation."""
TABLES = (Kind.QUERY_TOO_LONG, Kind.DATABASE_UNAVAILABLE, Kind.SCHEMA_NOT_READY)
BODY = (Kind.INVALID_PAYLOAD, Kind.REQUEST_TIMEOUT, Kind.CONTENT_TOO_LARGE)
"""Problems of a request with a body."""

_TEXT = {"type": "string"}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer"}}}
_HEADERS: Mapping[int, Mapping[str, Any]] = {
    401: {"WWW-Authenticate": {"description": "Bearer, and what is wrong with the token", "schema": _TEXT}},
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
}
_READ_HEADERS = {
    "ETag": {"description": "For If-None-Match", "schema": _TEXT},
    "Summit-Position": {"description": "`since` of a feed that continues after this answer", "schema": _TEXT},
    "Summit-Revision": {"description": "Last applied stream sequence", "schema": {"type": "integer"}},
}


def reads(*kinds: Kind) -> Responses:
    """Responses of a read of the tables; `kinds` are its problems beside those of every read."""
    return {
        200: {"headers": _READ_HEADERS},
        304: {"description": "Your answer is still current", "headers": _READ_HEADERS},
        **problems(*ANY, *TABLES, Kind.INVALID_VALUE, Kind.REVISION_NOT_APPLIED, *kinds),
    }


def edits(*kinds: Kind) -> Responses:
    """Responses of an edit; `kinds` are its problems beside those of every edit."""
    not_yet = "The log has the edit, but the tables did not have it within five seconds. Reads will show it"
    return {
        202: {"description": not_yet},
        **problems(*ANY, *TABLES, Kind.PRECONDITION, Kind.CHANGED_MEANWHILE, Kind.LOG_UNAVAILABLE, *kinds),
    }


def asks(*kinds: Kind) -> Responses:
    """Responses of a request for an operation, which is answered before it is done."""
    location = {"Location": {"description": "Address of the operation", "schema": _TEXT}}
    return {
        202: {
            "description": "The operation is stored, and the watcher of the cluster carries it out",
            "headers": location,
        },
        **problems(
            *(*ANY, *TABLES, *BODY, Kind.PRECONDITION, *kinds),
            *(Kind.CHANGED_MEANWHILE, Kind.LOG_UNAVAILABLE, Kind.OPERATION_REFUSED, Kind.KEY_REUSED),
            *(Kind.CLUSTER_UNAVAILABLE, Kind.TABLES_BEHIND),
        ),
    }


def changes(*kinds: Kind) -> Responses:
    """Problems of a change of an operation: to cancel it, for example."""
    return problems(
        *(*ANY, *TABLES, Kind.PRECONDITION, Kind.OPERATION_NOT_FOUND, Kind.OPERATION_ENDED),
        *(Kind.CHANGED_MEANWHILE, Kind.LOG_UNAVAILABLE, *kinds),
    )


def problems(*kinds: Kind) -> Responses:
    """Responses that are problems, by status."""
    by_status = groupby(sorted(set(kinds), key=list(Kind).index), lambda kind: kind.status)
    return {status: _response(status, [*found]) for status, found in by_status}


def shared() -> dict[str, dict[str, Any]]:
    """Components that responses refer to: each status with all its kinds."""
    return {_name(status): _problem([*kinds]) for status, kinds in groupby(Kind, lambda kind: kind.status)}


def _response(status: int, kinds: list[Kind]) -> dict[str, Any]:
    """By reference where it can be every kind of this status: most operations have these in common."""
    described = _problem(kinds)
    if kinds == [kind for kind in Kind if kind.status == status]:
        return {"$ref": f"#/components/responses/{_name(status)}", "description": described["description"]}
    return described


def _name(status: int) -> str:
    return HTTPStatus(status).phrase.replace(" ", "")


def _problem(kinds: list[Kind]) -> dict[str, Any]:
    """The kinds of problems of one status, and the first of them as it looks."""
    first = kinds[0]
    example = {
        "type": f"/docs#{first.anchor}",
        "title": first.title,
        "status": first.status,
        "detail": first.meaning,
        "instance": "/api/v1/vms",
    }
    return {
        "description": "\n".join(f"- {kind.title}: {kind.meaning}" for kind in kinds),
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}},
        **({"headers": _HEADERS[first.status]} if first.status in _HEADERS else {}),
    }
