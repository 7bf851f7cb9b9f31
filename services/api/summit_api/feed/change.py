"""An event of the log as the feed needs it: what it is about, and the state as the JSON that was published.

Nothing is checked here: only what the tables have taken in is told, and the projector checks all it takes in.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Annotated, Any, NamedTuple

import msgspec

from summit_api.query.applied import KEYS
from summit_models.contract import Revision
from summit_models.event import REPETITIONS
from summit_runtime.nats.consumer import StreamMessage


class Change(NamedTuple):
    revision: Revision
    collection: str
    """Second token of the subject, which also is the name of the table."""
    key: str
    """Primary key of the row it is about."""
    type: str
    time: datetime
    source: str
    """Whose watcher says so, and under which epoch."""
    epoch: int
    data: dict[str, Any]


class _Event(msgspec.Struct):
    type: str
    time: Annotated[datetime, msgspec.Meta(tz=True)]
    data: dict[str, Any]
    source: str = ""
    epoch: int = 0


_decode = msgspec.json.Decoder(_Event).decode


def changes_in(messages: Iterable[StreamMessage]) -> Iterator[Change]:
    """The changes that messages of the log tell, in order. What repeats an unchanged state is none."""
    for message in messages:
        if change := _change(message):
            yield change


def _change(message: StreamMessage) -> Change | None:
    collection = message.subject.split(".", 2)[1]
    if collection not in KEYS:
        return None
    try:
        event = _decode(message.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # set aside by the projector, too
    key = event.data.get(KEYS[collection])
    if event.type in REPETITIONS or not isinstance(key, str):
        return None
    return Change(
        Revision(message.sequence), collection, key, event.type, event.time, event.source, event.epoch, event.data
    )
