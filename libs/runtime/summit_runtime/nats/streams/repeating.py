"""How soon a state that does not change is published again, so that the last one of a living VM never leaves the log.

By default the log keeps ninety days. An operator may choose less, or limit its size (NATS_MAX_BYTES): then its oldest
events go sooner, the sooner the more happens.
"""

from datetime import datetime, timedelta

from nats.aio.client import Client

from summit_models.subject import STREAM
from summit_runtime.nats.streams.stored import message_at

LEAST = timedelta(hours=1)
"""A log that keeps less than three hours is too small for its VMs; to publish them ever faster would fill it sooner."""


async def repeat_after(client: Client, now: datetime, at_most: timedelta) -> timedelta:
    """A third of the time for which the log keeps an event now. Raises what nats-py raises when NATS is away."""
    info = await client.jetstream().stream_info(STREAM)
    first = await message_at(client, info.state.first_seq) if info.state.first_seq > 1 else None
    oldest = first.time if first else None
    return third(info.config.max_age or 0, oldest, now, at_most)


def third(max_age_seconds: float, oldest: datetime | None, now: datetime, at_most: timedelta) -> timedelta:
    """`oldest`: when the first event of a log was stored that has dropped others; None where it has dropped none."""
    kept = [timedelta(seconds=max_age_seconds)] if max_age_seconds else []
    if oldest is not None:
        kept.append(now - oldest)
    return max(LEAST, min([at_most, *(each / 3 for each in kept)]))
