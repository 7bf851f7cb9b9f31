"""The stream SUMMIT, which is the log of all events: created, kept as it has to be, and watched."""

import asyncio
import logging
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import RePublish, StorageType, StoreCompression, StreamConfig, SubjectTransform
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from summit_models.subject import INGEST_ROOT, PUBLIC_ROOT, STREAM
from summit_runtime.backoff import Backoff
from summit_runtime.condition import Condition
from summit_runtime.nats import heartbeats, leases
from summit_runtime.nats.bus import INSTALL_NEWER, EventClient
from summit_runtime.process import FatalError

logger = logging.getLogger("summit.nats")

MAX_AGE_SECONDS = 90 * 24 * 3600
DUPLICATE_WINDOW_SECONDS = 60.0
"""Long enough for a resend after a reconnect; the server holds ~280 bytes per id, so not longer than needed."""
MAX_EVENT_BYTES = 256 * 1024
HEADER_BYTES = 1024
"""More than the headers of an event have; they count as well."""
RESTARTS = "the process restarts and publishes what is missing"


class StreamState(NamedTuple):
    created_at: datetime
    first_sequence: int
    last_sequence: int

    @property
    def is_empty(self) -> bool:
        """Nothing was ever stored, or all of it has aged out."""
        return self.last_sequence < max(self.first_sequence, 1)


async def stream_state(client: Client) -> StreamState:
    info = await client.jetstream().stream_info(STREAM)
    if info.created is None:
        raise FatalError(f"NATS does not report when the stream {STREAM!r} was created: is it a JetStream server?")
    return StreamState(
        created_at=info.created,
        first_sequence=info.state.first_seq,
        last_sequence=info.state.last_seq,
    )


async def largest_event(client: Client) -> int:
    """How many bytes the JSON of an event may have. Raises what nats-py raises when NATS is away."""
    of_stream = (await client.jetstream().stream_info(STREAM)).config.max_msg_size or -1
    return min(size for size in (of_stream, client.max_payload) if size > 0) - HEADER_BYTES


async def watch_stream(client: EventClient) -> None:
    """Return never; raise FatalError when the stream is another one than before, after creating it if it is gone.

    A publisher remembers what it published to the old stream. After a restart it reads the new one, and publishes what
    is missing there.
    """
    replaced = FatalError(f"the stream {STREAM!r} was replaced by a new one; {RESTARTS}")
    created_at: datetime | None = None
    while True:
        try:
            found = (await stream_state(client)).created_at
            if created_at not in (None, found):
                raise replaced
            created_at = found
        except NotFoundError:
            await ensure_stream(client)
            raise replaced from None
        except (NatsError, TimeoutError):
            pass  # NATS is away, which the connection reports
        await asyncio.sleep(client.times.ping_seconds)


async def ensure_stream(client: Client) -> None:
    """Create the stream and the buckets, or give the stream what it lacks; what an operator changed stays.

    Waits while the server is away, or not ready. Raises FatalError when it refuses, with its reason, or does not take
    batches.
    """
    backoff = Backoff(initial_seconds=0.1, max_seconds=5.0)
    waiting = Condition(logger)
    while True:
        try:
            await _ensure(client)
        except NatsError as error:
            if isinstance(error, APIError) and not isinstance(error, ServiceUnavailableError):
                raise FatalError(
                    f"NATS refuses the stream {STREAM!r}: {error}; does the user of NATS_URL have the permission?"
                ) from error
            waiting.holds("NATS does not answer about the stream %r (%s): is JetStream on? Trying again", STREAM, error)
            await asyncio.sleep(backoff.next_seconds())
        else:
            waiting.ends("NATS has the stream %r", STREAM)
            return


async def _ensure(client: Client) -> None:
    jetstream = client.jetstream()
    try:
        found = await jetstream.stream_info(STREAM)
    except NotFoundError:
        found = await jetstream.add_stream(stream_config())
    needed = replace(found.config, **_NEEDED)
    if needed != found.config:
        found = await jetstream.update_stream(needed)
    if not found.config.allow_batched:  # a server of a cluster that is older than the one we are connected to
        raise FatalError(f"NATS takes no batches for the stream {STREAM!r}; {INSTALL_NEWER} on all its servers")
    for bucket in (heartbeats.BUCKET, leases.BUCKET):
        await jetstream.create_key_value(bucket)


_NEEDED: dict[str, Any] = {
    "subjects": [f"{INGEST_ROOT}.>"],
    "subject_transform": SubjectTransform(src=f"{INGEST_ROOT}.>", dest=f"{PUBLIC_ROOT}.>"),
    "republish": RePublish(src=f"{PUBLIC_ROOT}.>", dest=f"{PUBLIC_ROOT}.>"),
    "allow_direct": True,
    "allow_batched": True,
    "allow_atomic": True,
}
"""Without these nothing works. The rest is ours only when the stream is created: how long and where it keeps what, and
on how many servers, an operator may change."""


def stream_config() -> StreamConfig:
    """The log: stored under public names, republished as stored, append-only."""
    return StreamConfig(
        name=STREAM,
        **_NEEDED,
        storage=StorageType.FILE,
        compression=StoreCompression.S2,
        max_age=MAX_AGE_SECONDS,
        max_msg_size=MAX_EVENT_BYTES,
        duplicate_window=DUPLICATE_WINDOW_SECONDS,
        deny_delete=True,
        deny_purge=True,
    )
