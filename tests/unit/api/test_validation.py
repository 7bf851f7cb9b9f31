"""The sentence about a wrong value: it has the value and what is allowed, in our words instead of pydantic's."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from summit_api.problems.validation import field_errors


def _refuse(_: str) -> str:
    raise ValueError("there is no order by it")


class Everything(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=1, ge=1, le=500)
    since: int = Field(default=1, lt=1 << 63)
    share: float = 0.5
    count: bool = False
    status: Literal["running", "stopped"] = "running"
    name: str = Field(default="a", min_length=1, max_length=10)
    names: list[str] = Field(default=[], max_length=2)
    place: tuple[float, float] = (1.0, 2.0)
    sort: Annotated[str, AfterValidator(_refuse)] = ""
    at: AwareDatetime | None = None


@pytest.mark.parametrize(
    ("given", "field", "sentence"),
    [
        ({"limit": "many"}, "limit", "must be a whole number, not 'many'"),
        ({"limit": 1.5}, "limit", "must be a whole number, not 1.5"),
        ({"limit": 0}, "limit", "must be at least 1, not 0"),
        ({"limit": 501}, "limit", "must be at most 500, not 501"),
        ({"limit": None}, "limit", "must be a whole number, not null"),
        ({"since": 1 << 63}, "since", "must be less than 9223372036854775808, not 9223372036854775808"),
        ({"share": "half"}, "share", "must be a number, not 'half'"),
        ({"count": "maybe"}, "count", "must be true or false, not 'maybe'"),
        ({"status": "asleep"}, "status", "must be 'running' or 'stopped', not 'asleep'"),
        ({"status": "z" * 99}, "status", f"must be 'running' or 'stopped', not '{'z' * 59}…"),
        ({"name": 7}, "name", "must be a text, not 7"),
        ({"name": {"a": 1}}, "name", "must be a text, not an object"),
        ({"name": ""}, "name", "must have at least 1 character(s)"),
        ({"name": "a" * 11}, "name", "may have at most 10 characters, and has more"),
        ({"names": ["a", True]}, "names[1]", "must be a text, not true"),
        ({"names": ["a"] * 3}, "names", "may have at most 2 values, and has more"),
        ({"names": "a"}, "names", "must be a list, not 'a'"),
        ({"place": [1]}, "place[1]", "is missing"),
        ({"sort": "age"}, "sort", "there is no order by it"),
        ({"at": "2026-13-01T00:00:00Z"}, "at", "there is no such time: month value is outside expected range of 1-12"),
        ({"at": "2026-12-01T00:00:00"}, "at", "must have an offset from UTC, as Z or +01:00"),
        ({"limt": 5}, "limt", "there is no such parameter here; see /docs"),
        ([], "body", "must be an object, not a list"),
    ],
)
def test_sentence(given: Any, field: str, sentence: str) -> None:
    """It has the value, which is cut if it is long."""
    with pytest.raises(ValidationError) as error:
        Everything.model_validate(given)
    (wrong,) = field_errors(error.value.errors())
    assert (wrong.field, wrong.detail) == (field, sentence)


def test_wrong_value_is_reported_once() -> None:
    """Though two dependencies of a route may both reject it."""
    wrong = {"loc": ("query", "revision"), "type": "int_parsing", "msg": "…", "input": "x"}
    assert len(field_errors([wrong, wrong], below=1)) == 1
