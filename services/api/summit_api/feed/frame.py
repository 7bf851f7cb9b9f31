"""A message of the feed, made into JSON once for all clients, and what decides who gets to see it.

A change of a VM is told to each client as seen from its list: what enters the list was added, what leaves it was
removed. So a frame keeps both texts, and what filters look at before and after the change.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

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
    node_name: str | None = None
    guest_os: str | None = None
    ip: str | None = None
    ips: list[str] = []  # noqa: RUF012  never written to
    labels: dict[str, str] = {}  # noqa: RUF012  never written to
    managed: bool = True
    problems: list[str] = []  # noqa: RUF012  never written to


@dataclass(frozen=True, slots=True)
class Frame:
    """`before` and `after` are None where the thing did not, or does no longer, exist."""

    topic: Topic
    revision: Revision | None
    """None for what is not in the log: clients do not resume from it."""
    before: Facts | None
    after: Facts | None
    present: bytes
    """The message up to its verb, telling the state."""
    gone: bytes
    """The message up to its verb, telling of the end."""

    def told(self, verb: Verb) -> bytes:
        return (self.gone if verb is Verb.REMOVED else self.present) + _ENDS[verb]

    @property
    def size(self) -> int:
        return len(self.present) + len(self.gone) + _OBJECTS_BYTES


_ENDS = {verb: f'{verb}"}}\n\n'.encode() for verb in Verb}
_OBJECTS_BYTES = 1000
"""Of a frame but for its texts, roughly."""

HEARTBEAT = b": heartbeat\n\n"
HELLO = b'retry: 3000\nevent: hello\ndata: {"msg":"connected"}\n\n'
"""Named, as the original's. A browser that loses the connection waits 3 s: reconnecting fleets spread by themselves."""


def unfinished(kind: str, payload: Payload, *, time: datetime, revision: Revision | None = None) -> bytes:
    """A message without the verb and the end of its type, in the original's order of members."""
    head = b"" if revision is None else b"id: %d\n" % revision
    stamp = time.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00").encode()
    return b'%sdata: {"payload":%s,"timestamp":"%sZ","type":"%s:' % (head, _encode(payload), stamp, kind.encode())


def message(type_: str, payload: Payload, *, time: datetime, revision: Revision | None = None) -> bytes:
    """A whole message for one client. JSON text has no line break, so it is one `data` line."""
    kind, _, verb = type_.partition(":")
    text = unfinished(kind, payload, time=time, revision=revision)
    return (text if verb else text[:-1]) + verb.encode() + b'"}\n\n'


def bookmark(revision: Revision) -> bytes:
    """How far the feed is, named so that only who asks for bookmarks sees it; a browser remembers its id.

    An id alone would do for browsers, but some libraries hand on a message without data for it (httpx2 2.16).
    """
    return b'id: %d\nevent: bookmark\ndata: {"revision":%d}\n\n' % (revision, revision)


_encode = msgspec.json.Encoder().encode
