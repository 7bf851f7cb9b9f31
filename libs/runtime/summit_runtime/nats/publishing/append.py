"""Append a few events to the log: all or none, and only if nobody else has written in between.

For edits by people, who need an answer. (`publisher` is for watchers: a queue that never gives up.) The server compares
the newest revision of a subject, or of a filter, with the one that the decision was made from
(`Nats-Expected-Last-Subject-Sequence`); several events travel as an atomic batch (ADR-50, nats-server 2.12).
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeVar
from uuid import uuid4

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import Header

from summit_models.codec import encode
from summit_models.contract import Revision
from summit_models.event import Event
from summit_models.subject import ingest, subject_of
from summit_runtime.backoff import Backoff
from summit_runtime.condition import Condition
from summit_runtime.nats.connection.bus import TIMES, NotPermittedError
from summit_runtime.nats.publishing.fast_batch import Answer, ApiError, decode_answer
from summit_runtime.nats.streams.stored import last_message

logger = logging.getLogger("summit.nats")

T = TypeVar("T")

ATTEMPT = "Summit-Attempt"
"""Header by which an append recognizes its own event in the log."""
_CONFLICTS = frozenset({10071, 10164, 10201})
"""JetStream error codes: the last sequence is another one; in a stream with replicas, it is not decided yet; a batch
has an event that the log got in the last minute."""
_UNDECIDED = frozenset({10158})
"""JetStream error code: the same event is on its way to the other servers of a cluster, and may be stored or not."""
_NEWEST = re.compile(r"wrong last sequence: (\d+)$")


class NotStoredError(Exception):
    """NATS has not confirmed the events; the sentence has the reason."""

    def __init__(self, reason: str, *, unsure: bool = False) -> None:
        super().__init__(reason)
        self.unsure = unsure
        """There was no answer, so the events may be stored all the same."""


class ConflictError(Exception):
    """The log has something newer; nothing was stored."""

    def __init__(self, newest: Revision | None) -> None:
        super().__init__(f"the newest revision is {newest}")
        self.newest = newest
        """The newer revision, if the server has reported it."""


class Basis(NamedTuple):
    """The state that the events were made from: `revision` is the newest one under `subject`, which may have wildcards.

    0: there is none.
    """

    subject: str
    revision: Revision


async def append(
    client: Client,
    events: Sequence[Event],
    basis: Basis,
    *,
    answer_seconds: float = TIMES.answer_seconds,
    unique: bool = False,
) -> Revision:
    """Store the events in their order and return the revision of the last one.

    The log takes an event with an id that it got in the last minute for a repetition, which is a success, whatever its
    subject is. With `unique` it is a conflict: then no two writers get the same id stored under two subjects.

    Raises ConflictError when `basis` is no longer true, NotStoredError when NATS refuses, is away, or does not answer
    in time; only after the last may they be stored all the same.
    """
    attempt = uuid4().hex
    try:
        return await _append(client, events, basis, attempt, answer_seconds=answer_seconds, unique=unique)
    except ConflictError:
        # After a reconnect nats-py may send again what the log has by then, and its answer is that of the second time.
        if stored := await _stored_by(attempt, client, events[-1], answer_seconds):
            return stored
        raise


async def _append(
    client: Client, events: Sequence[Event], basis: Basis, attempt: str, *, answer_seconds: float, unique: bool
) -> Revision:
    last = len(events)
    answer = Answer()
    for number, event in enumerate(events, 1):
        headers: dict[str, str] = {Header.MSG_ID: event.id, ATTEMPT: attempt}
        if number == 1:
            headers[Header.EXPECTED_LAST_SUBJECT_SEQUENCE] = str(basis.revision)
            headers["Nats-Expected-Last-Subject-Sequence-Subject"] = basis.subject  # nats-py has no name for it
        if last > 1:
            headers |= {Header.BATCH_ID: attempt, Header.BATCH_SEQUENCE: str(number)}
            headers |= {Header.BATCH_COMMIT: "1"} if number == last else {}
        if 1 < number < last:  # what is wrong with it is in the answer to the last one
            await _publish(client, event, headers)
            continue
        answer = await _send(client, event, headers, answer_seconds)
        if unique and answer.duplicate:
            raise ConflictError(Revision(answer.seq))
    return Revision(answer.seq)


async def _stored_by(attempt: str, client: Client, event: Event, answer_seconds: float) -> Revision | None:
    """Where the log has the event, if this very attempt has stored it. Raises NotStoredError if nobody answers."""
    try:
        newest = await last_message(client, subject_of(event), answer_seconds=answer_seconds)
    except (NatsError, TimeoutError) as error:
        raise NotStoredError(str(error) or "no answer from NATS", unsure=True) from error
    is_ours = newest is not None and (newest.headers or {}).get(ATTEMPT) == attempt
    return Revision(newest.seq or 0) if newest and is_ours else None


async def append_until_stored(work: Callable[[], Awaitable[T]], *, what: str, level: int = logging.WARNING) -> T:
    """Run `work`, which appends to the log, until it succeeds: another writer may be faster, and NATS may be away.

    `what` is the thing to be stored, for the log; with `level` the lines about a NATS that is away.
    """
    backoff = Backoff(initial_seconds=0.1, max_seconds=5.0)
    waiting = Condition(logger, level)
    while True:
        try:
            result = await work()
        except ConflictError:
            continue
        except (NotStoredError, NatsError, TimeoutError) as error:
            waiting.holds(
                "%s is not stored yet (%s): trying again until it is", what, str(error) or "no answer from NATS"
            )
            await asyncio.sleep(backoff.next_seconds())
        else:
            waiting.ends("%s is stored", what)
            return result


async def _publish(client: Client, event: Event, headers: dict[str, str]) -> None:
    try:
        await client.publish(ingest(subject_of(event)), encode(event), headers=headers)
    except NatsError as error:
        raise NotStoredError(f"NATS does not take it: {error}") from error


async def _send(client: Client, event: Event, headers: dict[str, str], answer_seconds: float) -> Answer:
    """Send one event and wait for its answer, which is empty for the first event of a batch."""
    return await store(client, ingest(subject_of(event)), encode(event), headers, answer_seconds)


async def store(client: Client, subject: str, body: bytes, headers: dict[str, str], answer_seconds: float) -> Answer:
    """Send one message to the stream of its subject, and wait for the answer. Raises what `append` raises."""
    if not client.is_connected:  # nats-py would keep it, and send it long after we have given up
        raise NotStoredError("not connected to NATS")
    try:
        reply = await client.request(subject, body, timeout=answer_seconds, headers=headers)
    except TimeoutError as error:
        raise NotStoredError(f"NATS has not answered within {answer_seconds:g} s", unsure=True) from error
    except NotPermittedError as error:
        raise NotStoredError(str(error)) from error
    except NatsError as error:
        raise NotStoredError(f"NATS does not take it: {error}") from error
    answer = decode_answer(reply.data) if reply.data else Answer()
    if answer.error:
        raise _refusal(answer.error)
    return answer


def _refusal(error: ApiError) -> ConflictError | NotStoredError:
    if error.err_code not in _CONFLICTS:
        return NotStoredError(f"NATS refuses it: {error.description}", unsure=error.err_code in _UNDECIDED)
    newest = _NEWEST.search(error.description)
    return ConflictError(Revision(int(newest[1])) if newest else None)
