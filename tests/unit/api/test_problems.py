"""Which HTTP answer each error of the data layer becomes."""

import pytest

from summit_api.edits.event_log import ChangedMeanwhileError, EditError, LogUnavailableError
from summit_api.problems import Kind
from summit_api.problems.answers import problem_of
from summit_api.query.errors import HistoryNotKeptError, InvalidValueError, QueryError, SchemaNotReadyError


@pytest.mark.parametrize("error", [*QueryError.__subclasses__(), *EditError.__subclasses__()])
def test_each_error_of_a_query_or_an_edit_is_a_kind_of_problem(error: type[Exception]) -> None:
    """The problem has the error's own sentence. A client may try again later if the problem passes by itself."""
    problem = problem_of(error("it failed"))
    assert problem.detail == "it failed"
    assert ("Retry-After" in problem.headers) is (problem.status == 503)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (SchemaNotReadyError(), Kind.SCHEMA_NOT_READY),
        (HistoryNotKeptError("history before June has been dropped"), Kind.HISTORY_NOT_KEPT),
        (ChangedMeanwhileError(), Kind.CHANGED_MEANWHILE),
        (LogUnavailableError(), Kind.LOG_UNAVAILABLE),
    ],
)
def test_kinds_of_some_errors(error: Exception, kind: Kind) -> None:
    """Those that a mistake in the table would not show elsewhere."""
    assert problem_of(error).kind is kind


def test_wrong_parameter_is_named() -> None:
    """`errors` of the answer points to it."""
    (field,) = problem_of(InvalidValueError("it is in the future", parameter="at")).fields
    assert (field.field, field.detail) == ("at", "it is in the future")
