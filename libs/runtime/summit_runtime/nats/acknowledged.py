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
from itertools import islice
from typing import NamedTuple

from nats.errors import Error as NatsError
from nats.js.api import Header, RawStreamMsg
from nats.js.errors import NotFoundError

from summit_models.subject import STREAM
from summit_runtime.nats.bus import EventClient
from summit_runtime.nats.fast_batch import Message
from summit_runtime.nats.stream import stream_state

logger = logging.getLogger("summit.nats")

RECENT_EVENTS = 5000
"""6 MB. At the fastest rate this is a second, ten times what a server needs to write them; usually it is minutes."""
LOOK_SECONDS = 0.1
"""Pause before the next question to a NATS that does not answer."""


class LogLostError(Exception):
    """The log has lost more of its end than is remembered."""


class Receipt(NamedTuple):
    """A place in the log, the id of the event there, and the messages confirmed since the receipt before it."""

    sequence: int
    event_id: str
    messages: tuple[Message, ...] = ()


class Acknowledged:
    """The receipts of one publisher, oldest first; the first one is only a place to begin from."""

    def __init__(self) -> None:
        self._receipts: deque[Receipt] = deque()
        self._unnumbered: list[Message] = []
        self._remembered = 0

    def stored(self, messages: Iterable[Message]) -> None:
        """Note messages that the log has confirmed, in order, but without their places."""
        self._unnumbered += messages
        while len(self._unnumbered) + self._remembered > RECENT_EVENTS and self._forget_oldest():
            pass

    def committed(self, sequence: int) -> None:
        """Note the place of the last message that was stored; 0: none, it was a duplicate."""
        if sequence and self._unnumbered:
            self._add(Receipt(sequence, self._unnumbered[-1].id, tuple(self._unnumbered)))
            self._unnumbered.clear()

    async def lost(self, client: EventClient) -> Sequence[Message]:
        """The messages that the log had confirmed and does not have, oldest first; they count as not sent from now on.

        Raises LogLostError when more may be missing than is remembered, and what nats-py raises when NATS is away.
        """
        end = (await stream_state(client)).last_sequence
        if not self._receipts or await _holds(client, self._receipts[-1]):
            await self._note_end(client, end)
            return ()
        held = await self._newest_held(client)
        missing = [m for receipt in islice(self._receipts, held + 1, None) for m in receipt.messages]
        missing += self._unnumbered
        there = await _ids(client, range(self._receipts[held].sequence + 1, end + 1)[: len(missing)])
        while len(self._receipts) > held + 1:
            self._remembered -= len(self._receipts.pop().messages)
        self._unnumbered.clear()
        return [message for message in missing if message.id not in there]

    async def _note_end(self, client: EventClient, end: int) -> None:
        """Remember events of other writers too, so that an idle writer also notices a log that was cut."""
        if self._unnumbered or (self._receipts and self._receipts[-1].sequence >= end):
            return
        if end == 0:
            self._add(Receipt(0, ""))
        elif found := await _message(client, end):
            if len(self._receipts) > 1 and not self._receipts[-1].messages:
                self._receipts.pop()
            self._add(Receipt(end, _id(found)))

    async def _newest_held(self, client: EventClient) -> int:
        """Index of the newest receipt that the log holds, by bisection: it holds all before it."""
        low, high = -1, len(self._receipts) - 1  # the last one is known to be lost
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if await _holds(client, self._receipts[middle]) else (low, middle)
        if low < 0:
            raise LogLostError(
                f"it does not have event {self._receipts[0].event_id!r} under {self._receipts[0].sequence}"
            )
        return low

    def _add(self, receipt: Receipt) -> None:
        self._receipts.append(receipt)
        self._remembered += len(receipt.messages)

    def _forget_oldest(self) -> bool:
        if len(self._receipts) < 2:
            return False
        self._receipts.popleft()
        first = self._receipts[0]
        self._remembered -= len(first.messages)
        self._receipts[0] = first._replace(messages=())
        return True


async def _holds(client: EventClient, receipt: Receipt) -> bool:
    """Whether the log has this event under its number, or had it until it aged out. Every log has its beginning, 0."""
    if receipt.sequence == 0:
        return True
    if found := await _message(client, receipt.sequence):
        return _id(found) == receipt.event_id
    return receipt.sequence < (await stream_state(client)).first_sequence


async def _ids(client: EventClient, sequences: Iterable[int]) -> set[str]:
    return {_id(found) for sequence in sequences if (found := await _message(client, sequence))}


async def _message(client: EventClient, sequence: int) -> RawStreamMsg | None:
    """Ask the leader: another replica may be behind, and a message that it does not have yet would look lost."""
    try:
        return await client.jetstream(timeout=client.times.stored_message_seconds).get_msg(STREAM, sequence)
    except NotFoundError:
        return None


def _id(message: RawStreamMsg) -> str:
    return str((message.headers or {}).get(Header.MSG_ID, ""))


class LossCheck:
    """Asks the log, after each reconnect and from time to time, whether it still has what it has confirmed."""

    def __init__(self, client: EventClient, acknowledged: Acknowledged) -> None:
        self._client = client
        self._acknowledged = acknowledged
        self.reconnects = 0
        """Reconnects of the client at the last check."""
        self._due_at = 0.0

    async def lost(self) -> Sequence[Message]:
        """The messages that the log has lost, if a check is due.

        After a reconnect it waits for the answer, though not for ever. Raises LogLostError.
        """
        reconnects, now = self._client.stats["reconnects"], time.monotonic()
        times, is_first = self._client.times, reconnects != self.reconnects
        if not is_first and now < self._due_at:
            return ()
        give_up_at = now + (times.answer_seconds if is_first else 0)
        self.reconnects, self._due_at = reconnects, now + times.loss_check_seconds
        error_before = self._client.last_error  # an older denial says nothing about this question
        while self._client.stats["reconnects"] == reconnects:
            try:
                return await self._acknowledged.lost(self._client)
            except (NatsError, TimeoutError):  # away, or not ready yet, as in the first moments of its start
                if self._client.last_error is not error_before and _is_denied(self._client.last_error, "$JS.API."):
                    self._due_at = float("inf")  # each question would cost a wait for no answer
                    logger.warning(
                        "whether NATS loses events cannot be checked for this connection: %s", self._client.last_error
                    )
                if time.monotonic() > give_up_at:
                    break
                await asyncio.sleep(LOOK_SECONDS)
        return ()


def _is_denied(error: Exception | None, subject: str) -> bool:
    """Whether the server does not permit us to publish there; a plain publish has no other answer."""
    return f'permissions violation for publish to "{subject}'.lower() in str(error or "").lower()
