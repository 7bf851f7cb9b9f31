"""Which HTTP answer each error of the data layer becomes."""

import pytest

from summit_api.edits.event_log import EditError
from summit_api.operations.errors import OperationError
from summit_api.problems.answers import problem_of
from summit_api.query.transaction.errors import QueryError


@pytest.mark.parametrize(
    "error", [*QueryError.__subclasses__(), *EditError.__subclasses__(), *OperationError.__subclasses__()]
)
def test_each_error_of_a_query_or_an_edit_is_a_kind_of_problem(error: type[Exception]) -> None:
    """The problem has the error's own sentence. A client may try again later if the problem passes by itself."""
    problem = problem_of(error("it failed"))
    assert problem.detail == "it failed"
    assert ("Retry-After" in problem.headers) is (problem.status == 503)
