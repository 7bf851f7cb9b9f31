"""Events of the log that the tables do not have yet, and since when: whether the projector follows the log.

A projector that hangs is a process that runs, and lists that no longer change look like a quiet night.
"""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from nats.aio.client import Client

from summit_runtime.nats.streams.stored import message_at
from summit_runtime.nats.streams.stream import stream_state

LATE_SECONDS = 30.0
"""An event that waits for longer is not applied: it takes a second, and a projector that has just started some."""


class Unapplied(NamedTuple):
    """How many events the tables do not have, and when the first of them was stored, by the clock of NATS."""

    events: int = 0
    since: datetime | None = None
    """None when there is none, or when the log dropped it a moment ago."""

    def age(self, now: datetime) -> timedelta:
        """How old the picture in the tables is at this moment of the clock of NATS."""
        return timedelta(0) if self.since is None else now - self.since


async def unapplied(client: Client, revision: int, stream_created_at: datetime | None) -> Unapplied:
    """What the log has after `revision`, which was applied of the stream that was created then.

    Tables of another stream have nothing of this one. Raises what nats-py raises when NATS is away.
    """
    state = await stream_state(client)
    applied = revision if stream_created_at == state.created_at else 0
    first = max(applied + 1, state.first_sequence)
    if state.is_empty or first > state.last_sequence:
        return Unapplied()
    return Unapplied(state.last_sequence - first + 1, await _stored_at(client, first))


async def _stored_at(client: Client, sequence: int) -> datetime | None:
    message = await message_at(client, sequence)
    return message.time.astimezone(UTC) if message and message.time else None
