"""Publishing to the log: nothing is forgotten before the server has it, and no VM's events change places.

A subject has at most one event under way; later ones of the same subject wait for its acknowledgement, and all other
subjects go on beside it. So a resend after a reconnect, a refusal or a lost ack cannot overtake anything, and the same
`Nats-Msg-Id` makes it harmless. The number of unacknowledged events is bounded: `publish` waits when it is reached,
which is how a slow NATS is felt by the watcher. (nats-py's own `publish_async` hangs for ever on an error, #985.)
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from summit_models.event import ingest
from summit_runtime.backoff import Backoff

logger = logging.getLogger("summit.nats")

WINDOW_EVENTS = 2048
ACK_TIMEOUT_SECONDS = 5.0
SWEEP_SECONDS = 0.5
UNSTORABLE = frozenset({10054})
"""JetStream error codes that no retry can mend: 10054, the message is larger than the stream allows."""


class _Error(msgspec.Struct):
    err_code: int = 0
    description: str = ""


class _Ack(msgspec.Struct):
    """JetStream's PubAck."""

    seq: int = 0
    duplicate: bool = False
    error: _Error | None = None


_decode_ack = msgspec.json.Decoder(_Ack).decode


@dataclass(slots=True)
class _Outgoing:
    subject: str
    body: bytes
    event_id: str
    token: str = ""
    sent_at: float = 0.0


@dataclass
class Publisher:
    """Publishes events of any number of clusters over one connection. Made by `publishing`."""

    client: Client
    _inbox: str = field(init=False)
    _queues: dict[str, deque[_Outgoing]] = field(default_factory=dict, init=False)
    _under_way: dict[str, _Outgoing] = field(default_factory=dict, init=False)
    _window: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(WINDOW_EVENTS), init=False)
    _idle: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _backoff: Backoff = field(default_factory=lambda: Backoff(initial_seconds=0.25, max_seconds=5.0), init=False)
    _not_before: float = field(default=0.0, init=False)
    _next_token: int = field(default=0, init=False)
    published: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._inbox = self.client.new_inbox()
        self._idle.set()

    async def publish(self, subject: str, body: bytes, event_id: str) -> None:
        """Hand over one event for its public subject; returns once it is on its way or waits for its turn.

        Waits while 2048 events are unacknowledged. An event is lost only with the process; `flush` tells when all
        are stored.
        """
        await self._window.acquire()
        self._idle.clear()
        event = _Outgoing(ingest(subject), body, event_id)
        queue = self._queues.setdefault(subject, deque())
        queue.append(event)
        if len(queue) == 1:
            await self._send(event)

    async def flush(self) -> None:
        """Wait until every event handed over is stored."""
        await self._idle.wait()

    @property
    def unacknowledged(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    async def _send(self, event: _Outgoing) -> None:
        """Send under a fresh token, so that a late answer to an earlier try is not taken for this one's."""
        self._under_way.pop(event.token, None)
        self._next_token += 1
        event.token = str(self._next_token)
        event.sent_at = time.monotonic()
        self._under_way[event.token] = event
        with contextlib.suppress(NatsError):  # not connected: the sweep sends it again
            await self.client.publish(
                event.subject, event.body, reply=f"{self._inbox}.{event.token}", headers={"Nats-Msg-Id": event.event_id}
            )

    async def _on_ack(self, message: Msg) -> None:
        event = self._under_way.get(message.subject.rpartition(".")[2])
        if event is None:
            return
        error = _ack_error(message)
        if error is None or error.err_code in UNSTORABLE:
            if error:
                logger.error("event %s cannot be stored and is dropped: %s", event.event_id, error.description)
            await self._done(event)
        else:
            self._refused(event, error)

    async def _done(self, event: _Outgoing) -> None:
        del self._under_way[event.token]
        public = f"summit{event.subject.removeprefix('ingest.summit')}"
        queue = self._queues[public]
        queue.popleft()
        self.published += 1
        self._window.release()
        self._backoff.reset()
        if queue:
            await self._send(queue[0])
        else:
            del self._queues[public]
            if not self._queues:
                self._idle.set()

    def _refused(self, event: _Outgoing, error: _Error) -> None:
        """Keep the event; the sweep sends it again after the backoff."""
        if time.monotonic() >= self._not_before:
            delay = self._backoff.next_seconds()
            self._not_before = time.monotonic() + delay
            logger.warning("NATS does not store events (%s); trying again in %.1f s", error.description, delay)
        event.sent_at = float("-inf")

    async def sweep(self) -> None:
        """Send again, for ever, what was refused or not acknowledged in time."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = time.monotonic()
            if now < self._not_before or not self.client.is_connected:
                continue
            for event in [e for e in self._under_way.values() if now - e.sent_at > ACK_TIMEOUT_SECONDS]:
                await self._send(event)


def _ack_error(message: Msg) -> _Error | None:
    """The error in an ack, if there is one. An empty body is the server's 503: nobody stores this subject now."""
    if not message.data:
        return _Error(description="no stream takes them: JetStream is not ready")
    return _decode_ack(message.data).error


@asynccontextmanager
async def publishing(client: Client) -> AsyncIterator[Publisher]:
    """A publisher for the length of the block; leaving it waits for nothing, call `flush` first."""
    publisher = Publisher(client)
    subscription = await client.subscribe(f"{publisher._inbox}.*", cb=publisher._on_ack)  # noqa: SLF001
    sweeper = asyncio.create_task(publisher.sweep())
    try:
        yield publisher
    finally:
        sweeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sweeper
        with contextlib.suppress(NatsError):
            await subscription.unsubscribe()
