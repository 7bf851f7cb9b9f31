"""Times in parameters: a moment of the past, and the window of a history."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, PlainValidator, WithJsonSchema

from summit_api.query.transaction.arguments import Bind

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def _rfc_3339(value: object) -> str:
    """In a query string a `+` that was not escaped is a space; here it means the sign of the offset."""
    text = re.sub(r" (?=\d\d:\d\d$)", "+", str(value))
    if not _RFC_3339.fullmatch(text):
        raise ValueError("must be a time as RFC 3339 has it, with its offset: 2026-11-23T12:00:00Z")
    return text


def _in_utc(time: datetime | None) -> datetime | None:
    try:
        return time and time.astimezone(UTC)
    except OverflowError:
        raise ValueError("in UTC this time is in no year from 1 to 9999") from None


Time = Annotated[AwareDatetime | None, AfterValidator(_in_utc)]
"""A time that Postgres takes."""

Past = Annotated[
    AwareDatetime | None,
    BeforeValidator(_rfc_3339),
    AfterValidator(_in_utc),
    Field(
        description="Show the state at this time. A VM is absent before its first known event and after its end",
        examples=["2026-11-23T12:00:00Z"],
    ),
]


_AGO = re.compile(r"-(\d{1,5})([smhd])")
_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


def _instant(value: object) -> datetime | timedelta | None:
    """A time, or how long ago it was."""
    text = str(value)
    if ago := _AGO.fullmatch(text):
        return int(ago[1]) * _UNITS[ago[2]]
    if text.startswith("-"):
        raise ValueError(f"a time ago is a number with s, m, h or d, as -90s, -15m, -1h or -7d, not {text!r}")
    rfc_3339 = _rfc_3339(text).upper()
    try:
        time = datetime.fromisoformat(rfc_3339)
    except ValueError as error:
        raise ValueError(f"there is no such time: {error}") from error
    return _in_utc(time)


Bound = Annotated[
    datetime | timedelta | None,
    PlainValidator(_instant),
    WithJsonSchema({"type": "string", "examples": ["2026-11-23T12:00:00Z", "-1h"]}),
]


class Window(NamedTuple):
    """A stretch of time, without `until` itself: two that follow one another have each event once."""

    since: datetime | None
    until: datetime | None

    def conditions(self, bind: Bind) -> list[str]:
        """SQL over the column `time`."""
        bounds = ((">=", self.since), ("<", self.until))
        return [f"time {operator} {bind(bound)}" for operator, bound in bounds if bound]


ALWAYS = Window(None, None)
