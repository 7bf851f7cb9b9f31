"""The mistake in a value, as a sentence for people: pydantic's sentences are for the author of the model.

Each sentence follows the name of the field and a colon, and says what is allowed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

LONGEST_SHOWN = 60
"""Characters of a wrong value, enough to find it."""

MOST_NAMED = 5
"""Wrong fields that a sentence names. A client can send thousands."""

_NUMBER = "must be a whole number, not {value}"
_TRUTH = "must be true or false, not {value}"

_SENTENCES: Mapping[str, str] = {
    "missing": "is missing",
    "extra_forbidden": "there is no such parameter here; see /docs",
    "int_type": _NUMBER,
    "int_parsing": _NUMBER,
    "int_parsing_size": _NUMBER,
    "int_from_float": _NUMBER,
    "float_type": "must be a number, not {value}",
    "float_parsing": "must be a number, not {value}",
    "finite_number": "must be a number, not {value}",
    "bool_type": _TRUTH,
    "bool_parsing": _TRUTH,
    "string_type": "must be a text, not {value}",
    "list_type": "must be a list, not {value}",
    "tuple_type": "must be a list, not {value}",
    "model_type": "must be an object, not {value}",
    "greater_than_equal": "must be at least {ge}, not {value}",
    "less_than_equal": "must be at most {le}, not {value}",
    "less_than": "must be less than {lt}, not {value}",
    "enum": "must be {expected}, not {value}",
    "literal_error": "must be {expected}, not {value}",
    "too_long": "may have at most {max_length} values, and has more",
    "string_too_long": "may have at most {max_length} characters, and has more",
    "string_too_short": "must have at least {min_length} character(s)",
    "datetime_from_date_parsing": "there is no such time: {error}",
    "datetime_parsing": "there is no such time: {error}",
    "timezone_aware": "must have an offset from UTC, as Z or +01:00",
    "json_invalid": "is not valid JSON: {error}",
    "value_error": "{error}",
}
"""By pydantic's type of error, with its context. A type that is not here keeps pydantic's sentence."""


class FieldError(BaseModel):
    field: str = Field(description="Parameter or member that is wrong", examples=["limit"])
    detail: str = Field(description="What is wrong and what is allowed", examples=["must be at most 500, not '501'"])


def field_errors(errors: Iterable[Mapping[str, Any]], *, below: int = 0) -> list[FieldError]:
    """Each wrong field, once: two dependencies of a route may both reject the same parameter.

    The first `below` parts of each location only name the place in the request, as `query` does.
    """
    found = dict.fromkeys(_sentences(errors, below))
    return [FieldError(field=field, detail=detail) for field, detail in found]


def place(location: Sequence[int | str]) -> str:
    """A parameter or member, with its place in a list: `status[1]`, `labels.app`."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return "".join(steps).removeprefix(".")


def sentence(fields: Iterable[FieldError]) -> str:
    """Names the wrong fields. What is wrong with each is in `errors`, and nowhere else."""
    names = list(dict.fromkeys(wrong.field for wrong in fields))
    if len(names) > MOST_NAMED:
        names[MOST_NAMED:] = [f"{len(names) - MOST_NAMED} more"]
    listed = ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else names[0]
    return f"{listed} {'are' if len(names) > 1 else 'is'} not valid: `errors` says why"


def _sentences(errors: Iterable[Mapping[str, Any]], below: int) -> Iterator[tuple[str, str]]:
    for wrong in errors:
        location = wrong["loc"]
        yield place(location[below:]) or (str(location[0]) if location else "body"), _sentence(wrong)


def _sentence(wrong: Mapping[str, Any]) -> str:
    known = _SENTENCES.get(wrong["type"])
    if known is None:
        return str(wrong["msg"])
    return known.format(**{"value": _shown(wrong["input"]), **wrong.get("ctx", {})})


def _shown(value: object) -> str:
    match value:
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case dict():
            return "an object"
        case list():
            return "a list"
        case _:
            text = repr(value)
            return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"
