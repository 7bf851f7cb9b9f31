"""Is the stream still the one of the checkpoint? A sequence number alone does not show it.

After a power failure or a restore a stream may end below the checkpoint and use the same numbers again for other
events, and one that was deleted and created again starts at 1: reading on would pass over events without a sign.
"""

from nats.aio.client import Client

from summit_projector.project import event_id
from summit_projector.tables.checkpoint import Checkpoint
from summit_runtime.nats.streams.stored import message_at
from summit_runtime.nats.streams.stream import StreamState, stream_state


class StreamReplacedError(Exception):
    """The stream is no longer the one that has been applied."""


async def mismatch(client: Client, checkpoint: Checkpoint) -> tuple[StreamState, str | None]:
    """Compare the stream with the checkpoint: its state, and None or a sentence saying why it is another one."""
    state = await stream_state(client)
    if reason := contradiction(checkpoint, state):
        return state, reason
    if 0 < checkpoint.revision >= state.first_sequence:
        message = await message_at(client, checkpoint.revision)
        if message is None:
            return state, None  # it has aged out between the two questions
        if (found := event_id(message.data or b"")) != checkpoint.event_id:
            return state, f"event {checkpoint.revision} is {found!r}, but {checkpoint.event_id!r} was applied"
    return state, None


def contradiction(checkpoint: Checkpoint, state: StreamState) -> str | None:
    """Why the stream's state alone contradicts the checkpoint; None if it does not."""
    if state.created_at != checkpoint.stream_created_at:
        return f"it was created again at {state.created_at.isoformat()}"
    if state.last_sequence < checkpoint.revision:
        return f"it ends with event {state.last_sequence}, but {checkpoint.revision} was applied"
    if 0 < checkpoint.revision < state.first_sequence - 1:
        return f"events {checkpoint.revision + 1} to {state.first_sequence - 1} aged out before they were applied"
    return None
