"""Is the stream still the one that the checkpoint was written for? A sequence number alone does not tell.

After a power failure or a restore a stream may end below the checkpoint and use the same numbers again for other
events, and one that was deleted and made anew starts at 1: reading on would pass over events in silence.
"""

from datetime import datetime
from typing import NamedTuple

from nats.aio.client import Client
from nats.js.errors import NotFoundError

from summit_models.contract import Revision
from summit_models.subject import STREAM
from summit_projector.project import event_id
from summit_runtime.nats.stream import StreamState, stream_state


class StreamReplacedError(Exception):
    """The stream is no longer the one that has been applied."""


class Position(NamedTuple):
    """The checkpoint: how far which stream has been applied, and the id of the event found there."""

    stream_created_at: datetime
    revision: Revision
    event_id: str | None


async def mismatch(client: Client, position: Position) -> tuple[StreamState, str | None]:
    """Compare the stream with the checkpoint: its state, and None or a sentence saying why it is another one."""
    state = await stream_state(client)
    if reason := contradiction(position, state):
        return state, reason
    if 0 < position.revision >= state.first_sequence:
        try:
            message = await client.jetstream().get_msg(STREAM, position.revision, direct=True)
        except NotFoundError:
            return state, None  # it has aged out between the two questions
        if (found := event_id(message.data or b"")) != position.event_id:
            return state, f"event {position.revision} is {found!r}, but {position.event_id!r} was applied"
    return state, None


def contradiction(position: Position, state: StreamState) -> str | None:
    """What the stream's state alone has against the checkpoint; None if nothing."""
    if state.created_at != position.stream_created_at:
        return f"it was created anew at {state.created_at.isoformat()}"
    if state.last_sequence < position.revision:
        return f"it ends with event {state.last_sequence}, but {position.revision} was applied"
    if 0 < position.revision < state.first_sequence - 1:
        return f"events {position.revision + 1} to {state.first_sequence - 1} aged out before they were applied"
    return None
