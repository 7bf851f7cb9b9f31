"""Which HTTP answer each error of the data layer becomes."""

import pytest

from summit_api.problem_kinds import KINDS
from summit_api.problems import of_query
from summit_api.query.errors import (
    DatabaseUnavailableError,
    HistoryNotKeptError,
    InvalidValueError,
    QueryError,
    QueryTooLongError,
    SchemaNotReadyError,
)


@pytest.mark.parametrize(
    ("error", "status", "title"),
    [
        (DatabaseUnavailableError(), 503, "Database unavailable"),
        (SchemaNotReadyError(), 503, "Schema not ready"),
        (QueryTooLongError(), 503, "Query too long"),
        (HistoryNotKeptError("history before June has been dropped"), 410, "History not kept"),
        (InvalidValueError("a name cannot contain NUL"), 400, "Invalid request"),
    ],
)
def test_each_error_of_a_query_is_one_kind_of_problem(error: QueryError, status: int, title: str) -> None:
    """With the error's own sentence; a client may try again later what passes by itself."""
    problem = of_query(error)
    assert (problem.status, problem.title, problem.detail) == (status, title, str(error))
    assert ("Retry-After" in problem.headers) is (status == 503)
    assert title in KINDS[status]


def test_wrong_parameter_is_named() -> None:
    """`errors` of the answer points to it."""
    (field,) = of_query(InvalidValueError("it is in the future", parameter="at")).fields
    assert (field.field, field.detail) == ("at", "it is in the future")
