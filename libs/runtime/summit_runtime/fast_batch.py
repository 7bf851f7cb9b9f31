"""One batch of JetStream's fast ingest (ADR-50, nats-server 2.14): many messages, one acknowledgement, strict order.

A batch is a numbered run of ordinary messages. Number and operation stand in the reply subject,
`<inbox>.<batch>.<flow>.<gap mode>.<number>.<operation>.$FI`, and the last message commits the batch and is stored like
the others: a batch of one is one message and one answer, as cheap as a plain publish. With gap mode `fail` the server
stores a prefix of the run and nothing after the first message that is missing or refused; the final answer says how
long the prefix is. A batch whose last message never comes is forgotten by the server after ten seconds.

Read in nats-server 2.15 (stream.go, processJetStreamFastBatchMsg), and not in the ADR: a batch that *begins* with a
duplicate is over at once, with `duplicate` and a count of 1; a duplicate further on is skipped and counted.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import uuid4

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import BadSubjectError, MaxPayloadError
from nats.errors import Error as NatsError

MAX_MESSAGES = 500
"""What the server lets a lone publisher send between two acks. We send no more than that before the final answer, and
so need not follow its flow control: its queue takes 100 000."""

UNSTORABLE = frozenset({10054})
"""JetStream error codes that no retry can mend: 10054, the message is larger than the stream allows."""

_START, _APPEND, _COMMIT = range(3)


class Message(NamedTuple):
    subject: str
    body: bytes
    id: str


class Outcome(NamedTuple):
    """What became of a batch: its first `stored` messages are in the stream, the others may be."""

    stored: int = 0
    duplicate: bool = False
    """The first message had been stored before; the server has looked at no other."""
    refusal: str = ""
    unstorable: int | None = None
    """Index of a message that no retry can store; `refusal` says why."""


class _Error(msgspec.Struct):
    err_code: int = 0
    description: str = ""


class _Answer(msgspec.Struct):
    """JetStream's PubAck, or with a `type` BatchFlowAck, BatchFlowGap or BatchFlowErr."""

    type: str = ""
    count: int = 0
    duplicate: bool = False
    error: _Error | None = None


_decode = msgspec.json.Decoder(_Answer).decode


@dataclass
class FastBatch:
    """Messages on their way; `outcome` is done when the server has told it. Answers come to `<inbox>.>`."""

    inbox: str
    messages: Sequence[Message]
    outcome: asyncio.Future[Outcome] = field(default_factory=asyncio.Future, init=False)
    _prefix: str = field(init=False)

    def __post_init__(self) -> None:
        self._prefix = f"{self.inbox}.{uuid4().hex}.{MAX_MESSAGES}.fail."

    async def send(self, client: Client) -> None:
        """Send all messages at once. Not being connected is no error: then there will be no outcome."""
        last = len(self.messages)
        with contextlib.suppress(NatsError):
            for number, (subject, body, message_id) in enumerate(self.messages, 1):
                operation = _COMMIT if number == last else _APPEND if number > 1 else _START
                reply = f"{self._prefix}{number}.{operation}.$FI"
                try:
                    await client.publish(subject, body, reply=reply, headers={"Nats-Msg-Id": message_id})
                except (MaxPayloadError, BadSubjectError) as error:
                    self._end(Outcome(unstorable=number - 1, refusal=str(error)))
                    return

    def answer(self, message: Msg) -> None:
        """Take an answer of the server, in the order they come; those to another batch are ignored."""
        if message.subject.startswith(self._prefix):
            number = int(message.subject[len(self._prefix) :].partition(".")[0])
            if outcome := read_answer(message.data, number):
                self._end(outcome)

    def _end(self, outcome: Outcome) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)


def read_answer(data: bytes, number: int) -> Outcome | None:
    """What an answer to the batch's message `number` (from 1) means; None when the batch goes on."""
    if not data:  # the server's 503
        return Outcome(refusal="no stream takes them: JetStream is not ready")
    answer = _decode(data)
    if answer.error:
        unstorable = number - 1 if answer.error.err_code in UNSTORABLE else None
        return Outcome(refusal=answer.error.description, unstorable=unstorable)
    if answer.type == "gap":
        return Outcome(refusal="a message was lost on its way")
    if answer.type:
        return None
    return Outcome(stored=answer.count, duplicate=answer.duplicate)
