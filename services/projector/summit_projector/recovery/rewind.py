"""Going back with a log that has lost its end, as after a power failure or a restore: only as far as it agrees.

The history tells how far that is: each line says what was applied under which revision. A log is append-only, so below
the newest line that it still has under the same number nothing has changed. Rows of later events are not believed any
more; each gets what the log now says under its subject, and the events from there on are applied again, all at once.
"""

import asyncio
from types import SimpleNamespace

from nats.aio.client import Client
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from summit_models.contract import Revision
from summit_models.subject import STREAM
from summit_projector import metrics
from summit_projector.progress import Progress
from summit_projector.project import event_id, project
from summit_projector.projections import PROJECTIONS
from summit_projector.recovery.stream_identity import Position
from summit_projector.tables.journal import AppliedEvent
from summit_projector.tables.store import Store
from summit_runtime.nats.consumer import StreamMessage, consume
from summit_runtime.nats.stream import StreamState, stream_state

EVENT_SECONDS = 20.0
"""For the next event, which the log has, or had until it was cut once more: a transaction is open meanwhile."""


async def common_position(client: Client, store: Store, position: Position, state: StreamState) -> Position | None:
    """The newest place known to be the same in the tables and in the log; None when it is another log."""
    if state.created_at != position.stream_created_at:
        return None
    newest = min(position.revision, state.last_sequence)
    good = await store.journal.newest(newest, state.created_at)
    bad, step = newest + 1, 1
    while good and not await _agrees(client, good):
        bad, step = good.revision, 2 * step  # what is lost is little, mostly
        good = await store.journal.newest(bad - step, state.created_at)
    while good:
        middle = await store.journal.newest((good.revision + bad) // 2, state.created_at)
        if middle is None or middle == good:
            break
        good, bad = (middle, bad) if await _agrees(client, middle) else (good, middle.revision)
    found = await _message(client, sequence=good.revision) if good else None
    return Position(state.created_at, Revision(found.seq or 0), event_id(found.data or b"")) if found else None


async def go_back(client: Client, store: Store, position: Position, common: Position) -> Position:
    """Return the tables to `common`, and bring them to where the log ends now, at once; give that position.

    Readers never see what is between: events that were lost are told once more, and some of them are there already.
    Raises TimeoutError when the log does not give what it had a moment ago.
    """
    subjects = {
        PROJECTIONS[collection].place(SimpleNamespace(**row)).subject
        for collection in PROJECTIONS
        for row in await store.later_than(collection, common.revision)
    }
    found = [await _message(client, subject=subject) for subject in sorted(subjects)]
    messages = [StreamMessage(m.seq or 0, m.subject or "", m.data or b"", 0) for m in found if m]
    kept = sorted(message for message in messages if message.sequence <= common.revision)
    end = (await stream_state(client)).last_sequence
    async with store.transaction(), consume(client, after=common.revision) as consumer:
        position = await store.rewind(position, common)
        if kept:
            await store.restore(project(kept).rows)
        progress = Progress(store, position, await store.epochs())
        while progress.position.revision < end:
            async with asyncio.timeout(EVENT_SECONDS):
                messages = await consumer.next_batch()
            await progress.apply(messages)
        removed = await store.sweep()
    metrics.SWEPT.inc(removed)
    return progress.position


async def _agrees(client: Client, applied: AppliedEvent) -> bool:
    message = await _message(client, sequence=applied.revision)
    if message is None:
        return False
    projection = PROJECTIONS[applied.collection]
    try:
        event = projection.decode(message.data or b"")
    except ValueError:
        return False
    found = (getattr(event.data, projection.key), event.type, event.time)
    return found == (applied.key, applied.type, applied.time)


async def _message(client: Client, *, sequence: int | None = None, subject: str | None = None) -> RawStreamMsg | None:
    """From the leader: another replica may be behind."""
    try:
        return await client.jetstream().get_msg(STREAM, seq=sequence, subject=subject)
    except NotFoundError:
        return None
