"""A problem: RFC 9457 `application/problem+json`, which every error is answered with.

The sentence that explains it is there once: in `detail`, or in `errors` if it is about a field. Answers of the original
API's endpoints have it once more, where clients of the original look for it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import quote

import msgspec
from fastapi import Response
from pydantic import BaseModel, Field

from summit_api.problems.kinds import Kind
from summit_api.problems.validation import FieldError, sentence

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 2
"""A 503 here ends when Postgres is back or the projector has migrated: seconds, not minutes."""

_OF_ADDRESSES = "/%:@!$&'()*+,;=~"
"""Characters of a path that need no encoding (RFC 3986 section 3.3); % is in those that are encoded already."""
_MIGRATE = "/api/v1/migrate"
_ORIGINALS = re.compile(
    r"/api/v1/(datacenters|status|events|admin/.+|migrations(/[^/]+|/(datacenter|vm|direction)/[^/]+)?)"
)
"""The original's other endpoints, whose errors are in `error`."""


class Problem(BaseModel):
    """RFC 9457: what happened, to which thing, what to do."""

    type: str = Field(description="Kind of problem. It is stable: compare it", examples=["/docs#vm-not-found"])
    title: str = Field(description="The kind in words", examples=["VM not found"])
    status: int = Field(description="HTTP status code", examples=[404])
    detail: str = Field(description="What happened this time", examples=["there is no VM with the id '6a1f…'"])
    instance: str = Field(description="Path of the request", examples=["/api/v1/vms/6a1f…"])
    errors: list[FieldError] | None = Field(default=None, description="Each wrong field of the request")
    error: str | None = Field(default=None, description="The original API's words, in answers of its endpoints")
    success: Literal[False] | None = Field(default=None, description="Only in answers of /api/v1/migrate, as `message`")
    message: str | None = Field(default=None, description="The original API's words, in answers of /api/v1/migrate")


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
        """Members beside those of every problem; or the original's words, where clients may compare them."""
        if retry_after is None and kind.status == 503:
            retry_after = RETRY_AFTER_SECONDS
        self.headers = dict(headers or {}) | ({} if retry_after is None else {"Retry-After": str(retry_after)})

    @property
    def status(self) -> int:
        return self.kind.status


def wrong_fields(kind: Kind, fields: Sequence[FieldError], **members: object) -> ProblemError:
    return ProblemError(kind, sentence(fields), fields=fields, members=members)


def invalid_value(field: str, detail: str, **members: object) -> ProblemError:
    return wrong_fields(Kind.INVALID_VALUE, [FieldError(field=field, detail=detail)], **members)


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
        instance=quote(path, safe=_OF_ADDRESSES),
        errors=list(error.fields) or None,
        **_original_members(path, error.detail),
    )
    return msgspec.json.encode({**problem.model_dump(exclude_none=True), **error.members}) + b"\n"


def _original_members(path: str, detail: str) -> dict[str, Any]:
    if path == _MIGRATE:
        return {"success": False, "message": detail}
    return {"error": detail} if _ORIGINALS.fullmatch(path) else {}
