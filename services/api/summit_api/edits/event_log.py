"""The log as the api writes to it: edits, each made from the state that was read, and answered when reads show it.

The api writes no rows. An edit is an event like any other; the projector makes its row, and the answer waits for that.
Without NATS edits are rejected and reads continue.
"""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from nats.aio.client import Client
from nats.errors import Error as NatsError

from summit_api.revisions import Revisions
from summit_api.settings import ApiTimes
from summit_models.contract import Revision
from summit_models.event import Event
from summit_runtime.nats.publishing.append import Basis, ConflictError, NotStoredError, append
from summit_runtime.nats.streams.stored import last_message, next_message

_CHANGED = "it has changed since it was read; nothing was done, read it and try again"


class EditError(Exception):
    """The edit was not made. The message says why and what to do; `problems` maps each kind to an HTTP answer."""


class ChangedMeanwhileError(EditError):
    """The log has something newer than what the edit was made from."""


class LogUnavailableError(EditError):
    """NATS has not confirmed the edit."""


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
        self._answer_seconds = times.nats.answer_seconds

    async def append(
        self, events: Sequence[Event], basis: Basis, *, catches_up: bool = True, unique: bool = False
    ) -> Stored:
        """Store all of the events or none, and wait until the tables have them, for a few seconds at most.

        `catches_up`: after a conflict, wait until the tables have what is newer. `unique`: an event with an id that the
        log has already is no repetition, but somebody else's.

        Raises ChangedMeanwhileError when `basis` is not the newest any more, LogUnavailableError without NATS.
        """
        client = self._connected()
        try:
            revision = await append(client, events, basis, answer_seconds=self._answer_seconds, unique=unique)
        except ConflictError as error:
            if catches_up and error.newest is not None:  # so that the next read shows it
                await self._revisions.wait_for(error.newest, self._applied_seconds)
            raise ChangedMeanwhileError(_CHANGED) from error
        except NotStoredError as error:
            raise _unavailable(error) from error
        return Stored(revision, await self._revisions.wait_for(revision, self._applied_seconds))

    async def newest(self, subject: str) -> Revision:
        """The newest revision under a subject, which may have wildcards; 0: there is none.

        Raises LogUnavailableError without NATS.
        """
        try:
            message = await last_message(self._connected(), subject, answer_seconds=self._answer_seconds)
        except (NatsError, TimeoutError) as error:
            raise _unread(error) from error
        return Revision(message.seq or 0) if message else Revision(0)

    async def bodies(self, subject: str, after: Revision, until: Revision) -> AsyncIterator[bytes]:
        """The events under a subject between two revisions, one request for each. Raises LogUnavailableError."""
        client, revision = self._connected(), after
        while revision < until:
            try:
                message = await next_message(client, subject, after=revision, answer_seconds=self._answer_seconds)
            except (NatsError, TimeoutError) as error:
                raise _unread(error) from error
            if message is None:
                return
            yield message.data or b""
            revision = Revision(message.seq or until)

    def _connected(self) -> Client:
        if self.client is None:
            raise _unavailable(NotStoredError("not connected to NATS"))
        return self.client


def _unread(error: Exception) -> LogUnavailableError:
    return _unavailable(NotStoredError(str(error) or "no answer from NATS"))


def _unavailable(error: NotStoredError) -> LogUnavailableError:
    outcome = "it may have been done anyway, so read it before you try again" if error.unsure else "nothing was done"
    return LogUnavailableError(f"the log cannot be written at the moment ({error}); {outcome}")
