"""Parameters that have one value. A parameter that is given twice is rejected: one of its values would be ignored."""

from collections.abc import Iterator
from functools import cache
from typing import get_origin

from fastapi import Request

from summit_api.problems import Kind, ProblemError
from summit_api.problems.validation import FieldError
from summit_api.query.parameters import OnlyThese


async def refuse_repeated(request: Request) -> None:
    """The dependency of all routes. Raises ProblemError 422."""
    given = request.query_params
    for name in single_valued() & given.keys():
        if len(values := given.getlist(name)) > 1:
            detail = f"can have one value, but {len(values)} were given"
            fields = [FieldError(field=name, detail=detail)]
            raise ProblemError(Kind.INVALID_PARAMETER, f"{name}: {detail}", fields=fields)


@cache
def single_valued() -> frozenset[str]:
    """Every parameter of any route that is not a list. A list can be repeated, which means or."""
    return frozenset(_single_valued(OnlyThese))


def _single_valued(model: type[OnlyThese]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if get_origin(field.annotation) is not list:
            yield field.alias or name
    for narrower in model.__subclasses__():
        yield from _single_valued(narrower)
