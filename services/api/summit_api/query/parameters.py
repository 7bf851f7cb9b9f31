"""Query parameters that many lists share, and how parameters are checked before anything is read."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from summit_api.query.pages import cursor
from summit_models.contract import ClusterName

MAX_VALUES = 100
"""Values of one parameter. More are a mistake, and each makes the query dearer."""
MAX_LIMIT = 500
DEFAULT_LIMIT = 100

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")

WantedRevision = Annotated[
    int | None,
    Field(
        ge=0,
        lt=1 << 63,
        description="Wait up to 5 s until this revision is applied, else answer 409: you read what you wrote",
    ),
]


def checked(read: Callable[[str], object]) -> AfterValidator:
    """For a parameter that `read` must be able to read, and that stays a text: documents and cursors have the text."""

    def check(text: str) -> str:
        read(text)
        return text

    return AfterValidator(check)


def storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("cannot contain the character NUL")
    return text


Storable = Annotated[str, AfterValidator(storable)]
"""For a part of a path."""


WhichCluster = Annotated[
    list[ClusterName],
    Field(
        max_length=1,
        description="Name of the cluster, for an id that several clusters show. Empty: the VM that was added by hand",
    ),
]
"""A list, since other parameters of this name can be repeated."""


class OnlyThese(BaseModel):
    """Query parameters. Others are rejected: a misspelt filter would answer with everything, and a client that sends
    `dryrun` does not want the real thing.
    """

    model_config = ConfigDict(extra="forbid")


class Parameters(OnlyThese):
    """Query parameters of a read."""

    revision: WantedRevision = None
    """Named here since it would be rejected otherwise; `reading` waits for it."""

    @field_validator("*", mode="after")
    @classmethod
    def _storable(cls, value: object) -> object:
        """Rejected here, where the parameter has a name: Postgres would reject it too, even in the middle of a feed."""
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                storable(text)
        return value


def _rfc_3339(value: object) -> object:
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


Past = Annotated[
    AwareDatetime | None,
    BeforeValidator(_rfc_3339),
    AfterValidator(_in_utc),
    Field(
        description="Show the state at this time. A VM is absent before its first known event and after its end",
        examples=["2026-11-23T12:00:00Z"],
    ),
]


class MomentQuery(Parameters):
    """As of when."""

    at: Past = None


class OneOfThese(Parameters):
    """Which of the objects with one id."""

    cluster: WhichCluster = []


class VmQuery(MomentQuery, OneOfThese):
    """Which VM with an id, and as of when."""


class HistoryQuery(Parameters):
    """Which page of an object's history."""

    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Maximum number of events in one page")
    cursor: str | None = Field(default=None, max_length=cursor.MAX_LENGTH, description="`next` of the previous page")


class ObjectHistoryQuery(HistoryQuery, OneOfThese):
    """The same of an object with an id."""
