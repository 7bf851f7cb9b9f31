"""Why a client has to list again. The feed leaves nothing out in silence: it sends this instead."""

from enum import StrEnum


class Cause(StrEnum):
    BEGUN = "begun"
    """The client came before the process could read the tables, and may have missed changes since."""
    REPLACED = "replaced"
    """The log was replaced, or the tables were rebuilt."""
    FUTURE = "future"
    """The client knows a revision that does not exist: of a log that was replaced, or of another system."""
    TOO_OLD = "too_old"
    """The journal does not reach back so far, or the client missed too much."""
    TOO_SLOW = "too_slow"
    """The client took changes more slowly than they happened."""
    BROKEN_OFF = "broken_off"
    """The client's snapshot could not be read to its end."""
