"""What the log has confirmed lately, and whether it still has it.

A confirmed event may be lost all the same: a server that loses power loses what it had not written yet (at most what
came within `sync_interval`), one that is restored from a backup loses hours. The log is append-only, so what is lost is
its end: while the newest confirmed event stands under its number nothing is missing, and otherwise everything after the
newest one that does. What of that is remembered is published again; that is found out before anything new is published,
so that nothing is overtaken.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from nats.aio.client import Client
from nats.js.api import Header, RawStreamMsg
from nats.js.errors import NotFoundError

from summit_models.subject import STREAM
from summit_runtime.nats.bus import stream_state
from summit_runtime.nats.fast_batch import Message

RECENT_EVENTS = 5000
"""6 MB. Of the fastest stream a second, ten times as long as a server takes to write it down; of most, minutes."""

ANSWER_SECONDS = 2.0


class LogLostError(Exception):
    """The log has lost more of its end than is remembered."""


class Receipt(NamedTuple):
    """A place in the log, the id of the event there, and what was confirmed with it since the receipt before."""

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
        """Note what the log has confirmed, in order, without saying where."""
        self._unnumbered += messages
        while len(self._unnumbered) + self._remembered > RECENT_EVENTS and self._forget_oldest():
            pass

    def committed(self, sequence: int) -> None:
        """Note the place of the last message that was stored; 0 is none: it was there before."""
        if sequence and self._unnumbered:
            self._add(Receipt(sequence, self._unnumbered[-1].id, tuple(self._unnumbered)))
            self._unnumbered.clear()

    async def lost(self, client: Client) -> Sequence[Message]:
        """What the log had confirmed and does not have, oldest first; it counts as never sent from now on.

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

    async def _note_end(self, client: Client, end: int) -> None:
        """Remember what others have written too: an idle writer notices that the log was cut as well."""
        if self._unnumbered or (self._receipts and self._receipts[-1].sequence >= end):
            return
        if end == 0:
            self._add(Receipt(0, ""))
        elif found := await _message(client, end):
            if len(self._receipts) > 1 and not self._receipts[-1].messages:
                self._receipts.pop()
            self._add(Receipt(end, _id(found)))

    async def _newest_held(self, client: Client) -> int:
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


async def _holds(client: Client, receipt: Receipt) -> bool:
    """Whether the log has this event under its number, or had it until it aged out. Each log has its beginning, 0."""
    if receipt.sequence == 0:
        return True
    if found := await _message(client, receipt.sequence):
        return _id(found) == receipt.event_id
    return receipt.sequence < (await stream_state(client)).first_sequence


async def _ids(client: Client, sequences: Iterable[int]) -> set[str]:
    return {_id(found) for sequence in sequences if (found := await _message(client, sequence))}


async def _message(client: Client, sequence: int) -> RawStreamMsg | None:
    """From the leader: any other replica may be behind, and a message that is not there yet would look lost."""
    try:
        return await client.jetstream(timeout=ANSWER_SECONDS).get_msg(STREAM, sequence)
    except NotFoundError:
        return None


def _id(message: RawStreamMsg) -> str:
    return str((message.headers or {}).get(Header.MSG_ID, ""))
