"""Reading the log without acknowledgements: the reader's own checkpoint says where it is, so nothing can disagree.

Two overlapping pulls of a thousand keep an ephemeral consumer flowing (measured: `fetch` is three times slower, ordered
consumers and KV watches of nats-py die of a changed ack format). Whatever goes wrong - a restart of the server, a lost
consumer, a gap in what was delivered - the consumer is made anew after the last message that was handed out.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple
from uuid import uuid4

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from summit_models.subject import STREAM
from summit_runtime.backoff import Backoff

logger = logging.getLogger("summit.nats")

PULL_MESSAGES = 1000
HEARTBEAT_SECONDS = 5
INACTIVE_SECONDS = 60.0
"""The server forgets a consumer that nobody pulls from; a reader that waits for its database makes it anew."""
PENDING_BYTES = 1 << 30
"""Above what two pulls can hold: nats-py drops messages beyond its limits."""
LOOK_SECONDS = 0.5
"""How soon a reader that hears nothing sees that its connection is another one. Its pulls ended with the one before."""

_PULL = msgspec.json.encode(
    {"batch": PULL_MESSAGES, "expires": 30 * 10**9, "idle_heartbeat": HEARTBEAT_SECONDS * 10**9}
)


class StreamMessage(NamedTuple):
    sequence: int
    subject: str
    body: bytes
    pending: int
    """How many more there were when this one was sent; 0 ends a snapshot."""


class _Broken(Exception):
    """The consumer must be made anew."""


class Consumer:
    """Messages of a stream in order, each once, from `after` on.

    Or with None the last of each subject first; then that is so whenever it has to begin anew, for the stream may be
    another one, whose numbers tell nothing of where it was.
    """

    def __init__(self, client: Client, *, stream: str, filter_subject: str, after: int | None) -> None:
        self._client = client
        self._stream = stream
        self._filter = filter_subject
        self._after = after
        self._session: _Session | None = None
        self.made_anew = 0
        """How often the server's consumer was made: each time, the log may be another than it was."""
        self._backoff = Backoff(initial_seconds=0.1, max_seconds=5.0)
        self._stands_still = False

    async def next_batch(self, limit: int = PULL_MESSAGES) -> list[StreamMessage]:
        """Wait for at least one message, then take what is there, at most `limit`. Never returns an empty list."""
        while True:
            session = await self.session()
            try:
                if batch := await session.take(limit):
                    if self._after is not None:
                        self._after = batch[-1].sequence
                    self._backoff.reset()
                    self._stands_still = False
                    return batch
            except (_Broken, NatsError, TimeoutError, OSError) as error:
                await self._start_anew(error)

    async def session(self) -> "_Session":
        """The consumer on the server, made if there is none."""
        while self._session is None:
            try:
                self._session = await _Session.open(self._client, self._stream, self._filter, self._after)
                self.made_anew += 1
            except (NatsError, TimeoutError, OSError) as error:
                await self._start_anew(error)
        return self._session

    async def close(self) -> None:
        session, self._session = self._session, None
        if session:
            await session.close()

    async def _start_anew(self, error: Exception) -> None:
        """Say so at the first attempt: a server that is away for an hour makes hundreds of them."""
        level = logging.DEBUG if self._stands_still else logging.INFO
        begin = "the beginning" if self._after is None else f"message {self._after}"
        logger.log(level, "reading stream %s anew from %s on: %s", self._stream, begin, str(error) or "no answer")
        self._stands_still = True
        await self.close()
        await asyncio.sleep(self._backoff.next_seconds())


