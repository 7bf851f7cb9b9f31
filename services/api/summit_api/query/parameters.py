"""Query parameters that many lists share, and how parameters are checked before anything is read."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

from summit_api.query.pages import cursor
from summit_api.query.times import Bound, Past, Window
from summit_api.query.transaction.errors import InvalidValueError
from summit_models.contract import ClusterName

MAX_VALUES = 100
"""Values of one parameter. More are a mistake, and each makes the query dearer."""
MAX_LIMIT = 500
DEFAULT_LIMIT = 100

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


class MomentQuery(Parameters):
    """As of when."""

    at: Past = None


class OneOfThese(Parameters):
    """Which of the objects with one id."""

    cluster: WhichCluster = []


class VmQuery(MomentQuery, OneOfThese):
    """Which VM with an id, and as of when."""


class HistoryQuery(Parameters):
    """Which part of an object's history, and which page of it."""

    since: Bound = Field(
        default=None,
        description="Events at or after this time, by RFC 3339 or as long ago as `-90s`, `-15m`, `-1h`, `-7d` say",
    )
    until: Bound = Field(default=None, description="Events before this time, in the same form")
    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Maximum number of events in one page")
    cursor: str | None = Field(default=None, max_length=cursor.MAX_LENGTH, description="`next` of the previous page")

    @property
    def is_relative(self) -> bool:
        """Whether the same query is about other events a moment later."""
        return any(isinstance(bound, timedelta) for bound in (self.since, self.until))

    def window(self, now: datetime) -> Window:
        """The wanted time. Raises InvalidValueError when it is empty."""
        since, until = (now - bound if isinstance(bound, timedelta) else bound for bound in (self.since, self.until))
        if since and until and since >= until:
            detail = f"since must be before until: {since.isoformat()} is not before {until.isoformat()}"
            raise InvalidValueError(detail, parameter="since")
        return Window(since, until)


class ObjectHistoryQuery(HistoryQuery, OneOfThese):
    """The same of an object with an id."""
