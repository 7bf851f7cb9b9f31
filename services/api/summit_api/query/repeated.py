"""Parameters that have one value: given twice, one of the two would be passed over without a word."""

from fastapi import Request

from summit_api.problems import ProblemError
from summit_api.validation import FieldError

SINGLE = frozenset(
    (
        *("at", "revision", "since", "snapshot", "ticket", "dry-run"),
        *("limit", "cursor", "sort", "count", "managed", "problems", "completed", "direction"),
    )
)
"""A test holds them to the document: all others are lists, where repeating means or."""


async def refuse_repeated(request: Request) -> None:
    """The dependency of all routes. Raises ProblemError 422."""
    given = request.query_params
    for name in SINGLE & given.keys():
        if len(values := given.getlist(name)) > 1:
            detail = f"has one value, and was given {len(values)}"
            fields = [FieldError(field=name, detail=detail)]
            raise ProblemError(422, "Invalid request", f"{name}: {detail}", fields=fields)
