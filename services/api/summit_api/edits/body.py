"""The body of a request, as JSON or as a form: the original takes both."""

from typing import Any, TypeVar
from urllib.parse import parse_qs

from fastapi import Request
from pydantic import BaseModel, ValidationError

from summit_api.problems import FieldError, place

FORM = "application/x-www-form-urlencoded"
PayloadT = TypeVar("PayloadT", bound=BaseModel)


class InvalidBodyError(Exception):
    """The body is not what the route wants; `fields` say where."""

    def __init__(self, error: ValidationError) -> None:
        self.fields = [
            FieldError(field=place(wrong["loc"]) or "body", detail=wrong["msg"])
            for wrong in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        super().__init__("; ".join(f"{wrong.field}: {wrong.detail}" for wrong in self.fields))


async def read(request: Request, model: type[PayloadT]) -> PayloadT:
    """Raises InvalidBodyError. JSON is taken as it is (`"4"` is no number), a form has nothing but texts."""
    body = await request.body()
    try:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM:
            return model.model_validate(_members(body))
        return model.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise InvalidBodyError(error) from error


def documented(model: type[BaseModel]) -> dict[str, Any]:
    """What OpenAPI says of such a body. The schemas it refers to are those of the answers."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    content = {media_type: {"schema": schema} for media_type in ("application/json", FORM)}
    return {"requestBody": {"required": True, "content": content}}


def _members(form: bytes) -> dict[str, str | list[str]]:
    """A name that comes once has one text, a repeated one a list."""
    values = parse_qs(form.decode(errors="replace"), keep_blank_values=True)
    return {name: texts[0] if len(texts) == 1 else texts for name, texts in values.items()}
