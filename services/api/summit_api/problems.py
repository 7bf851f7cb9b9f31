"""Every error answer, in one place: RFC 9457 `application/problem+json`.

Each problem also has the member `error`, the same sentence as `detail`: clients of the original API read it there.
"""

from collections.abc import Mapping, Sequence
from http import HTTPMethod, HTTPStatus
from typing import Any, cast

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ExceptionHandler

from summit_api.problem_kinds import anchor
from summit_api.query.errors import (
    DatabaseUnavailableError,
    HistoryNotKeptError,
    InvalidValueError,
    QueryError,
    QueryTooLongError,
    SchemaNotReadyError,
)
from summit_api.validation import FieldError, complaints, sentence

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 2
"""A 503 here ends when Postgres is back or the projector has migrated: seconds, not minutes."""


class Problem(BaseModel):
    """RFC 9457: what happened, to which thing, what to do."""

    type: str = Field(description="Kind of problem; stable, made to be compared", examples=["/docs#vm-not-found"])
    title: str = Field(description="The kind in words", examples=["VM not found"])
    status: int = Field(description="HTTP status code", examples=[404])
    detail: str = Field(description="What happened this time", examples=["there is no VM with the id '6a1f…'"])
    instance: str = Field(description="Path of the request", examples=["/api/v1/vms/6a1f…"])
    error: str = Field(description="The same as detail, where clients of the original API look for it")
    errors: list[FieldError] | None = Field(default=None, description="Each wrong field of a refused request")


class ProblemError(Exception):
    """An answer that is a problem. The title names the kind, the message says what happened this time."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        *,
        fields: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        retry_after: int | None = None,
        members: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail
        self.fields = fields
        self.members = members or {}
        """The original's members where its answer had more than `error`, or a sentence that clients may compare."""
        self.headers = dict(headers or {}) | ({} if retry_after is None else {"Retry-After": str(retry_after)})


def not_found(what: str, detail: str) -> ProblemError:
    return ProblemError(404, f"{what} not found", detail)


def invalid_field(field: str, detail: str) -> ProblemError:
    return ProblemError(400, "Invalid request", detail, fields=[FieldError(field=field, detail=detail)])


def unavailable(title: str, detail: str) -> ProblemError:
    return ProblemError(503, title, detail, retry_after=RETRY_AFTER_SECONDS)


def install(app: FastAPI) -> None:
    """Answer every error of the application, foreseen or not, with a problem."""
    handlers: Mapping[type[Exception], Any] = {
        ProblemError: _on_problem,
        QueryError: _on_query_error,
        RequestValidationError: _on_invalid_request,
        HTTPException: _on_http_error,
        Exception: _on_unforeseen,
    }
    for error, handler in handlers.items():
        app.add_exception_handler(error, cast(ExceptionHandler, handler))


async def _on_problem(request: Request, error: ProblemError) -> Response:
    return _answer(request, error, error.headers)


async def _on_query_error(request: Request, error: QueryError) -> Response:
    problem = of_query(error)
    return _answer(request, problem, problem.headers)


def of_query(error: QueryError) -> ProblemError:
    """The answer to a request whose question the tables could not answer."""
    match error:
        case DatabaseUnavailableError():
            return unavailable("Database unavailable", str(error))
        case SchemaNotReadyError():
            return unavailable("Schema not ready", str(error))
        case QueryTooLongError():
            return unavailable("Query too long", str(error))
        case HistoryNotKeptError():
            return ProblemError(410, "History not kept", str(error))
        case InvalidValueError(parameter=str(parameter)):
            return invalid_field(parameter, str(error))
        case _:
            return ProblemError(400, "Invalid request", str(error))


async def _on_invalid_request(request: Request, error: RequestValidationError) -> Response:
    fields = complaints(error.errors(), below=1)  # `query`, `path` or `header`
    return _answer(request, ProblemError(422, "Invalid request", sentence(fields), fields=fields))


async def _on_http_error(request: Request, error: HTTPException) -> Response:
    """What the router says by itself: no such path, or not with this method."""
    phrase = HTTPStatus(error.status_code).phrase
    match error.status_code:
        case 404:
            detail = f"there is no {request.url.path}; /openapi.json lists what there is"
        case 405:
            allowed = ", ".join(_methods(request))
            detail = f"{request.url.path} does not answer {request.method}; it answers {allowed}"
            return _answer(request, ProblemError(405, phrase, detail), {"Allow": allowed})
        case _:
            detail = str(error.detail)
    return _answer(request, ProblemError(error.status_code, phrase, detail), error.headers)


def _methods(request: Request) -> list[str]:
    """What the path answers: the router tells of its first route only, and not of HEAD."""
    routes = request.app.router.routes
    answered = (
        m for m in HTTPMethod if any(r.matches({**request.scope, "method": m})[0] is Match.FULL for r in routes)
    )
    return [name for method in answered for name in (("GET", "HEAD") if method == "GET" else (method.value,))]


async def _on_unforeseen(request: Request, _: Exception) -> Response:
    detail = "the api failed at this request; its log has the traceback"
    return _answer(request, ProblemError(500, "Internal error", detail))


def _answer(request: Request, error: ProblemError, headers: Mapping[str, str] | None = None) -> Response:
    return response(request.url.path, error, headers)


def response(path: str, error: ProblemError, headers: Mapping[str, str] | None = None) -> Response:
    """The answer to a request for `path`."""
    return Response(
        body(path, error), status_code=error.status, headers=headers or error.headers, media_type=MEDIA_TYPE
    )


def body(path: str, error: ProblemError) -> bytes:
    problem = Problem(
        type=f"/docs#{anchor(error.title)}",
        title=error.title,
        status=error.status,
        detail=error.detail,
        instance=path,
        error=error.detail,
        errors=list(error.fields) or None,
    )
    return msgspec.json.encode({**problem.model_dump(exclude_none=True), **error.members})
