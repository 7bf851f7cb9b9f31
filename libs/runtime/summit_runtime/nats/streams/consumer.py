"""Reading the log without acknowledgements: the reader's own checkpoint is the only record of where it is.

The server pushes the messages of an ephemeral consumer into the inbox of its reader, which answers from time to time
that more may come. (A pull can have its status sent to any subject, and so delete a stream: nats-server 2.15.1. Ordered
consumers and KV watches of nats-py die of a changed ack format.) Whatever goes wrong - a restart of the server, a lost
consumer, a gap in the deliveries - a new consumer continues after the last message that was handed out.

In a cluster the consumer lies on any of the servers that keep the stream, which may be behind the leader: the same
messages come in the same order, but the newest ones later. So who reads "as of now" asks the leader how far that is.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple
from uuid import uuid4

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from summit_models.subject import STREAM
from summit_runtime.backoff import Backoff
from summit_runtime.condition import Condition
from summit_runtime.nats.streams.stored import last_message
from summit_runtime.steady import steady
from summit_runtime.tracing import HEADER

logger = logging.getLogger("summit.nats")

BATCH_MESSAGES = 1000
HEARTBEAT_SECONDS = 2
"""A reader notices after two and a half of them that the server with its consumer has died, while ours is well."""
INACTIVE_SECONDS = 60.0
"""The server forgets a consumer whose reader does not listen any more."""
PENDING_MESSAGES, PENDING_BYTES = 1 << 22, 1 << 30
"""Above what the server sends without an answer, which is 32 MB: nats-py drops messages beyond its limits."""
LOOK_SECONDS = 0.5
"""How soon a reader that receives nothing notices a reconnect, with which its consumer has ended."""


class StreamMessage(NamedTuple):
    sequence: int
    subject: str
    body: bytes
    pending: int
    """How many more there were when this one was sent; 0 for the last one."""
    stored_ns: int = 0
    """When the server stored it, by its clock, in nanoseconds since 1970."""
    traceparent: str = ""
    """The header of that name, of the trace that the event belongs to; anything that its writer has put there."""


class _BrokenError(Exception):
    """The consumer on the server is of no use any more."""


class Consumer:
    """Messages of a stream in order, each once, from `after` on.

    With None the last message of each subject comes first, and again whenever the consumer on the server was lost: the
    stream may be another one by then, with other numbers.
    """

    def __init__(self, client: Client, *, stream: str, filter_subject: str, after: int | None) -> None:
        self._client = client
        self._stream = stream
        self._filter = filter_subject
        self._after = after
        self._server: _ServerConsumer | None = None
        self.heard_at = steady()
        """When the server was last heard of: by a message, or by a sign that there is none."""
        self.created = 0
        """How often the consumer on the server was created: each time, the log may be another one than before."""
        self._backoff = Backoff(initial_seconds=0.1, max_seconds=5.0)
        self._waiting = Condition(logger, logging.INFO)

    async def next_batch(self, limit: int = BATCH_MESSAGES) -> list[StreamMessage]:
        """Wait for at least one message, then take what is there, at most `limit`. Never returns an empty list."""
        while not (batch := await self.look(limit)):
            pass
        return batch

    async def look(self, limit: int = BATCH_MESSAGES) -> list[StreamMessage]:
        """Wait for messages as `next_batch` does, but return an empty list when none has come for a while."""
        server = await self.open()
        try:
            batch = await server.take(limit)
        except (_BrokenError, NatsError, TimeoutError, OSError) as error:
            await self._reopen(error)
            return []
        self.heard_at = steady()
        if batch:
            if self._after is not None:
                self._after = batch[-1].sequence
            self._backoff.reset()
            self._waiting.ends("stream %s is read again", self._stream)
        return batch

    async def open(self) -> "_ServerConsumer":
        """The consumer on the server, created if there is none."""
        while self._server is None:
            try:
                self._server = await _ServerConsumer.create(self._client, self._stream, self._filter, self._after)
                self.created += 1
            except (NatsError, TimeoutError, OSError) as error:
                await self._reopen(error)
        return self._server

    async def newest(self) -> int:
        """The number of the newest message that matches; 0: there is none. Waits while NATS is away."""
        while True:
            try:
                message = await last_message(self._client, self._filter, stream=self._stream)
            except (NatsError, TimeoutError, OSError) as error:
                await self._reopen(error)
            else:
                return (message.seq or 0) if message else 0

    async def close(self) -> None:
        server, self._server = self._server, None
        if server:
            await server.close()

    async def _reopen(self, error: Exception) -> None:
        begin = "the beginning" if self._after is None else f"message {self._after}"
        reason = str(error) or "no answer"
        self._waiting.holds("stream %s cannot be read (%s); trying again from %s on", self._stream, reason, begin)
        await self.close()
        await asyncio.sleep(self._backoff.next_seconds())


class _ServerConsumer:
    """One ephemeral consumer on the server, and the messages that have arrived from it."""

    def __init__(self, client: Client, subscription: Subscription, queue: asyncio.Queue[Msg]) -> None:
        self._client = client
        self._subscription = subscription
        self._queue = queue
        self._reconnects = client.stats["reconnects"]
        self._delivered = 0
        self._broken: _BrokenError | None = None
        self.initial_pending = 0

    @classmethod
    async def create(cls, client: Client, stream: str, filter_subject: str, after: int | None) -> "_ServerConsumer":
        queue: asyncio.Queue[Msg] = asyncio.Queue()
        subscription = await client.subscribe(
            client.new_inbox(), cb=queue.put, pending_msgs_limit=PENDING_MESSAGES, pending_bytes_limit=PENDING_BYTES
        )
        server = cls(client, subscription, queue)
        try:
            config = _config(subscription.subject, filter_subject, after)
            info = await client.jetstream().add_consumer(stream, config)
            server.initial_pending = info.num_pending or 0
        except BaseException:
            await server.close()
            raise
        return server

    async def close(self) -> None:
        with contextlib.suppress(NatsError):
            await self._subscription.unsubscribe()

    async def take(self, limit: int) -> list[StreamMessage]:
        """Messages that have arrived; an empty list when it was only a heartbeat. Raises _BrokenError."""
        if self._broken:
            raise self._broken
        batch: list[StreamMessage] = []
        message = await self._next()
        try:
            await self._accept(message, batch)
            while len(batch) < limit and not self._queue.empty():
                await self._accept(self._queue.get_nowait(), batch)
        except _BrokenError as broken:
            self._broken = broken  # the messages before it are good
        return batch

    async def _next(self) -> Msg:
        """Wait for a message. Raises TimeoutError without even a heartbeat, _BrokenError after a reconnect."""
        async with asyncio.timeout(2.5 * HEARTBEAT_SECONDS):
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        return await self._queue.get()
                if self._client.stats["reconnects"] != self._reconnects:
                    raise _BrokenError("the connection to NATS was replaced")

    async def _accept(self, message: Msg, batch: list[StreamMessage]) -> None:
        if message.headers and "Status" in message.headers:
            await self._on_status(message.reply, message.headers)
        else:
            sequence, delivered, stored_ns, pending = _positions(message.reply)
            if delivered != self._delivered + 1:
                raise _BrokenError(f"message {self._delivered + 1} of this consumer is missing")
            self._delivered = delivered
            traceparent = (message.headers or {}).get(HEADER, "")
            batch.append(StreamMessage(sequence, message.subject, message.data, pending, stored_ns, traceparent))

    async def _on_status(self, question: str, headers: dict[str, str]) -> None:
        """100: a heartbeat, which names the last message, or the question whether more may come. Else it is gone.

        The question comes after the messages before it, so the answer is that they are taken.
        """
        if headers["Status"] != "100":
            raise _BrokenError(f"{headers['Status']} {headers.get('Description', '')}")
        if question := question or headers.get("Nats-Consumer-Stalled", ""):
            await self._client.publish(question)
        elif int(headers.get("Nats-Last-Consumer", self._delivered)) > self._delivered:
            raise _BrokenError(f"message {self._delivered + 1} of this consumer is missing")


def _config(inbox: str, filter_subject: str, after: int | None) -> ConsumerConfig:
    return ConsumerConfig(
        name=uuid4().hex,
        deliver_subject=inbox,
        flow_control=True,
        idle_heartbeat=HEARTBEAT_SECONDS,
        filter_subject=filter_subject,
        ack_policy=AckPolicy.NONE,
        mem_storage=True,
        inactive_threshold=INACTIVE_SECONDS,
        deliver_policy=DeliverPolicy.LAST_PER_SUBJECT if after is None else DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=None if after is None else after + 1,
    )


def _positions(reply: str) -> tuple[int, int, int, int]:
    """Stream sequence, consumer sequence, time of storing and pending count from an ack subject.

    Two forms exist, `$JS.ACK.<stream>.<consumer>.<delivered>.<seq>.<consumer seq>.<time>.<pending>` and a newer one
    with `<domain>.<account hash>` after ACK and a random token at the end (ADR-15).
    """
    tokens = reply.split(".")
    offset = 0 if len(tokens) == 9 else 2
    sequence, delivered, stored_ns, pending = map(int, tokens[5 + offset : 9 + offset])
    return sequence, delivered, stored_ns, pending


@asynccontextmanager
async def consume(
    client: Client, *, after: int | None, filter_subject: str = "summit.>", stream: str = STREAM
) -> AsyncIterator[Consumer]:
    """Read a stream from the message after `after` on; `after=None` starts with the last message of each subject."""
    consumer = Consumer(client, stream=stream, filter_subject=filter_subject, after=after)
    try:
        yield consumer
    finally:
        await consumer.close()


def last_per_subject(client: Client, filter_subject: str) -> AsyncIterator[StreamMessage]:
    """Yield the last message of each subject that matches, as of one moment, and end.

    After an interruption it begins again, so a subject may appear twice; the later message is as new or newer.
    """
    return _until_now(client, filter_subject, after=None)


def replay(client: Client, filter_subject: str) -> AsyncIterator[StreamMessage]:
    """Yield every message of the log that matches, in order, as of one moment, and end.

    The server searches the whole log for them: a second for a million messages.
    """
    return _until_now(client, filter_subject, after=0)


async def _until_now(client: Client, filter_subject: str, *, after: int | None) -> AsyncIterator[StreamMessage]:
    async with consume(client, after=after, filter_subject=filter_subject) as consumer:
        end, reached, pending = await consumer.newest(), 0, 0
        while end and (pending or reached < end):
            messages = await consumer.look()
            for message in messages:
                yield message
                reached, pending = message.sequence, message.pending
                if not pending and reached >= end:
                    return
            if not messages:  # the newest one may have aged out a moment ago
                end = await consumer.newest()