class _Session:
    """One ephemeral consumer on the server, and what has arrived from it."""

    def __init__(
        self, client: Client, subscription: Subscription, pull_subject: str, queue: asyncio.Queue[Msg]
    ) -> None:
        self._client = client
        self._subscription = subscription
        self._pull_subject = pull_subject
        self._queue = queue
        self._reconnects = client.stats["reconnects"]
        self._delivered = 0
        self._asked = 0
        self._broken: _Broken | None = None
        self.initial_pending = 0

    @classmethod
    async def open(cls, client: Client, stream: str, filter_subject: str, after: int | None) -> "_Session":
        queue: asyncio.Queue[Msg] = asyncio.Queue()
        name = uuid4().hex
        subscription = await client.subscribe(
            client.new_inbox(), cb=queue.put, pending_msgs_limit=4 * PULL_MESSAGES, pending_bytes_limit=PENDING_BYTES
        )
        session = cls(client, subscription, f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}", queue)
        try:
            info = await client.jetstream().add_consumer(stream, _config(name, filter_subject, after))
            session.initial_pending = info.num_pending or 0
            await session._pull()
            await session._pull()
        except BaseException:
            await session.close()
            raise
        return session

    async def close(self) -> None:
        with contextlib.suppress(NatsError):
            await self._subscription.unsubscribe()

    async def take(self, limit: int) -> list[StreamMessage]:
        """Messages that have arrived; an empty list when it was only a heartbeat. Raises _Broken."""
        if self._broken:
            raise self._broken
        batch: list[StreamMessage] = []
        message = await self._next()
        try:
            await self._accept(message, batch)
            while len(batch) < limit and not self._queue.empty():
                await self._accept(self._queue.get_nowait(), batch)
        except _Broken as broken:
            self._broken = broken  # what came before it is good
        return batch

    async def _next(self) -> Msg:
        """Wait for a message. Raises TimeoutError when there is not even a heartbeat, _Broken after a reconnect."""
        async with asyncio.timeout(2.5 * HEARTBEAT_SECONDS):
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        return await self._queue.get()
                if self._client.stats["reconnects"] != self._reconnects:
                    raise _Broken("the connection is another one")

    async def _accept(self, message: Msg, batch: list[StreamMessage]) -> None:
        if message.headers and "Status" in message.headers:
            self._on_status(message.headers)
        else:
            sequence, delivered, pending = _positions(message.reply)
            if delivered != self._delivered + 1:
                raise _Broken(f"message {self._delivered + 1} of this consumer is missing")
            self._delivered = delivered
            batch.append(StreamMessage(sequence, message.subject, message.data, pending))
        if self._asked - self._delivered <= PULL_MESSAGES:
            await self._pull()

    def _on_status(self, headers: dict[str, str]) -> None:
        """100: heartbeat. 404, 408: a pull has ended with some of it unused. All else: the consumer is no more."""
        match headers["Status"]:
            case "100":
                pass
            case "404" | "408":
                self._asked -= int(headers.get("Nats-Pending-Messages", PULL_MESSAGES))
            case status:
                raise _Broken(f"{status} {headers.get('Description', '')}")

    async def _pull(self) -> None:
        self._asked += PULL_MESSAGES
        await self._client.publish(self._pull_subject, _PULL, reply=self._subscription.subject)


def _config(name: str, filter_subject: str, after: int | None) -> ConsumerConfig:
    return ConsumerConfig(
        name=name,
        filter_subject=filter_subject,
        ack_policy=AckPolicy.NONE,
        mem_storage=True,
        inactive_threshold=INACTIVE_SECONDS,
        deliver_policy=DeliverPolicy.LAST_PER_SUBJECT if after is None else DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=None if after is None else after + 1,
    )


def _positions(reply: str) -> tuple[int, int, int]:
    """Stream sequence, consumer sequence and pending count from an ack subject.

    Two forms exist, `$JS.ACK.<stream>.<consumer>.<delivered>.<seq>.<consumer seq>.<time>.<pending>` and a newer one
    with `<domain>.<account hash>` after ACK and a random token at the end (ADR-15).
    """
    tokens = reply.split(".")
    offset = 0 if len(tokens) == 9 else 2
    return int(tokens[5 + offset]), int(tokens[6 + offset]), int(tokens[8 + offset])


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


async def last_per_subject(
    client: Client, filter_subject: str, *, stream: str = STREAM
) -> AsyncIterator[StreamMessage]:
    """Yield the last message of each subject that matches, as of one moment, and end.

    Broken off, it begins anew, so a subject may appear twice; the later one is as new or newer.
    """
    async with consume(client, after=None, filter_subject=filter_subject, stream=stream) as consumer:
        async for message in _until_now(consumer):
            yield message


async def replay(client: Client, filter_subject: str) -> AsyncIterator[StreamMessage]:
    """Yield every message of the log that matches, in order, as of one moment, and end.

    The server looks through the whole log for them, a second for a million messages.
    """
    async with consume(client, after=0, filter_subject=filter_subject) as consumer:
        async for message in _until_now(consumer):
            yield message


async def _until_now(consumer: Consumer) -> AsyncIterator[StreamMessage]:
    if (await consumer.session()).initial_pending == 0:
        return
    while True:
        for message in await consumer.next_batch():
            yield message
            if message.pending == 0:
                return
