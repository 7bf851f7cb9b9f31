"""Going back with a stream that has lost its end, after a power failure or a restore: as far as both agree.

The journal shows how far that is: each entry names the event that was applied under its revision. A stream is only ever
appended to, so below the newest entry that it still has under the same number nothing has changed. Rows of later
events are no longer believed. Each gets the newest state that the stream has under its subject, and the events from
there on are applied again, all in one transaction.
"""

import asyncio
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from nats.aio.client import Client

from summit_models.contract import Revision
from summit_projector import metrics
from summit_projector.progress import Progress
from summit_projector.project import event_id, project
from summit_projector.projections import PROJECTIONS
from summit_projector.settings import ProjectorTimes
from summit_projector.tables.checkpoint import Checkpoint
from summit_projector.tables.journal import AppliedEvent
from summit_projector.tables.writer import TableWriter
from summit_runtime.nats.streams.consumer import StreamMessage, consume, replay
from summit_runtime.nats.streams.stored import last_message, message_at
from summit_runtime.nats.streams.stream import StreamState, stream_state


async def common_checkpoint(
    client: Client, writer: TableWriter, checkpoint: Checkpoint, state: StreamState
) -> Checkpoint | None:
    """The newest place known to be the same in the tables and in the stream; None when it is another stream."""
    if state.created_at != checkpoint.stream_created_at:
        return None
    newest = min(checkpoint.revision, state.last_sequence)
    good = await writer.journal.newest(newest, state.created_at)
    bad, step = newest + 1, 1
    while good and not await _agrees(client, good):
        bad, step = good.revision, 2 * step  # mostly little is lost
        good = await writer.journal.newest(bad - step, state.created_at)
    while good:
        middle = await writer.journal.newest((good.revision + bad) // 2, state.created_at)
        if middle is None or middle == good:
            break
        good, bad = (middle, bad) if await _agrees(client, middle) else (good, middle.revision)
    found = await message_at(client, good.revision) if good else None
    return Checkpoint(state.created_at, Revision(found.seq or 0), event_id(found.data or b"")) if found else None


async def go_back(
    client: Client, writer: TableWriter, checkpoint: Checkpoint, common: Checkpoint, times: ProjectorTimes
) -> Checkpoint:
    """Return the tables to `common`, and bring them to where the stream ends now, at once; return that checkpoint.

    Readers never see what is between: lost events are published again, and some of them are there already. The newest
    message of a subject may be none that counts: then its row has no state yet, and its earlier messages are read.
    Raises TimeoutError when the stream does not deliver what it had a moment ago.
    """
    subjects = {subject for c in PROJECTIONS for subject in _subjects(c, await writer.later_than(c, common.revision))}
    found = [await last_message(client, subject) for subject in sorted(subjects)]
    messages = [StreamMessage(m.seq or 0, m.subject or "", m.data or b"", 0) for m in found if m]
    kept = sorted(message for message in messages if message.sequence <= common.revision)
    last = (await stream_state(client)).last_sequence
    async with writer.transaction(), consume(client, after=common.revision) as consumer:
        checkpoint = await writer.rewind(checkpoint, common)
        if kept:
            await writer.restore(project(kept, await writer.epochs()).rows)
        progress = Progress(writer, checkpoint, await writer.epochs())
        while progress.checkpoint.revision < last:
            async with asyncio.timeout(times.event_seconds):
                messages = await consumer.next_batch()
            await progress.apply(messages)
        unconfirmed = {subject for c in PROJECTIONS for subject in _subjects(c, await writer.unconfirmed(c))}
        for subject in sorted(unconfirmed & {message.subject or "" for message in found if message}):
            await writer.restore(project(await _story(client, subject)).rows)
        removed = await writer.sweep()
    metrics.SWEPT.inc(removed)
    return progress.checkpoint


def _subjects(collection: str, rows: Sequence[Mapping[str, Any]]) -> set[str]:
    return {PROJECTIONS[collection].place(SimpleNamespace(**row)).subject for row in rows}


async def _story(client: Client, subject: str) -> list[StreamMessage]:
    """The messages of a subject, and those of its cluster, which begin the epochs, in their order."""
    subjects = {subject, ".".join(("summit.clusters", *subject.split(".")[2:4]))}
    return sorted([message for each in subjects async for message in replay(client, each)])


async def _agrees(client: Client, applied: AppliedEvent) -> bool:
    message = await message_at(client, applied.revision)
    if message is None:
        return False
    projection = PROJECTIONS[applied.collection]
    try:
        event = projection.decode(message.data or b"")
    except ValueError:
        return False
    found = (getattr(event.data, projection.key), event.type, event.time)
    return found == (applied.key, applied.type, applied.time)
