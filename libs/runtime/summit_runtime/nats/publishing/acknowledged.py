"""The events that the log has confirmed lately, and whether it still has them.

A confirmed event may be lost all the same: a server that loses power loses what it had not written yet (at most what
came within `sync_interval`), one that is restored from a backup loses hours. The log is append-only, so only its end
can be lost: while the newest confirmed event stands under its number nothing is missing, and otherwise everything after
the newest one that does. The publisher checks before it publishes anything new, so that nothing is overtaken, and
publishes lost events again as far as they are remembered.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from nats.errors import Error as NatsError
from nats.js.api import Header, RawStreamMsg

from summit_runtime.nats.connection.bus import EventClient, NotPermittedError
from summit_runtime.nats.publishing.fast_batch import Message
from summit_runtime.nats.streams.stored import message_at
from summit_runtime.nats.streams.stream import stream_state

logger = logging.getLogger("summit.nats")

RECENT_EVENTS = 5000
"""6 MB. At the fastest rate this is a second, ten times what a server needs to write them; usually it is minutes."""
LOOK_SECONDS = 0.1
"""Pause before the next question to a NATS that does not answer."""


class LogLostError(Exception):
    """The log has lost more of its end than is remembered."""


class Place(NamedTuple):
    """A number in the log, the id of the event there, and how many messages had been confirmed up to it."""

    sequence: int
    event_id: str
    confirmed: int


class Acknowledged:
    """One publisher's newest confirmed messages, and places in the log that lie between them."""

    def __init__(self, client: EventClient) -> None:
        self._client = client
        self._messages: deque[Message] = deque(maxlen=RECENT_EVENTS)
        self._confirmed = 0
        """How many messages have been confirmed; `_messages` has the last of them."""
        self._places: deque[Place] = deque()
        self.reconnects = 0
        """Reconnects of the client at the last check."""
        self._check_at = 0.0

    def stored(self, messages: Sequence[Message]) -> None:
        """Note messages that the log has confirmed, in order, but without their places."""
        self._messages += messages
        self._confirmed += len(messages)
        while len(self._places) > 1 and self._after(self._places[0]) > len(self._messages):
            self._places.popleft()

    def committed(self, sequence: int) -> None:
        """Note the place of the last message that was stored; 0: none, it was a duplicate."""
        if sequence:
            self._places.append(Place(sequence, self._messages[-1].id, self._confirmed))

    async def check(self) -> Sequence[Message]:
        """Return the messages that the log has lost, oldest first; after each reconnect, and from time to time.

        They count as not sent from now on. After a reconnect this waits for the answer, though not for ever. Raises
        LogLostError when more may be missing than is remembered.
        """
        reconnects, now = self._client.stats["reconnects"], time.monotonic()
        times, is_first = self._client.times, reconnects != self.reconnects
        if not is_first and now < self._check_at:
            return ()
        give_up_at = now + (times.answer_seconds if is_first else 0)
        self.reconnects, self._check_at = reconnects, now + times.loss_check_seconds
        while self._client.stats["reconnects"] == reconnects:
            try:
                return await self._lost()
            except NotPermittedError as error:
                self._check_at = float("inf")
                logger.warning("whether NATS loses events cannot be checked for this connection: %s", error)
                break
            except (NatsError, TimeoutError):  # away, or not ready yet, as in the first moments of its start
                if time.monotonic() > give_up_at:
                    break
                await asyncio.sleep(LOOK_SECONDS)
        return ()

    async def _lost(self) -> Sequence[Message]:
        end = (await stream_state(self._client)).last_sequence
        if self._places and not await self._holds(self._places[-1]):
            newest = await self._newest_held()
            while len(self._places) > newest + 1:
                self._places.pop()
        count = self._after(self._places[-1]) if self._places else 0
        if not count:
            await self._note_end(end)
            return ()
        if count > len(self._messages):
            raise LogLostError(f"{count} events may be missing, and {len(self._messages)} of them are remembered")
        there = await self._sequences(range(self._places[-1].sequence + 1, end + 1)[:count])
        later = [self._messages.pop() for _ in range(count)][::-1]
        self._confirmed -= count
        if held := [message for message in later if message.id in there]:
            self.stored(held)
            self.committed(there[held[-1].id])
        return [message for message in later if message.id not in there]

    def _after(self, place: Place) -> int:
        """How many messages were confirmed after a place."""
        return self._confirmed - place.confirmed

    async def _note_end(self, end: int) -> None:
        """Remember events of other writers too, so that an idle writer also notices a log that was cut."""
        if self._places and self._places[-1].sequence >= end:
            return
        if end == 0:
            self._places.append(Place(0, "", self._confirmed))
        elif found := await self._message(end):
            if len(self._places) > 1 and not self._after(self._places[-2]):
                self._places.pop()
            self._places.append(Place(end, _id(found), self._confirmed))

    async def _newest_held(self) -> int:
        """Index of the newest place that the log holds, by bisection: it holds all before it."""
        low, high = -1, len(self._places) - 1  # the last one is known to be lost
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if await self._holds(self._places[middle]) else (low, middle)
        if low < 0:
            raise LogLostError(f"it does not have event {self._places[0].event_id!r} under {self._places[0].sequence}")
        return low

    async def _holds(self, place: Place) -> bool:
        """Whether the log has this event there, or had it until it aged out. Every log has its beginning, 0."""
        if place.sequence == 0:
            return True
        if found := await self._message(place.sequence):
            return _id(found) == place.event_id
        return place.sequence < (await stream_state(self._client)).first_sequence

    async def _sequences(self, asked: Iterable[int]) -> dict[str, int]:
        """The numbers of the events that the log has there, by their ids."""
        return {_id(found): sequence for sequence in asked if (found := await self._message(sequence))}

    async def _message(self, sequence: int) -> RawStreamMsg | None:
        return await message_at(self._client, sequence, answer_seconds=self._client.times.stored_message_seconds)


def _id(message: RawStreamMsg) -> str:
    return str((message.headers or {}).get(Header.MSG_ID, ""))
