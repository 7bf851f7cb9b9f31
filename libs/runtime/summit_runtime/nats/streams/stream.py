"""The stream SUMMIT, which is the log of all events, and the buckets beside it: made, adopted and watched."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import NamedTuple

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import (
    KeyValueConfig,
    RePublish,
    StorageType,
    StoreCompression,
    StreamConfig,
    StreamInfo,
    SubjectTransform,
)
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from summit_models.subject import INGEST_ROOT, PUBLIC_ROOT, STREAM
from summit_runtime.backoff import Backoff
from summit_runtime.condition import Condition
from summit_runtime.nats.connection.bus import INSTALL_NEWER, EventClient, NotPermittedError
from summit_runtime.nats.connection.storage import ONE_SERVER, Storage
from summit_runtime.nats.streams import heartbeats, leases
from summit_runtime.nats.streams.promises import Promises, broken
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


async def watch_stream(client: EventClient, storage: Storage = ONE_SERVER) -> None:
    """Return never; raise FatalError when the stream is another one than before, after creating it if it is gone.

    A publisher remembers what it published to the old stream. After a restart it reads the new one, and publishes what
    is missing there. Buckets are written again by themselves, as soon as they exist.
    """
    replaced = FatalError(f"the stream {STREAM!r} was replaced by a new one; {RESTARTS}")
    created_at: datetime | None = None
    while True:
        try:
            found = (await stream_state(client)).created_at
            if created_at not in (None, found):
                raise replaced
            created_at = found
            await _replace_lost_buckets(client, storage)
        except NotFoundError:
            await ensure_stream(client, storage)
            raise replaced from None
        except (NatsError, TimeoutError):
            pass  # NATS is away, which the connection reports
        await asyncio.sleep(client.times.ping_seconds)


async def ensure_stream(client: Client, storage: Storage = ONE_SERVER) -> None:
    """Make the stream and the buckets that do not exist. What exists stays as it is, but gets what it lacks.

    Waits while the server is away, or not ready. Raises FatalError when it refuses, with its reason, when something
    that exists cannot hold what is promised of it, or when the server does not take batches.
    """
    jetstream = client.jetstream()
    log = await _ensured(jetstream, PROMISES, lambda: jetstream.add_stream(stream_config(storage)), storage)
    if not log.config.allow_batched:  # a server of a cluster that is older than the one we are connected to
        raise FatalError(f"NATS takes no batches for the stream {STREAM!r}; {INSTALL_NEWER} on all its servers")
    for bucket in _BUCKETS:
        await _ensure_bucket(jetstream, bucket, storage)


class _Bucket(NamedTuple):
    config: KeyValueConfig
    promises: Promises


_BUCKETS = (_Bucket(heartbeats.BUCKET, heartbeats.PROMISES), _Bucket(leases.BUCKET, leases.PROMISES))


async def _ensure_bucket(jetstream: JetStreamContext, bucket: _Bucket, storage: Storage) -> None:
    config = replace(bucket.config, replicas=storage.replicas or 1)
    await _ensured(jetstream, bucket.promises, partial(jetstream.create_key_value, config), storage)


async def _replace_lost_buckets(client: Client, storage: Storage) -> None:
    """Make the buckets that somebody has deleted. Without them nobody knows which clusters nobody watches."""
    jetstream = client.jetstream()
    for bucket in _BUCKETS:
        try:
            await jetstream.stream_info(bucket.promises.stream)
        except NotFoundError:
            logger.warning("%s was deleted: it is made again", bucket.promises.what)
            await _ensure_bucket(jetstream, bucket, storage)


Make = Callable[[], Awaitable[object]]


async def _ensured(jetstream: JetStreamContext, promises: Promises, make: Make, storage: Storage) -> StreamInfo:
    backoff = Backoff(initial_seconds=0.1, max_seconds=5.0)
    waiting = Condition(logger)
    while True:
        try:
            found = await _found_or_made(jetstream, promises, make)
            if reason := broken(found.config, promises):
                raise FatalError(f"{promises.what} cannot be used as it is: {reason}")
            needed = replace(found.config, **promises.needed)
            if needed != found.config:
                found = await jetstream.update_stream(needed)
        except NotPermittedError as error:
            raise FatalError(f"{_unprepared(error, promises)}: {error}; {_PERMIT}") from error
        except NatsError as error:
            if isinstance(error, APIError) and not _passes(error):
                raise FatalError(f"NATS refuses {promises.what}: {error.description}; {_remedy(error)}") from error
            waiting.holds("NATS does not answer about %s (%s): is JetStream on? Trying again", promises.what, error)
            await asyncio.sleep(backoff.next_seconds())
        else:
            waiting.ends("NATS has %s", promises.what)
            _report_replicas(found.config, promises, storage)
            return found


async def _found_or_made(jetstream: JetStreamContext, promises: Promises, make: Make) -> StreamInfo:
    with contextlib.suppress(NotFoundError):
        return await jetstream.stream_info(promises.stream)
    try:
        await make()
    except APIError as error:
        if error.err_code != _IN_USE:  # a process with other settings was faster
            raise
    return await jetstream.stream_info(promises.stream)


def _unprepared(error: NotPermittedError, promises: Promises) -> str:
    """The state of things when this request is refused, of those that `_ensured` makes."""
    if ".UPDATE." in error.subject:
        return f"{promises.what} lacks what this version needs"
    return f"nobody has made {promises.what}" if ".CREATE." in error.subject else f"{promises.what} cannot be looked at"


_PERMIT = "start this once as an administrator of NATS, or give that user the permission"


def _passes(error: APIError) -> bool:
    """Whether the server will answer otherwise by itself: it starts, or elects a leader, or its neighbours start."""
    return isinstance(error, ServiceUnavailableError) or error.err_code in _PASSING


def _remedy(error: APIError) -> str:
    if error.err_code == _NO_CLUSTER:
        return "set NATS_REPLICAS to 1, or make NATS a cluster"
    return "does the user of NATS_URL have the permission?"


def _report_replicas(found: StreamConfig, promises: Promises, storage: Storage) -> None:
    if storage.replicas and found.num_replicas != storage.replicas:
        logger.info(
            "%s has %d replicas and keeps them, though NATS_REPLICAS is %d: change it with 'nats stream edit %s "
            "--replicas %d'",
            promises.what,
            found.num_replicas,
            storage.replicas,
            promises.stream,
            storage.replicas,
        )


_IN_USE, _NO_CLUSTER = 10058, 10074
"""JetStream error codes: the name is taken, with another configuration; this server is in no cluster."""
_PASSING = frozenset({10005, 10009, 10118, 10202})
"""JetStream error codes: too few servers of the cluster are there; no leader yet; offline; the cluster changes."""

PROMISES = Promises(
    stream=STREAM,
    what=f"the stream {STREAM!r}",
    is_log=True,
    needed={
        "subjects": [f"{INGEST_ROOT}.>"],
        "subject_transform": SubjectTransform(src=f"{INGEST_ROOT}.>", dest=f"{PUBLIC_ROOT}.>"),
        "republish": RePublish(src=f"{PUBLIC_ROOT}.>", dest=f"{PUBLIC_ROOT}.>"),
        "allow_direct": True,
        "allow_batched": True,
        "allow_atomic": True,
    },
)


def stream_config(storage: Storage = ONE_SERVER) -> StreamConfig:
    """The log: stored under public names, republished as stored, append-only."""
    return StreamConfig(
        name=STREAM,
        **PROMISES.needed,
        storage=StorageType.FILE,
        compression=StoreCompression.S2,
        max_age=MAX_AGE_SECONDS,
        max_bytes=storage.max_bytes or -1,
        max_msg_size=MAX_EVENT_BYTES,
        num_replicas=storage.replicas or 1,
        duplicate_window=DUPLICATE_WINDOW_SECONDS,
        deny_delete=True,
        deny_purge=True,
    )
