"""What is wrong with Postgres, in plain words."""

import errno

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError

from summit_runtime.postgres.database import outage


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed"), "cannot be reached: Connection refused"),
        (OSError("Multiple exceptions: [Errno 111] …"), "cannot be reached: Multiple exceptions: [Errno 111] …"),
        (TimeoutError(), "has not answered in time"),
        (asyncpg.InterfaceError("connection is closed"), "has closed the connection: connection is closed"),
        (asyncpg.InternalClientError(), "has closed the connection"),
        (asyncpg.DiskFullError("No space left on device"), "reports: No space left on device"),
        (asyncpg.AdminShutdownError("terminating connection"), "reports: terminating connection"),
    ],
)
def test_an_outage_names_postgres_and_what_happened(error: Exception, sentence: str) -> None:
    """It has no names of Python's classes, as `events wait: InterfaceError` had."""
    assert outage(error) == f"Postgres {sentence}"


def test_an_outage_is_found_in_the_errors_of_sqlalchemy() -> None:
    """Their own text has the statement and a link to SQLAlchemy's pages."""
    error = DBAPIError("SELECT 1", {}, Exception("adapted"))
    error.__cause__ = asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
    assert outage(error).startswith("Postgres has closed the connection: connection was closed")
