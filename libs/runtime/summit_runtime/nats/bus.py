"""NATS: one way to connect, and the stream and bucket that everything lives in.

The client keeps trying for ever and says so once per state, not once per attempt. Measured facts behind the options:
nats-py gives up after 60 attempts by default, waits 2 s between them, and logs a traceback for each.
"""

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from math import ceil
from typing import Any, NamedTuple

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoServersError, StaleConnectionError, UnexpectedEOF
from nats.js.api import RePublish, StorageType, StoreCompression, StreamConfig, SubjectTransform
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError
from pydantic import SecretStr

from summit_models.subject import INGEST_ROOT, PUBLIC_ROOT, STREAM
from summit_runtime import metrics
from summit_runtime.backoff import Backoff
from summit_runtime.nats import heartbeats
from summit_runtime.process import FatalError
from summit_runtime.public_address import public_address

logger = logging.getLogger("summit.nats")

MINIMUM_SERVER = (2, 14, 3)
"""Older ones corrupt compressed blocks when they compact (nats-server #8312)."""

MAX_AGE_SECONDS = 90 * 24 * 3600
DUPLICATE_WINDOW_SECONDS = 60.0
"""Long enough for a resend after a reconnect; the server holds ~280 bytes per id, so not longer than needed."""
MAX_EVENT_BYTES = 256 * 1024
PING_SECONDS = 5.0
DEAD_SECONDS = 45.0
"""nats-py gives a silent connection up after 30 s and makes another one; what is still silent after that is broken."""
STARTS_ANEW = "the process starts anew and tells it all"


class StreamState(NamedTuple):
    created_at: datetime
    first_sequence: int
    last_sequence: int

    @property
    def is_empty(self) -> bool:
        """Nothing was ever stored, or all of it has aged out."""
        return self.last_sequence < max(self.first_sequence, 1)


class EventClient(Client):
    """A client that tells of each event that the server did not permit: what was published itself gets no answer."""

    def __init__(self) -> None:
        super().__init__()
        self.on_denied: Callable[[str], object] = lambda _: None
        """Called with the subject, in lower case."""

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        timeout: float = 0.5,
        old_style: bool = False,
        headers: dict[str, Any] | None = None,
    ) -> Msg:
        """Ask, as nats-py does, and end when cancelled.

        `asyncio.wait_for` of Python 3.11, by which nats-py waits, drops a cancellation that comes with the answer. Of a
        task in a group that is for good: a watcher that stopped at that moment never ended.
        """
        task = asyncio.current_task()
        before = task.cancelling() if task else 0
        try:
            return await super().request(subject, payload, timeout, old_style, headers)
        finally:
            if task and task.cancelling() > before:
                raise asyncio.CancelledError


async def connect(url: SecretStr, *, name: str) -> EventClient:
    """Connect and stay connected for ever; wait until the server is there, and check that it is new enough.

    Raises FatalError when the server is older than 2.14.3 or has no JetStream.
    """
    client = await _first_connect(url, name)
    version = client.connected_server_version
    if (version.major, version.minor, version.patch) < MINIMUM_SERVER:
        raise FatalError(
            f"NATS at {public_address(url.get_secret_value())} is version "
            f"{version.major}.{version.minor}.{version.patch}; install {'.'.join(map(str, MINIMUM_SERVER))} or newer"
        )
    return client


async def _first_connect(url: SecretStr, name: str) -> EventClient:
    backoff = Backoff(initial_seconds=0.1, max_seconds=5.0)
    connection = _Connection(url)
    while True:
        client = EventClient()
        try:
            await client.connect(
                url.get_secret_value(),
                name=name,
                inbox_prefix=f"_INBOX_{name}".encode(),
                allow_reconnect=True,
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.2,  # type: ignore[arg-type]  # nats-py only sleeps for so long
                connect_timeout=5,
                ping_interval=10,
                max_outstanding_pings=2,
                error_cb=connection.failed,
                disconnected_cb=connection.lost,
                reconnected_cb=connection.back,
            )
            connection.client = client
            metrics.NATS_CONNECTED.set(1)
            return client  # noqa: TRY300
        except (NoServersError, NatsError, OSError, TimeoutError):  # told by `failed`
            await asyncio.sleep(backoff.next_seconds())


async def close(client: Client) -> None:
    """Close the connection, also one whose server is away.

    RuntimeError: nats-py writes a last time, and uvloop says so that the connection is gone.
    """
    with contextlib.suppress(OSError, NatsError, RuntimeError):
        await client.close()


async def watch_connection(client: Client) -> None:
    """Return never; raise FatalError when the client has stopped working for good.

    nats-py closes for ever after a protocol error, and its reading may die in silence: only an answered ping is alive.
    """
    while True:
        await asyncio.sleep(PING_SECONDS)
        if client.is_closed:
            raise FatalError("the NATS client has closed for good; the process starts anew")
        if client.is_connected and not await _answers(client):
            raise FatalError(f"NATS has not answered for {DEAD_SECONDS:g} s though connected; the process starts anew")


