"""Whether the log can be used: its stream has a leader, and the leader a majority of the servers that keep it.

A connection shows little: a server that has lost the other servers of its cluster still answers pings. So each process
asks about the stream every few seconds, and says on `/readyz` what is missing.
"""

import asyncio
import logging

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError

from summit_models.subject import STREAM
from summit_runtime.condition import Condition
from summit_runtime.nats.publishing.fast_batch import ApiError

logger = logging.getLogger("summit.nats")

ANSWER_SECONDS = 5.0
LOST_SECONDS = 10.0
"""A server that the leader has not heard of for so long does not count; after as long a leader without a majority
steps down (nats-server 2.15, `lostQuorumInterval`)."""


class Availability:
    """What the last look has found, while `follow` runs."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._found: str | None = f"the stream {STREAM!r} is not there yet"
        self._unusable = Condition(logger)

    @property
    def trouble(self) -> str | None:
        """Why the log cannot be read and written now; None when it can be."""
        return self._found if self._client.is_connected else "not connected"

    async def follow(self, pause_seconds: float) -> None:
        """Look again and again, for ever."""
        while True:
            if self._client.is_connected:  # else that is the reason, and it is logged
                self._note(await _look(self._client))
            await asyncio.sleep(pause_seconds)

    def _note(self, found: str | None) -> None:
        self._found = found
        if found:
            self._unusable.holds("the log cannot be used (%s): publishing and reading wait", found, cause=found)
        else:
            self._unusable.ends("the log can be used again")


async def _look(client: Client) -> str | None:
    try:
        reply = await client.request(f"$JS.API.STREAM.INFO.{STREAM}", timeout=ANSWER_SECONDS)
        return reason(_decode(reply.data))
    except TimeoutError:
        return f"NATS does not answer about the stream {STREAM!r}"
    except (NatsError, msgspec.DecodeError) as error:
        return f"NATS does not answer about the stream {STREAM!r}: {error}"


class Peer(msgspec.Struct):
    offline: bool = False
    active: int = 0
    """Nanoseconds since the leader heard of it."""

    @property
    def is_here(self) -> bool:
        return not self.offline and self.active < LOST_SECONDS * 1e9


class Cluster(msgspec.Struct):
    leader: str = ""
    replicas: list[Peer] = []


class Answer(msgspec.Struct):
    """JetStream's answer about a stream, as far as it is needed here."""

    cluster: Cluster | None = None
    """None: the server is in no cluster."""
    error: ApiError | None = None


_decode = msgspec.json.Decoder(Answer).decode


def reason(answer: Answer) -> str | None:
    """Why a stream cannot be used, by an answer about it."""
    if answer.error:
        return f"NATS reports of the stream {STREAM!r}: {answer.error.description}"
    if answer.cluster is None:
        return None
    if not answer.cluster.leader:
        return f"the stream {STREAM!r} has no leader: are most of its servers there?"
    servers = len(answer.cluster.replicas) + 1
    lost = sum(not peer.is_here for peer in answer.cluster.replicas)
    if 2 * lost >= servers:
        return f"the stream {STREAM!r} has lost {lost} of its {servers} servers"
    return None
