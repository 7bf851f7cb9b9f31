"""An edit over HTTP: its body, as JSON or as a form like the original's, and its answer."""

from typing import Any, TypeVar
from urllib.parse import parse_qs

import msgspec
from fastapi import Request, Response
from pydantic import BaseModel, ValidationError

from summit_api.edits.event_log import Stored
from summit_api.http.answer import Json
from summit_api.problems import Kind
from summit_api.problems.problem import wrong_fields
from summit_api.problems.validation import FieldError, field_errors

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
PayloadT = TypeVar("PayloadT", bound=BaseModel)


async def read(
    request: Request,
    model: type[PayloadT],
    kind: Kind = Kind.INVALID_PAYLOAD,
    *,
    if_empty: bytes = b"",
    **original: str,
) -> PayloadT:
    """The body. Raises ProblemError of this kind, with the original's members beside our sentence.

    JSON has types (`"4"` is not a number); a form has only texts. `if_empty` is read in place of an empty body.
    """
    body = await request.body() or if_empty
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if media_type == FORM:
            return model.model_validate(_members(body))
        return model.model_validate_json(body, strict=True)
    except ValidationError as error:
        fields = field_errors(error.errors())
        if error.errors()[0]["type"] == "json_invalid" and (other := _no_json(body, media_type)):
            fields = [FieldError(field="body", detail=other)]
        members = original or {"error": "invalid payload"}
        raise wrong_fields(kind, fields, **members) from error


def _no_json(body: bytes, media_type: str) -> str | None:
    """Why the body is not JSON at all: that helps more than the position of a syntax error."""
    if not body.strip():
        return "is missing; send JSON or a form"
    if media_type and not media_type.endswith("json"):
        return f"must be JSON or a form, {JSON} or {FORM}, not {media_type}"
    return None


def answer(state: Any, stored: Stored | None) -> Response:
    """The new state, None after a removal, and the revision from which on reads show it.

    `stored` is None where the edit changed nothing.
    """
    status = 204 if state is None else 200
    status = 202 if stored and not stored.applied else status
    headers = {"Summit-Revision": str(stored.revision)} if stored else {}
    if state is None:
        return Response(status_code=status, headers=headers)
    return Json(msgspec.json.encode(state), status_code=status, headers=headers)


def documented(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """Such a body in OpenAPI. The schemas it refers to are those of the answers."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    content = {media_type: {"schema": schema} for media_type in (JSON, FORM)}
    return {"requestBody": {"required": required, "content": content}}


def _members(form: bytes) -> dict[str, str | list[str]]:
    """A name that occurs once has a text, a repeated one a list."""
    values = parse_qs(form.decode(errors="replace"), keep_blank_values=True)
    return {name: texts[0] if len(texts) == 1 else texts for name, texts in values.items()}
