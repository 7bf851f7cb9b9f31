"""Why a client has to read anew. Nothing is ever left out in silence: this is what it is told instead."""

from enum import StrEnum


class Cause(StrEnum):
    BEGUN = "begun"
    """It came before the process had read the log: what happened meanwhile was not looked at."""
    REPLACED = "replaced"
    """The log was replaced, or the tables were rebuilt."""
    FUTURE = "future"
    """It knows a revision that is not there: of a log that was replaced, or of another system."""
    TOO_OLD = "too_old"
    """The log does not reach back so far, or too much has happened since."""
    TOO_SLOW = "too_slow"
    """It did not take what happened as fast as it happened."""
    BROKEN_OFF = "broken_off"
    """Its snapshot could not be read to the end."""
