"""One key of the bucket that this watcher wants: created, renewed and deleted by compare-and-set.

The server stores a message only onto the newest one of its subject that the writer knows. A key that has expired, or
was deleted, has a message without a body there; or none, after a while.
"""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from nats.errors import Error as NatsError
from nats.js.api import Header
from pydantic import ValidationError

from summit_models.watcher import Holder
from summit_runtime.nats.connection.bus import EventClient
from summit_runtime.nats.publishing.append import ConflictError, NotStoredError, store
from summit_runtime.nats.streams.leases import MARKER_SECONDS, STREAM
from summit_runtime.nats.streams.stored import last_message
from summit_watcher.settings import WatcherTimes

ATTEMPTS = 3
"""To take a key whose newest message changes while we look at it."""
ENDLESS_LEASES = 2
"""A message that is so many times older than a lease may be has no end of its own: no watcher has written it, or a
restored bucket has lost its end. It belongs to nobody, or nobody would watch the cluster for ever."""


class _Newest(NamedTuple):
    revision: int = 0
    holder: Holder | None = None
    """Who has the key; None: nobody."""


_UNREADABLE = Holder(watcher="unknown", run="", since=datetime.fromtimestamp(0, UTC))


class Entry:
    def __init__(self, client: EventClient, subject: str, holder: Holder, times: WatcherTimes) -> None:
        self.holder = holder
        """What is stored with the next renewal."""
        self._client, self._subject, self._times = client, subject, times
        self.owner = ""
        """The watcher that has the key instead of us, when it was seen last."""
        self._revision = 0
        self._is_left = False
        self._in_turn = asyncio.Lock()

    async def take(self) -> bool:
        """Create the key, unless another watcher has it; return whether it is ours.

        Raises NotStoredError when NATS does not answer, or does not know yet.
        """
        async with self._in_turn:
            return await self._take()

    async def renew(self) -> bool:
        """Renew the key, or create it again if nobody has taken it since it expired; return whether it is ours.

        Raises NotStoredError when NATS does not answer, or does not know yet.
        """
        async with self._in_turn:
            if self._is_left:
                return False
            try:
                await self._put(self._revision)
            except ConflictError:
                return await self._take()
            return True

    async def delete(self) -> None:
        """Leave the key to others at once, if it is ours. Without an answer it expires by itself."""
        async with self._in_turn:
            if self._is_left:
                return
            self._is_left = True
            with contextlib.suppress(ConflictError, NotStoredError):
                try:
                    await self._put(self._revision, deleted=True)
                except ConflictError:  # another has it, or the answer to our last renewal was lost
                    newest = await self._newest()
                    if newest.holder and newest.holder.run == self.holder.run:
                        await self._put(newest.revision, deleted=True)

    async def _take(self) -> bool:
        for _ in range(ATTEMPTS):
            newest = await self._newest()
            if newest.holder and newest.holder.run != self.holder.run:
                self.owner = newest.holder.watcher
                return False
            try:
                await self._put(newest.revision)
            except ConflictError:
                continue
            return True
        raise NotStoredError("NATS has not decided yet who has it")  # as while one of its servers waits for the others

    async def _put(self, onto: int, *, deleted: bool = False) -> None:
        """Store the holder, or a delete, onto the message with this revision; 0: onto nothing."""
        headers: dict[str, str] = {Header.EXPECTED_LAST_SUBJECT_SEQUENCE: str(onto)}
        if deleted:
            body, seconds = b"", MARKER_SECONDS
            headers["KV-Operation"] = "DEL"
        else:
            body, seconds = self.holder.model_dump_json().encode(), self._times.lease_seconds
        headers[Header.MSG_TTL] = f"{seconds}s"
        answer = await store(self._client, self._subject, body, headers, self._times.lease_answer_seconds)
        self._revision = answer.seq

    async def _newest(self) -> _Newest:
        if not self._client.is_connected:
            raise NotStoredError("not connected to NATS")
        try:
            message = await last_message(
                self._client, self._subject, stream=STREAM, answer_seconds=self._times.lease_answer_seconds
            )
        except (NatsError, TimeoutError) as error:
            raise NotStoredError(f"NATS does not answer: {error}") from error
        if message is None:
            return _Newest()
        is_held = message.data and not self._is_endless(message.time)
        return _Newest(message.seq or 0, _read(message.data or b"") if is_held else None)

    def _is_endless(self, stored_at: datetime | None) -> bool:
        longest = timedelta(seconds=ENDLESS_LEASES * self._times.lease_seconds)
        return stored_at is not None and self._client.clock.now() > stored_at + longest


def _read(body: bytes) -> Holder:
    """The holder in a body. What cannot be read is somebody else's, so that nobody overwrites it."""
    try:
        return Holder.model_validate_json(body)
    except ValidationError:
        return _UNREADABLE
