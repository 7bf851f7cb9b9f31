"""Single messages of a stream, asked of its leader.

With replicas, a direct get is answered by whichever server is first, and that one may be behind: an event that was just
confirmed would look lost, and a lease that is taken would look free. Whatever a decision rests on is asked here.
"""

from collections.abc import Awaitable

from nats.aio.client import Client
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from summit_models.subject import STREAM

ANSWER_SECONDS = 5.0

_NO_MESSAGE = 10037
"""JetStream's error code. NotFoundError is also what nats-py raises for a stream that is not there (10059)."""


async def last_message(
    client: Client, subject: str, *, stream: str = STREAM, answer_seconds: float = ANSWER_SECONDS
) -> RawStreamMsg | None:
    """The newest message under a subject, which may have wildcards. Raises what nats-py raises when NATS is away."""
    return await _asked(client.jetstream(timeout=answer_seconds).get_last_msg(stream, subject))


async def message_at(client: Client, sequence: int, *, answer_seconds: float = ANSWER_SECONDS) -> RawStreamMsg | None:
    """The message of the log with this number; None if there is none. Raises as `last_message`."""
    return await _asked(client.jetstream(timeout=answer_seconds).get_msg(STREAM, sequence))


async def next_message(
    client: Client, subject: str, *, after: int, answer_seconds: float = ANSWER_SECONDS
) -> RawStreamMsg | None:
    """The first message of the log under a subject with a greater number. Raises as `last_message`."""
    jetstream = client.jetstream(timeout=answer_seconds)
    return await _asked(jetstream.get_msg(STREAM, seq=after + 1, subject=subject, next=True))


async def _asked(question: Awaitable[RawStreamMsg]) -> RawStreamMsg | None:
    try:
        return await question
    except NotFoundError as error:
        if error.err_code != _NO_MESSAGE:
            raise
        return None
