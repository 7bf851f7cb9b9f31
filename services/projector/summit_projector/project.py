"""The meaning of a run of events for the tables. Pure: messages in, rows and journal out; the writer applies them.

The one idea: a row has its origin (epoch, resourceVersions, revision), and of two states of one object the one with the
greater origin wins, whatever the order in which they arrive. The same comparison is made here among the events of a
batch and by the writer against the stored row, so redelivery and replay change nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

from summit_models.codec import Decoded, decode_leniently
from summit_models.contract import Revision
from summit_models.event import CloudEvent, EpochStart, has_begun, is_possible_epoch, is_stale_epoch
from summit_projector.projections import PROJECTIONS, Identity, Order, Projection, Row
from summit_runtime.nats.streams.consumer import StreamMessage
from summit_runtime.tracing import is_context

Epochs = Mapping[str, EpochStart]
"""The newest epoch of each source, from its cluster's own events. An event of an older epoch is stale: it is from a
watcher that has lost the cluster to another, and its resourceVersions may be of a history that has ended. An event of
an epoch that has not begun is no watcher's."""

NONE_KNOWN: Epochs = MappingProxyType({})

EARLIEST_YEAR, LATEST_YEAR = 2000, 2100
"""Event times outside are nonsense, and the journal has a partition for each month of an event."""


class Entry(NamedTuple):
    """An event that is newer than the ones before it in its batch: a row of `events` if it changes its row."""

    revision: int
    time: datetime
    key: str
    type: str
    data: str
    """The event's own JSON text."""
    collection: str
    identity: Identity
    order: Order


class DeadLetter(NamedTuple):
    """A row of `dead_letters`. The database adds the time."""

    revision: int
    subject: str
    reason: str
    body: bytes


@dataclass
class Batch:
    """All that one transaction does. `rows` hold the newest state of each object, by table name."""

    revision: Revision
    event_id: str | None
    """Id of the last event. The next start recognizes the stream by it."""
    epochs: Epochs = field(default_factory=dict)
    """After this batch."""
    rows: dict[str, list[Row]] = field(default_factory=dict)
    journal: list[Entry] = field(default_factory=list)
    """In the order of the stream. The commit leaves out the entries that do not change the stored row."""
    dead_letters: list[DeadLetter] = field(default_factory=list)
    oldest: datetime | None = None
    """When the first of its events was observed."""
    traces: list[tuple[int, str]] = field(default_factory=list)
    """Revision and `traceparent` of each traced event."""
    stale: int = 0
    """Events of an older epoch, which are ignored."""


class _RejectedError(Exception):
    """The event becomes a dead letter, with this sentence."""


def project(messages: Sequence[StreamMessage], epochs: Epochs = NONE_KNOWN) -> Batch:
    """Make one batch of messages that follow each other in the stream; there must be at least one."""
    last = messages[-1]
    epochs = dict(epochs)
    batch = Batch(revision=Revision(last.sequence), event_id=event_id(last.body), epochs=epochs)
    batch.traces = [(m.sequence, m.traceparent) for m in messages if m.traceparent and is_context(m.traceparent)]
    newest: dict[str, dict[Identity, tuple[Order, Decoded]]] = {collection: {} for collection in PROJECTIONS}
    for message in messages:
        collection = message.subject.split(".", 2)[1]
        if projection := PROJECTIONS.get(collection):
            try:
                event = _accept(message, projection)
                is_stale = _is_stale(event, message.sequence, collection, epochs)
            except _RejectedError as error:
                batch.dead_letters.append(_dead_letter(message, str(error)))
                continue
            if is_stale:
                batch.stale += 1
                continue
            if collection == "clusters":
                epochs[event.source] = EpochStart(epoch=event.epoch, revision=message.sequence)
            if batch.oldest is None or event.time < batch.oldest:
                batch.oldest = event.time
            entry = _entry(event, message.sequence, collection)
            known = newest[collection].get(entry.identity)
            if known is None or entry.order > known[0]:
                newest[collection][entry.identity] = entry.order, event
                batch.journal.append(entry)
    for collection, kept in newest.items():
        if kept:
            projection = PROJECTIONS[collection]
            batch.rows[projection.table.name] = [projection.row(event, order) for order, event in kept.values()]
    return batch


def dead_letter(message: StreamMessage, reason: str, epochs: Epochs = NONE_KNOWN) -> Batch:
    """A batch that only keeps this message as a dead letter, for when the database refuses its values."""
    letters = [_dead_letter(message, reason)]
    revision = Revision(message.sequence)
    return Batch(revision=revision, event_id=event_id(message.body), epochs=epochs, dead_letters=letters)


def event_id(body: bytes) -> str | None:
    """The CloudEvents id of a body; None when it has none."""
    return _storable(decode_leniently(CloudEvent, body).id)


def _accept(message: StreamMessage, projection: Projection) -> Decoded:
    """Decode an event, and check that its subject and its source are those of its data."""
    if _has_nul(message.body):
        raise _RejectedError("it contains the character U+0000, which Postgres cannot store")
    try:
        event = projection.decode(message.body)
        place = projection.place(event.data)
        projection.check(event.data)
    except ValueError as error:
        raise _RejectedError(str(error)) from error
    if message.subject != place.subject:
        raise _RejectedError(f"its data belongs under subject {place.subject!r}")
    if event.source != place.source:
        raise _RejectedError(f"its source is {event.source!r}, but its data is about {place.source!r}")
    if not is_possible_epoch(event.epoch, message.sequence):
        raise _RejectedError(f"its epoch {event.epoch} cannot be right: the log has fewer events than that")
    if not EARLIEST_YEAR <= event.time.year < LATEST_YEAR:
        raise _RejectedError(f"its time {event.time.isoformat()} cannot be right: check the clock of its writer")
    return event


def _is_stale(event: Decoded, revision: int, collection: str, epochs: Epochs) -> bool:
    """Whether to ignore the event. Raises _RejectedError if its epoch has not begun: else none of a true one counts."""
    if not PROJECTIONS[collection].has_epochs:
        if event.epoch:
            raise _RejectedError(f"its epoch is {event.epoch}, but such an event has none")
        return False
    newest = epochs.get(event.source)
    if newest is None or event.epoch == newest.epoch:
        return False
    if collection != "clusters" and not has_begun(event.epoch, revision, (newest,)):
        raise _RejectedError(f"no watcher has begun its epoch {event.epoch} in the log, whose newest is {newest.epoch}")
    return is_stale_epoch(event.epoch, revision, (newest,))


def _entry(event: Decoded, revision: int, collection: str) -> Entry:
    projection = PROJECTIONS[collection]
    identity, order = projection.identity(event.data), projection.order(event, revision)
    return Entry(revision, event.time, identity[0], event.type, event.text, collection, identity, order)


def _dead_letter(message: StreamMessage, reason: str) -> DeadLetter:
    return DeadLetter(message.sequence, _storable(message.subject) or "", _storable(reason) or "", message.body)


def _storable(text: str | None) -> str | None:
    return text and text.replace("\0", "\ufffd")


def _has_nul(body: bytes) -> bool:
    """Whether the JSON text escapes U+0000. An escaped backslash before `u0000` is no such escape."""
    return b"\\u0000" in body and b"\\u0000" in body.replace(b"\\\\", b"")
