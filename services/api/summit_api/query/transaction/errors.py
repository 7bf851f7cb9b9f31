"""Why the tables cannot answer a question. `problems` maps each kind to an HTTP answer; nothing here knows HTTP."""

from collections.abc import Sequence


class QueryError(Exception):
    """The tables cannot answer. The message says what happened and what to do."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or self.__doc__)


class DatabaseUnavailableError(QueryError):
    """Postgres cannot be reached at the moment; try again shortly"""


class SchemaNotReadyError(QueryError):
    """the tables have not been migrated to what this api reads; the projector does so when it starts"""


class SchemaNewerError(QueryError):
    """A newer version has made the tables. Nothing keeps them up to date here, so they answer nothing."""


class QueryTooLongError(QueryError):
    """the tables did not answer in time: ask for less, with filters or `limit`"""


class HistoryNotKeptError(QueryError):
    """The question is about a time before the kept history."""


class AmbiguousIdError(QueryError):
    """Several clusters show the id; `clusters` has their names, an empty one for a VM that was added by hand."""

    def __init__(self, message: str, clusters: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.clusters = clusters


class InvalidValueError(QueryError):
    """A value is not possible. `parameter` names the query parameter, if the value is of one."""

    def __init__(self, message: str, *, parameter: str | None = None) -> None:
        super().__init__(message)
        self.parameter = parameter