async def _answers(client: Client) -> bool:
    """Whether this connection answers a ping, or was given up meanwhile.

    One ping, for as long as it takes: nats-py's reading dies of an answer that nobody waits for any more.
    """
    reconnects, give_up_at = client.stats["reconnects"], time.monotonic() + DEAD_SECONDS
    ping = asyncio.create_task(client.flush(timeout=ceil(2 * DEAD_SECONDS)))
    try:
        while not ping.done() and time.monotonic() < give_up_at:
            await asyncio.wait({ping}, timeout=1)
            if not client.is_connected or client.stats["reconnects"] != reconnects:
                return True
        return ping.done()
    finally:
        ping.cancel()
        await asyncio.gather(ping, return_exceptions=True)


async def watch_stream(client: Client) -> None:
    """Return never; raise FatalError when the stream is no longer the one it was, after making it if it is gone.

    Whoever remembers what he published remembers it of the old stream: a new start reads the new one, and tells it all.
    """
    replaced = FatalError(f"the stream {STREAM!r} was replaced by a new one; {STARTS_ANEW}")
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
            pass  # away: the connection is watched by others
        await asyncio.sleep(PING_SECONDS)


async def ensure_stream(client: Client) -> None:
    """Create the stream and the bucket, or give the stream what it lacks; what an operator changed stays.

    Waits while the server is away, or not ready. Raises FatalError when it refuses, with its reason, or does not take
    batches.
    """
    backoff = Backoff(initial_seconds=0.1, max_seconds=5.0)
    while True:
        try:
            await _ensure(client)
            return  # noqa: TRY300
        except NatsError as error:
            if isinstance(error, APIError) and not isinstance(error, ServiceUnavailableError):
                raise FatalError(f"NATS refuses the stream {STREAM!r}: {error}; are we permitted?") from error
            if not backoff.attempt:
                logger.warning("NATS says nothing of the stream %r (%s); is JetStream on? Trying again", STREAM, error)
        await asyncio.sleep(backoff.next_seconds())


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
        raise FatalError(
            f"NATS takes no batches for the stream {STREAM!r}; "
            f"install {'.'.join(map(str, MINIMUM_SERVER))} or newer on all its servers"
        )
    await jetstream.create_key_value(heartbeats.BUCKET)


_NEEDED: dict[str, Any] = {
    "subjects": [f"{INGEST_ROOT}.>"],
    "subject_transform": SubjectTransform(src=f"{INGEST_ROOT}.>", dest=f"{PUBLIC_ROOT}.>"),
    "republish": RePublish(src=f"{PUBLIC_ROOT}.>", dest=f"{PUBLIC_ROOT}.>"),
    "allow_direct": True,
    "allow_batched": True,
    "allow_atomic": True,
}
"""Without these nothing works. All else is ours only when the stream is made: how long and where it keeps what, and on
how many servers, is the operator's to change."""


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


async def stream_state(client: Client) -> StreamState:
    info = await client.jetstream().stream_info(STREAM)
    if info.created is None:
        raise FatalError(f"NATS does not say when the stream {STREAM!r} was created; is it a JetStream server?")
    return StreamState(
        created_at=info.created,
        first_sequence=info.state.first_seq,
        last_sequence=info.state.last_seq,
    )


_DENIED_EVENT = re.compile(
    rf'permissions violation for publish to "(?P<subject>(?P<cluster>{re.escape(INGEST_ROOT)}(\.[^."]+){{1,3}})'
    r'(?P<rest>[^"]*))"'
)
"""The server's word, as nats-py hands it on: in lower case."""


class _Connection:
    """Says when there is no connection at first, once when it is lost and once when it is back."""

    def __init__(self, url: SecretStr) -> None:
        self.client: EventClient | None = None
        self._address = public_address(url.get_secret_value())
        self._lost = False
        self._failed_attempts = 0
        self._told: set[str] = set()

    async def failed(self, error: Exception) -> None:
        """nats-py tries for ever within its first `connect` too, every 0.2 s, and tells of it here only.

        Later it tells here, and nowhere else, of what we may not do and of our own callbacks' failures.
        """
        if self.client is not None:
            ended = isinstance(error, UnexpectedEOF | StaleConnectionError)  # `lost` tells of it
            if self.client.is_connected and not ended and not self._denied(self.client, str(error)):
                self._tell(str(error))
            return
        self._failed_attempts += 1
        if self._failed_attempts == 1 or self._failed_attempts % 150 == 0:
            logger.warning("NATS at %s cannot be reached (%s); trying again", self._address, error)

    def _denied(self, client: EventClient, error: str) -> bool:
        """Whether the error is about an event that we may not publish; said once for all events of a cluster."""
        if not (found := _DENIED_EVENT.search(error)):
            return False
        subject, needed = found["subject"], found["cluster"] + (".>" if found["rest"] else "")
        self._tell(
            f"it does not permit the user of NATS_URL to publish events, such as {subject!r}: give that user the "
            f"permission to publish {needed!r}; until then these events are not stored",
            about=needed,
        )
        client.on_denied(subject)
        return True

    def _tell(self, text: str, *, about: str = "") -> None:
        if (about or text) not in self._told:
            self._told.add(about or text)
            logger.warning("NATS at %s: %s", self._address, text)

    async def lost(self) -> None:
        if self.client is None or self.client.is_closed:
            return  # closed on purpose
        self._lost = True
        metrics.NATS_CONNECTED.set(0)
        logger.warning("lost the connection to NATS at %s; publishing and reading wait", self._address)

    async def back(self) -> None:
        metrics.NATS_CONNECTED.set(1)
        metrics.NATS_RECONNECTS.inc()
        if self._lost:
            logger.warning("connected to NATS at %s again", self._address)
        self._lost = False
