"""A message of the feed, made into JSON once for all clients, and what decides who gets to see it.

A change of a VM is told to each client as seen from its list: what enters the list was added, what leaves it was
removed. So a frame keeps the parts of all three messages, and what filters look at before and after the change.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from summit_api.query.position import Position
from summit_models.contract import ClusterName, DatacenterId, Revision

Payload = dict[str, Any]


class Topic(StrEnum):
    """What a message is about; `types=` selects by it."""

    VM = "vm"
    MIGRATION = "migration"
    CLUSTER = "cluster"
    DATACENTER = "datacenter"
    TEST = "test"


class Verb(StrEnum):
    ADDED = "added"
    UPDATED = "updated"
    REMOVED = "removed"
    EVENT = "event"
    """Of a test: nothing was added, changed or removed."""


class Facts(NamedTuple):
    """What filters and scopes look at in a thing. A thing that is no VM has its place only."""

    datacenter: DatacenterId
    cluster: ClusterName | None = None
    namespace: str | None = None
    name: str = ""
    status: str = ""
    managed: bool = True
    node_name: str | None = None
    guest_os: str | None = None
    ip: str | None = None
    ips: list[str] = []  # noqa: RUF012  never written to
    labels: dict[str, str] = {}  # noqa: RUF012  never written to
    problems: list[str] = []  # noqa: RUF012  never written to


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """`before` and `after` are None where the thing did not, or does no longer, exist."""

    topic: Topic
    revision: Revision | None
    """None for what is not in the log: clients do not resume from it."""
    before: Facts | None
    after: Facts | None
    head: bytes
    present: bytes
    """The payload that tells the state, without its closing brace."""
    changes: bytes
    """One more member, with old values: not for who did not see them."""
    gone: bytes
    """The payload that tells of the end, without its closing brace."""
    tail: bytes

    def told(self, verb: Verb) -> bytes:
        """The whole message."""
        body = self.gone if verb is Verb.REMOVED else self.present
        changes = self.changes if verb is Verb.UPDATED else b""
        return b"".join((self.head, body, changes, self.tail, _ENDS[verb]))

    @property
    def size(self) -> int:
        return len(self.present) + len(self.changes) + len(self.gone) + _OBJECTS_BYTES


def frame(
    topic: Topic,
    kind: str,
    present: Payload,
    *,
    time: datetime,
    position: Position | None = None,
    before: Facts | None,
    after: Facts | None,
    changes: Payload | None = None,
    gone: Payload | None = None,
) -> Frame:
    """A frame whose messages are of the types `kind:added` and so on. `gone` is `present` unless it is given."""
    told = _encode(present)[:-1]
    return Frame(
        topic=topic,
        revision=position and position.revision,
        before=before,
        after=after,
        head=_head(position),
        present=told,
        changes=b"" if changes is None else b',"changes":' + _encode(changes),
        gone=told if gone is None else _encode(gone)[:-1],
        tail=_tail(time, f"{kind}:"),
    )


def message(type_: str, payload: Payload, *, time: datetime, position: Position | None = None) -> bytes:
    """A message for one client, in the original's order of members. JSON has no line break: it is one `data` line."""
    return b"".join((_head(position), _encode(payload)[:-1], _tail(time, type_), b'"}\n\n'))


def bookmark(position: Position) -> bytes:
    """How far the feed is, named so that only who asks for bookmarks sees it; a browser remembers its id.

    An id alone would do for browsers, but some libraries hand on a message without data for it (httpx2 2.16).
    """
    return f'id: {position}\nevent: bookmark\ndata: {{"revision":{position.revision}}}\n\n'.encode()


def _head(position: Position | None) -> bytes:
    return b'data: {"payload":' if position is None else f'id: {position}\ndata: {{"payload":'.encode()


def _tail(time: datetime, type_: str) -> bytes:
    stamp = time.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
    return f'}},"timestamp":"{stamp}Z","type":"{type_}'.encode()


_encode = msgspec.json.Encoder().encode
_ENDS = {verb: f'{verb}"}}\n\n'.encode() for verb in Verb}
_OBJECTS_BYTES = 1000
"""Of a frame but for its texts, roughly."""

HEARTBEAT = b": heartbeat\n\n"
HELLO = b'retry: 3000\nevent: hello\ndata: {"msg":"connected"}\n\n'
"""Named, as the original's. A browser that loses the connection waits 3 s: reconnecting fleets spread by themselves."""
