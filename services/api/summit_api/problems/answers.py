"""Which error becomes which problem. Queries and edits raise errors of their own, since they know no HTTP."""

from collections.abc import Mapping
from http import HTTPMethod
from typing import Any, cast

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import ExceptionHandler

from summit_api.edits import event_log, target
from summit_api.operations import errors as operations
from summit_api.problems.kinds import Kind
from summit_api.problems.problem import ProblemError, invalid_value, response, wrong_fields
from summit_api.problems.validation import field_errors
from summit_api.query.transaction import errors as query

_KINDS: Mapping[type[Exception], Kind] = {
    query.DatabaseUnavailableError: Kind.DATABASE_UNAVAILABLE,
    query.SchemaNotReadyError: Kind.SCHEMA_NOT_READY,
    query.SchemaNewerError: Kind.SCHEMA_NEWER,
    query.QueryTooLongError: Kind.QUERY_TOO_LONG,
    query.AmbiguousIdError: Kind.AMBIGUOUS_ID,
    query.HistoryNotKeptError: Kind.HISTORY_NOT_KEPT,
    query.InvalidValueError: Kind.INVALID_VALUE,
    target.DatacenterNotFoundError: Kind.DATACENTER_NOT_FOUND,
    target.VmNotFoundError: Kind.VM_NOT_FOUND,
    target.IdInUseError: Kind.ID_IN_USE,
    operations.RefusedError: Kind.OPERATION_REFUSED,
    operations.ClusterUnavailableError: Kind.CLUSTER_UNAVAILABLE,
    operations.KeyReusedError: Kind.KEY_REUSED,
    operations.OperationNotFoundError: Kind.OPERATION_NOT_FOUND,
    operations.OperationEndedError: Kind.OPERATION_ENDED,
    operations.OperationAcceptedError: Kind.OPERATION_ACCEPTED,
    operations.ListChangedError: Kind.LIST_CHANGED,
    operations.TooManyVmsError: Kind.TOO_MANY_VMS,
    operations.TablesBehindError: Kind.TABLES_BEHIND,
    event_log.ChangedMeanwhileError: Kind.CHANGED_MEANWHILE,
    event_log.LogUnavailableError: Kind.LOG_UNAVAILABLE,
}

EXPECTED = (ProblemError, query.QueryError, event_log.EditError, operations.OperationError)
"""Errors that are answers: `problem_of` knows them."""


def problem_of(error: Exception) -> ProblemError:
    """The problem that one of EXPECTED is answered with."""
    match error:
        case ProblemError():
            return error
        case query.InvalidValueError(parameter=str(parameter)):
            return invalid_value(parameter, str(error))
        case query.AmbiguousIdError(clusters=clusters):
            return ProblemError(Kind.AMBIGUOUS_ID, str(error), members={"clusters": clusters})
        case operations.OperationError(members=members):
            return ProblemError(_KINDS[type(error)], str(error), members=members)
    return ProblemError(_KINDS[type(error)], str(error))


def install(app: FastAPI) -> None:
    """Answer every error of the application, foreseen or not, with a problem."""
    handlers: Mapping[type[Exception], Any] = {
        **dict.fromkeys(EXPECTED, _on_expected),
        RequestValidationError: _on_invalid_request,
        HTTPException: _on_http_error,
        ClientDisconnect: _on_disconnect,
        Exception: _on_unforeseen,
    }
    for error, handler in handlers.items():
        app.add_exception_handler(error, cast(ExceptionHandler, handler))


async def _on_expected(request: Request, error: Exception) -> Response:
    return _answer(request, problem_of(error))


async def _on_invalid_request(request: Request, error: RequestValidationError) -> Response:
    fields = field_errors(error.errors(), below=1)  # `query`, `path` or `header`
    return _answer(request, wrong_fields(Kind.INVALID_PARAMETER, fields))


async def _on_http_error(request: Request, error: HTTPException) -> Response:
    """Answer for the router: there is no such path, or it does not answer this method."""
    path = request.scope["path"]
    match error.status_code:
        case 404:
            detail = f"there is no path {path}; /openapi.json lists the paths"
            return _answer(request, ProblemError(Kind.NOT_FOUND, detail))
        case 405:
            allowed = ", ".join(_methods(request))
            detail = f"{path} does not answer {request.method}; it answers {allowed}"
            return _answer(request, ProblemError(Kind.METHOD_NOT_ALLOWED, detail, headers={"Allow": allowed}))
        case 413:
            return _answer(request, ProblemError(Kind.CONTENT_TOO_LARGE, str(error.detail)))
    return _answer(request, ProblemError(Kind.BAD_REQUEST, str(error.detail)))


async def _on_disconnect(request: Request, _: Exception) -> Response:
    """Nobody reads this answer, but without it each such request would be logged as a failure of the api."""
    return _answer(request, ProblemError(Kind.BAD_REQUEST, "the connection was closed before the body was complete"))


def _methods(request: Request) -> list[str]:
    """The methods that the path answers: the router itself reports only its first route, and not HEAD."""
    routes = request.app.router.routes
    answered = (
        m for m in HTTPMethod if any(r.matches({**request.scope, "method": m})[0] is Match.FULL for r in routes)
    )
    return [name for method in answered for name in (("GET", "HEAD") if method == "GET" else (method.value,))]


async def _on_unforeseen(request: Request, _: Exception) -> Response:
    detail = "the API failed at this request; its log has the traceback"
    return _answer(request, ProblemError(Kind.INTERNAL, detail))


def _answer(request: Request, error: ProblemError) -> Response:
    return response(request.scope["path"], error)
