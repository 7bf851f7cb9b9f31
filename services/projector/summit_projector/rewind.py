"""Going back with a log that has lost its end, as after a power failure or a restore: only as far as it agrees.

The history tells how far that is: each line says what was applied under which revision. A log is append-only, so below
the newest line that it still has under the same number nothing has changed. Rows of later events are not believed any
more; each gets what the log now says last under its subject, at once, and the events from there on are applied again.
"""

from types import SimpleNamespace

from nats.aio.client import Client
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from summit_models.contract import Revision
from summit_models.event import STREAM
from summit_projector.history import HistoryLine
from summit_projector.project import event_id, project
from summit_projector.projections import PROJECTIONS
from summit_projector.store import Store
from summit_projector.stream_identity import Position
from summit_runtime.bus import StreamState
from summit_runtime.consumer import StreamMessage


async def common_position(client: Client, store: Store, position: Position, state: StreamState) -> Position | None:
    """The newest place known to be the same in the tables and in the log; None when it is another log."""
    if state.created_at != position.stream_created_at:
        return None
    newest = min(position.revision, state.last_sequence)
    good = await store.history.line(newest)
    bad, step = newest + 1, 1
    while good and not await _agrees(client, good):
        bad, step = good.revision, 2 * step  # what is lost is little, mostly
        good = await store.history.line(bad - step)
    while good and (middle := await store.history.line((good.revision + bad) // 2)) != good and middle:
        good, bad = (middle, bad) if await _agrees(client, middle) else (good, middle.revision)
    found = await _message(client, sequence=good.revision) if good else None
    return Position(state.created_at, Revision(found.seq or 0), event_id(found.data or b"")) if found else None


async def go_back(client: Client, store: Store, position: Position, common: Position) -> Position:
    """Return the tables to `common`, and rows of later events to what the log says last of their objects."""
    position = await store.rewind(position, common)
    subjects = {
        PROJECTIONS[collection].place(SimpleNamespace(**row)).subject
        for collection in PROJECTIONS
        for row in await store.unconfirmed(collection)
    }
    found = [await _message(client, subject=subject) for subject in sorted(subjects)]
    messages = [StreamMessage(m.seq or 0, m.subject or "", m.data or b"", 0) for m in found if m]
    if messages:
        await store.restore(project(sorted(messages)).rows)
    return position


async def _agrees(client: Client, line: HistoryLine) -> bool:
    message = await _message(client, sequence=line.revision)
    if message is None:
        return False
    try:
        event = PROJECTIONS["vms"].decode(message.data or b"")
    except ValueError:
        return False
    return (event.data.id, event.type, event.time) == (line.vm_id, line.type, line.observed_at)


async def _message(client: Client, *, sequence: int | None = None, subject: str | None = None) -> RawStreamMsg | None:
    """From the leader: another replica may be behind."""
    try:
        return await client.jetstream().get_msg(STREAM, seq=sequence, subject=subject)
    except NotFoundError:
        return None
