"""A problem: RFC 9457 `application/problem+json`, which every error is answered with.

Each has the member `error` too, the same sentence as `detail`: clients of the original API read it there.
"""

from collections.abc import Mapping, Sequence

import msgspec
from fastapi import Response
from pydantic import BaseModel, Field

from summit_api.problems.kinds import Kind
from summit_api.problems.validation import FieldError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 2
"""A 503 here ends when Postgres is back or the projector has migrated: seconds, not minutes."""


class Problem(BaseModel):
    """RFC 9457: what happened, to which thing, what to do."""

    type: str = Field(description="Kind of problem. It is stable: compare it", examples=["/docs#vm-not-found"])
    title: str = Field(description="The kind in words", examples=["VM not found"])
    status: int = Field(description="HTTP status code", examples=[404])
    detail: str = Field(description="What happened this time", examples=["there is no VM with the id '6a1f…'"])
    instance: str = Field(description="Path of the request", examples=["/api/v1/vms/6a1f…"])
    error: str = Field(description="The same as `detail`, where clients of the original API look for it")
    errors: list[FieldError] | None = Field(default=None, description="Each wrong field of the request")


class ProblemError(Exception):
    """An answer that is a problem: its kind, and what happened this time."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        fields: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        retry_after: int | None = None,
        members: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.fields = fields
        self.members = members or {}
        """The original's members, where its answer had more than `error` or a sentence that clients may compare."""
        if retry_after is None and kind.status == 503:
            retry_after = RETRY_AFTER_SECONDS
        self.headers = dict(headers or {}) | ({} if retry_after is None else {"Retry-After": str(retry_after)})

    @property
    def status(self) -> int:
        return self.kind.status


def invalid_value(field: str, detail: str) -> ProblemError:
    return ProblemError(Kind.INVALID_VALUE, detail, fields=[FieldError(field=field, detail=detail)])


def response(path: str, error: ProblemError, headers: Mapping[str, str] | None = None) -> Response:
    """The answer to a request for `path`."""
    return Response(
        body(path, error), status_code=error.status, headers=headers or error.headers, media_type=MEDIA_TYPE
    )


def body(path: str, error: ProblemError) -> bytes:
    problem = Problem(
        type=f"/docs#{error.kind.anchor}",
        title=error.kind.title,
        status=error.status,
        detail=error.detail,
        instance=path,
        error=error.detail,
        errors=list(error.fields) or None,
    )
    return msgspec.json.encode({**problem.model_dump(exclude_none=True), **error.members})
