"""One batch of JetStream's fast ingest (ADR-50, nats-server 2.14): many messages, few acknowledgements, strict order.

A batch is a numbered run of ordinary messages. Number and operation stand in the reply subject,
`<inbox>.<batch>.<flow>.<gap mode>.<number>.<operation>.$FI`, and the last message commits the batch and is stored like
the others: a batch of one is one message and one answer, as cheap as a plain publish. With gap mode `fail` the server
stores a prefix of the run and nothing after the first message that is missing or refused; its acks and its final
answer have its length. The server forgets a batch whose last message does not come within ten seconds.

Seen with nats-server 2.15.1, and not in the ADR: a duplicate is skipped and counted as stored wherever it stands.
"""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import uuid4

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import BadSubjectError, MaxPayloadError
from nats.errors import Error as NatsError

from summit_runtime import tracing
from summit_runtime.tracing import Span
from summit_runtime.waiting import wait

MAX_UNANSWERED = 1000
"""Two intervals from one ack to the next, so that the server works on one while we send the next. 500 in an interval
are the most that the server allows, to a publisher that is alone. We do not follow the server's own flow control beyond
that: its queue holds 100 000 messages, and it reports a gap when they were too many."""

UNSTORABLE = frozenset({10054})
"""JetStream error codes that no retry can change: 10054, the message is larger than the stream allows."""

_START, _APPEND, _COMMIT = range(3)


class ApiError(msgspec.Struct):
    err_code: int = 0
    description: str = ""


class Answer(msgspec.Struct):
    """JetStream's answer to a publish: a PubAck, or with a `type` a BatchFlowAck, BatchFlowGap or BatchFlowErr."""

    type: str = ""
    seq: int = 0
    count: int = 0
    duplicate: bool = False
    error: ApiError | None = None


decode_answer = msgspec.json.Decoder(Answer).decode


class Message(NamedTuple):
    subject: str
    body: bytes
    id: str
    span: Span | None = None
    """The part of a trace that ends when the message is stored."""

    @property
    def headers(self) -> dict[str, str]:
        headers = {"Nats-Msg-Id": self.id}
        if self.span:
            headers[tracing.HEADER] = self.span.traceparent
        return headers


class Outcome(NamedTuple):
    """How a batch ended. By default: with its connection, and nobody knows what became of the rest."""

    complete: bool = False
    refusal: str = ""
    unstorable: int | None = None
    """Number in the batch, from 1, of a message that no retry can store; `refusal` has the reason."""
    sequence: int = 0
    """The last message's place in the stream, for a complete batch; 0 when that was a duplicate."""


_NOT_READY = Answer(error=ApiError(description="no stream takes them: JetStream is not ready"))
"""The meaning of an empty answer, which is the server's 503."""


@dataclass
class FastBatch:
    """A run of messages on its way. Answers come to `<inbox>.>`; the owner of that subscription hands them over."""

    inbox: str
    most_unanswered: int = MAX_UNANSWERED
    """The server acknowledges twice as often, at least."""
    was_full: bool = field(default=False, init=False)
    """More messages waited than might be on their way."""
    sent: int = field(default=0, init=False)
    taken: int = field(default=0, init=False)
    """Messages that `take_stored` has returned."""
    committed: bool = field(default=False, init=False)
    outcome: Outcome | None = field(default=None, init=False)
    answer_seconds: float | None = field(default=None, init=False)
    """How long the newest answer took, from the message that it is about; None once it is noted."""
    _sent_at: deque[tuple[int, float]] = field(default_factory=deque, init=False)
    """Up to which number messages were sent at a time."""
    _stored: int = field(default=0, init=False)
    _news: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _prefix: str = field(init=False)

    def __post_init__(self) -> None:
        self._prefix = f"{self.inbox}.{uuid4().hex}.{max(self.most_unanswered // 2, 1)}.fail."

    @property
    def unanswered(self) -> int:
        """Messages sent and not yet taken as stored."""
        return self.sent - self.taken

    async def send(self, client: Client, messages: Sequence[Message], *, commit: bool) -> None:
        """Add messages; with `commit`, the last of them ends the batch.

        A lost connection is not an error: no answer will come then.
        """
        last = self.sent + len(messages) if commit else 0
        self.committed = commit
        self._sent_at.append((self.sent + len(messages), time.monotonic()))
        try:
            for number, message in enumerate(messages, self.sent + 1):
                self.sent = number
                operation = _COMMIT if number == last else _APPEND if number > 1 else _START
                reply = f"{self._prefix}{number}.{operation}.$FI"
                await client.publish(message.subject, message.body, reply, message.headers)
        except (MaxPayloadError, BadSubjectError) as error:
            self._end(Outcome(refusal=str(error), unstorable=self.sent))
        except NatsError:
            return

    def answer(self, message: Msg) -> None:
        """Handle an answer of the server, in the order they come; answers to another batch are ignored."""
        if not message.subject.startswith(self._prefix) or self.outcome:
            return
        number = int(message.subject[len(self._prefix) :].partition(".")[0])
        answer = decode_answer(message.data) if message.data else _NOT_READY
        if answer.error:
            unstorable = number if answer.error.err_code in UNSTORABLE else None
            self._end(Outcome(refusal=answer.error.description, unstorable=unstorable))
        elif answer.type == "gap":
            self._end(Outcome(refusal="a message was lost on its way"))
        elif answer.type == "ack":
            self._store(answer.seq)
            self._news.set()
        else:
            self._store(answer.count)
            self._end(Outcome(complete=answer.count == self.sent, sequence=answer.seq))

    def _store(self, count: int) -> None:
        self._stored = count
        while self._sent_at and self._sent_at[0][0] <= count:
            self.answer_seconds = time.monotonic() - self._sent_at.popleft()[1]

    def _end(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self._news.set()

    def wake(self) -> None:
        """Let `answered` return, for news that does not come as an answer."""
        self._news.set()

    async def answered(self, seconds: float) -> bool:
        """Wait for an answer; False when there was none in that time."""
        is_news = await wait(self._news, seconds)
        self._news.clear()
        return is_news

    def take_stored(self) -> int:
        """How many more messages, from the oldest on, are stored than at the last call."""
        newly, self.taken = self._stored - self.taken, self._stored
        return newly
