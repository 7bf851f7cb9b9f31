"""Errors that a person can fix, printed without a traceback."""


class StandaloneError(Exception):
    """The message says what happened, to which thing, and what to do."""
