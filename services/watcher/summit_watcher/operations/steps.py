"""The steps of one operation, as its watcher makes them: each is stored only onto the one before it.

So of two watchers that do the same operation at most one goes on: the step of the other is refused, and it stops.
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from nats.errors import Error as NatsError

from summit_models.contract import Revision, Uid
from summit_models.event import OperationEvent, operation_event
from summit_models.operation import Operation
from summit_models.subject import subject_of_operation
from summit_runtime.backoff import Backoff
from summit_runtime.condition import Condition
from summit_runtime.nats.connection.bus import EventClient
from summit_runtime.nats.publishing.append import Basis, ConflictError, NotStoredError, append
from summit_runtime.nats.streams.consumer import StreamMessage
from summit_runtime.nats.streams.stored import last_message

logger = logging.getLogger("summit.watcher")

_NAME = re.compile(r"[a-z0-9](?:[-.a-z0-9]*[a-z0-9])?")
"""A name in Kubernetes is a DNS subdomain (RFC 1123)."""

Make = Callable[[Operation, datetime], Operation]
"""Makes the next step of an operation at a time. Called again if somebody else has made a step in between."""


class LostOperationError(Exception):
    """Somebody else has made the next step: another watcher, or the api that canceled it before it began."""


class Step(NamedTuple):
    operation: Operation
    revision: Revision
    event_id: str


def read(subject: str, body: bytes, revision: int) -> Step | None:
    """The step in an event; None for what this version cannot read, and for what nobody may have written.

    Its names become parts of paths: `..` would lead elsewhere.
    """
    with contextlib.suppress(ValueError):
        event = OperationEvent.model_validate_json(body, by_alias=True, by_name=False)
        names = (event.data.namespace, event.data.vm_name, event.data.id)
        if subject_of_operation(event.data) == subject and all(map(_NAME.fullmatch, names)):
            return Step(event.data, Revision(revision), event.id)
    return None


def read_message(message: StreamMessage) -> Step | None:
    return read(message.subject, message.body, message.sequence)


class Steps:
    """Appends steps in the name of one watcher."""

    def __init__(self, client: EventClient, writer: str) -> None:
        self._client = client
        self.writer = writer
        self._waiting = Condition(logger)
        self._unstored: set[Uid] = set()
        """Operations whose next step NATS has not taken. A thousand of them are one outage, and one line."""

    def now(self) -> datetime:
        return self._client.clock.now()

    async def append(self, before: Step, make: Make) -> Step:
        """Store the step that `make` makes, however long NATS is away. Raises LostOperationError.

        A step that somebody else has stored onto ours (the api's `canceling`) is taken for ours, and `make` runs again.
        """
        operation = before.operation
        try:
            step = await self._append(before, make)
        finally:
            self._unstored.discard(operation.id)
        if not self._unstored:
            self._waiting.ends("the steps of operations in cluster %s are stored", operation.cluster)
        return step

    async def _append(self, before: Step, make: Make) -> Step:
        backoff = Backoff(initial_seconds=0.1, max_seconds=5.0)
        while True:
            now = self.now()
            event = operation_event(make(before.operation, now), before.revision, writer=self.writer, time=now)
            basis = Basis(subject_of_operation(before.operation), before.revision)
            try:
                answer_seconds = self._client.times.answer_seconds
                revision = await append(self._client, [event], basis, answer_seconds=answer_seconds)
                return Step(event.data, revision, event.id)
            except ConflictError:
                newest = await self._newest(before, backoff)
                if newest.event_id == event.id:  # it was stored, and the answer was lost
                    return newest
                before = self._basis(before, newest)
            except NotStoredError as error:
                self._note_unstored(before.operation, error)
            await asyncio.sleep(backoff.next_seconds())

    def _note_unstored(self, operation: Operation, error: NotStoredError) -> None:
        self._unstored.add(operation.id)
        self._waiting.holds(
            "the steps of operations in cluster %s are not stored yet (%s): trying again until they are",
            operation.cluster,
            error,
            extra={"cluster": operation.cluster},
        )

    def _basis(self, known: Step, newest: Step) -> Step:
        """The step to make the next one from, after one was refused. Raises LostOperationError."""
        if newest.revision <= known.revision:
            # Replicas have not agreed yet; or the log has lost our last steps, and what we know is newer.
            return known._replace(revision=newest.revision)
        if newest.operation.executor == self.writer and not newest.operation.has_ended:
            return newest
        raise LostOperationError(known.operation.id)

    async def _newest(self, known: Step, backoff: Backoff) -> Step:
        """The newest step in the log; the known one with revision 0 if the log has none. Raises LostOperationError."""
        subject = subject_of_operation(known.operation)
        while True:
            try:
                message = await last_message(self._client, subject)
            except (NatsError, TimeoutError):
                await asyncio.sleep(backoff.next_seconds())
                continue
            if message is None:
                return known._replace(revision=Revision(0), event_id="")
            step = read(subject, message.data or b"", message.seq or 0)
            if step is None:
                raise LostOperationError(known.operation.id)
            return step
