"""The user of the tests' Postgres that may only read: every api of a test is this one, so it can do its work so."""

from urllib.parse import urlsplit

USER = "reader_of_tests"
PASSWORD = "reads"


def as_reader(url: str, user: str = USER, password: str = PASSWORD) -> str:
    """The same database, for the user that may only read it."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{user}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()
