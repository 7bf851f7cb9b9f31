"""StandaloneError and below it ServerError: what keeps `summit-connect` from running, as a sentence for people."""


class StandaloneError(Exception):
    """Something a person can mend; the sentence says what happened, to which thing, and what to do."""
