"""The log as the api writes to it: people's edits, each made from what they saw, and answered when it can be read.

The api has no rows to write. An edit is an event like any other; the projector makes the row of it, and the answer
waits for that. Without NATS edits are refused and reads go on.
"""

from collections.abc import Sequence
from typing import NamedTuple

from nats.aio.client import Client

from summit_api.problems import ProblemError, unavailable
from summit_api.revisions import Revisions
from summit_api.settings import ApiTimes
from summit_models.contract import Revision
from summit_models.event import Event
from summit_runtime.nats.append import Basis, ConflictError, NotStoredError, append


class Stored(NamedTuple):
    revision: Revision
    applied: bool
    """Whether the tables have it, so that the next read shows it."""


class EventLog:
    """`client` is set while there is a connection to NATS."""

    def __init__(self, revisions: Revisions, times: ApiTimes) -> None:
        self.client: Client | None = None
        self._revisions = revisions
        self._applied_seconds = times.applied_seconds

    async def append(self, events: Sequence[Event], basis: Basis) -> Stored:
        """Store events, all or none, and wait until the tables have them, for a few seconds at most.

        Raises ProblemError: 409 when `basis` is not the newest any more, 503 when NATS has not confirmed.
        """
        if self.client is None:
            raise _unavailable(NotStoredError("not connected to NATS"))
        try:
            revision = await append(self.client, events, basis)
        except ConflictError as error:
            if error.newest is not None:  # so that who reads it again sees it
                await self._revisions.wait_for(error.newest, self._applied_seconds)
            raise _changed_meanwhile() from error
        except NotStoredError as error:
            raise _unavailable(error) from error
        return Stored(revision, await self._revisions.wait_for(revision, self._applied_seconds))


def _changed_meanwhile() -> ProblemError:
    return ProblemError(
        409,
        "Changed meanwhile",
        "the log has something newer of it than what this was made from; nothing was done, read it and try again",
    )


def _unavailable(error: NotStoredError) -> ProblemError:
    outcome = "it may have been done all the same: read it before you repeat it" if error.unsure else "nothing was done"
    return unavailable("Log unavailable", f"the log cannot be written at the moment ({error}); {outcome}")
