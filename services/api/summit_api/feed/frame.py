"""A message of the feed, encoded once for all clients, and what decides which clients get it.

Each client gets a change of a VM as its own list shows it: a VM that enters the list was added, one that leaves it was
removed. So a frame keeps the parts of all three messages, and the state before and after the change for the filters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import msgspec

from summit_api.access.principal import Limit
from summit_api.query.transaction.position import Position
from summit_models.contract import Revision

Json = Mapping[str, Any]


class Topic(StrEnum):
    """The subject of a message; `types=` selects by it."""

    VM = "vm"
    MIGRATION = "migration"
    OPERATION = "operation"
    BULK_OPERATION = "bulk-operation"
    CLUSTER = "cluster"
    DATACENTER = "datacenter"
    TEST = "test"


class Verb(StrEnum):
    ADDED = "added"
    UPDATED = "updated"
    REMOVED = "removed"
    EVENT = "event"
    """A test: nothing was added, changed or removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """`before` and `after` are None where the object did not exist, or no longer exists."""

    topic: Topic
    revision: Revision | None
    """None for a message without a journal entry: clients do not resume from it."""
    before: Json | None
    after: Json | None
    """The state of a VM. Of other objects the members `datacenter`, `cluster` and `namespace`."""
    head: bytes
    present: bytes
    """The payload with the state, without its closing brace."""
    limited: Mapping[Limit, bytes]
    """The same for clients with a limit, where that hides something."""
    changes: bytes
    """One more member, with old values; not for clients that did not see them."""
    gone: bytes
    """The payload about the end, without its closing brace."""
    tail: bytes

    def message(self, verb: Verb, limit: Limit | None = None) -> bytes:
        present = self.present if limit is None else self.limited.get(limit, self.present)
        body = self.gone if verb is Verb.REMOVED else present
        changes = self.changes if verb is Verb.UPDATED else b""
        return b"".join((self.head, body, changes, self.tail, _ENDS[verb]))

    @property
    def size(self) -> int:
        return len(self.present) + len(self.changes) + len(self.gone) + _OBJECTS_BYTES


def frame(
    topic: Topic,
    kind: str,
    present: Json,
    *,
    time: datetime,
    position: Position | None = None,
    before: Json | None,
    after: Json | None,
    changes: Json | None = None,
    gone: Json | None = None,
    limited: Mapping[Limit, Json] = MappingProxyType({}),
) -> Frame:
    """A frame whose messages are of the types `kind:added` and so on.

    `gone`, and what clients with a limit get, are `present` unless they are given.
    """
    encoded = _encode(present)[:-1]
    return Frame(
        topic=topic,
        revision=position and position.revision,
        before=before,
        after=after,
        head=_head(position),
        present=encoded,
        changes=b"" if changes is None else b',"changes":' + _encode(changes),
        gone=encoded if gone is None else _encode(gone)[:-1],
        limited={limit: _encode(payload)[:-1] for limit, payload in limited.items()},
        tail=_tail(time, f"{kind}:"),
    )


def message(type_: str, payload: Json, *, time: datetime, position: Position | None = None) -> bytes:
    """A message for one client, in the original's order of members. JSON has no line break: it is one `data` line."""
    return b"".join((_head(position), _encode(payload)[:-1], _tail(time, type_), b'"}\n\n'))


def bookmark(position: Position) -> bytes:
    """How far the feed is. It has a name, so only clients that ask for it see it; a browser remembers its id.

    An id without data would do for browsers, but some libraries hand on such a message as well (httpx2 2.16).
    """
    return f'id: {position}\nevent: bookmark\ndata: {{"revision":{position.revision}}}\n\n'.encode()


def _head(position: Position | None) -> bytes:
    return b'data: {"payload":' if position is None else f'id: {position}\ndata: {{"payload":'.encode()


def _tail(time: datetime, type_: str) -> bytes:
    stamp = time.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
    return f'}},"timestamp":"{stamp}Z","type":"{type_}'.encode()


_encode = msgspec.json.Encoder().encode
_ENDS = {verb: f'{verb}"}}\n\n'.encode() for verb in Verb}
_OBJECTS_BYTES = 2500
"""The size of a frame without its texts, roughly: most of it is the state of a VM as Python objects."""

HEARTBEAT = b": heartbeat\n\n"
HELLO = b'retry: 3000\nevent: hello\ndata: {"msg":"connected"}\n\n'
"""Has a name, as the original's. A browser that loses the connection waits 3 s, so fleets of them do not reconnect at
once."""


class Cause(StrEnum):
    BEGUN = "begun"
    """The client came before the process could read the tables, and may have missed changes since."""
    REPLACED = "replaced"
    """The log was replaced, or the tables were rebuilt."""
    FUTURE = "future"
    """The client knows a revision that does not exist: of a log that was replaced, or of another system."""
    TOO_OLD = "too_old"
    """The journal does not reach back so far, or the client missed too much."""
    TOO_SLOW = "too_slow"
    """The client took changes more slowly than they happened."""
    BROKEN_OFF = "broken_off"
    """The client's snapshot could not be read to its end."""
