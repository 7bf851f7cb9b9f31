"""Leases: which watchers run, and which of them has which cluster, in the KV bucket `summit-leases`.

Each entry expires unless its watcher renews it, about every second. The server then puts a marker without a body in its
place, so those who follow the bucket learn within moments that a watcher is gone. A marker may be missed, for example
while the connection is replaced: an entry that nobody renews counts as gone here as well.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from nats.aio.client import Client
from nats.js.api import KeyValueConfig
from pydantic import ValidationError

from summit_models.subject import LEASE_BUCKET
from summit_models.watcher import Holder, Lease, Member, Place
from summit_runtime.nats.streams.consumer import Consumer, StreamMessage, consume
from summit_runtime.nats.streams.promises import Promises
from summit_runtime.steady import steady

logger = logging.getLogger("summit.nats")

LEASE_SECONDS = 3
"""After so long without a renewal an entry expires: two renewals may be late, and a dead watcher's clusters are watched
again within 5 s. The server counts whole seconds."""
UNSEEN_SECONDS = LEASE_SECONDS + 1.0
"""An entry that was not renewed for so long is gone, also without a marker; the server expires it up to 0.3 s late."""
MARKER_SECONDS = 60
"""How long the server keeps the marker of an expired entry."""

BUCKET = KeyValueConfig(bucket=LEASE_BUCKET, history=1, direct=True, limit_marker_ttl=MARKER_SECONDS)
"""With a history of one no older entry returns when the newest expires."""
STREAM = f"KV_{LEASE_BUCKET}"
"""The stream behind the bucket."""
PROMISES = Promises(
    stream=STREAM,
    what=f"the bucket {LEASE_BUCKET!r}",
    needed={"allow_msg_ttl": True, "subject_delete_marker_ttl": float(MARKER_SECONDS)},
    least_age_seconds=LEASE_SECONDS,
)

_NOT_IN_KEYS = re.compile(r"[^-/_=a-zA-Z0-9]")
_ROOT = f"$KV.{LEASE_BUCKET}."
_MEMBER, _CLUSTER = f"{_ROOT}member.", f"{_ROOT}cluster."


def member_subject(holder: Holder) -> str:
    """The subject under which the bucket keeps a watcher. A name of a host may have any character."""
    return f"{_MEMBER}{_NOT_IN_KEYS.sub('_', holder.watcher)}/{holder.run}"


def lease_subject(place: Place) -> str:
    """The subject under which the bucket keeps the lease of a cluster."""
    return f"{_CLUSTER}{place}"


class _Entry(NamedTuple):
    body: bytes
    holder: Member | Lease
    seen_at: float


class LeaseTable:
    """The entries of the bucket while `follow` runs."""

    def __init__(self, steady_time: Callable[[], float] = steady) -> None:
        self.changed = asyncio.Event()
        """Set, and replaced, when a holder comes, goes or changes; not when one renews."""
        self.is_read = False
        """The bucket was read to its end once."""
        self._steady = steady_time
        self._entries: dict[str, _Entry] = {}
        self._reader: Consumer | None = None

    async def follow(self, client: Client) -> None:
        """Read the bucket for ever; wait while the connection or the bucket is away."""
        async with consume(client, after=None, filter_subject=f"{_ROOT}>", stream=STREAM) as consumer:
            self._reader = consumer
            if not (await consumer.open()).initial_pending:
                self._note_read()
            while True:
                for message in await consumer.next_batch():
                    self.take_in(message)

    def members(self) -> list[Member]:
        """The watchers that run, oldest first."""
        found = [holder for _, holder in self._living() if isinstance(holder, Member)]
        return sorted(found, key=lambda member: (member.since, member.run))

    def leases(self) -> Mapping[Place, Lease]:
        """Who has which cluster."""
        return {
            Place.of(subject.removeprefix(_CLUSTER)): holder
            for subject, holder in self._living()
            if isinstance(holder, Lease)
        }

    def lease(self, place: Place) -> Lease | None:
        """Who has this cluster; None: nobody."""
        entry = self._entries.get(lease_subject(place))
        return entry.holder if entry and isinstance(entry.holder, Lease) and self._is_living(entry) else None

    def _living(self) -> list[tuple[str, Member | Lease]]:
        return [(subject, entry.holder) for subject, entry in self._entries.items() if self._is_living(entry)]

    def _is_living(self, entry: _Entry) -> bool:
        """While nothing arrives nobody knows who renews: then all is as it was last."""
        known_until = self._reader.heard_at if self._reader else self._steady()
        return entry.seen_at >= known_until - UNSEEN_SECONDS

    def take_in(self, message: StreamMessage) -> None:
        """Take in one message of the bucket."""
        now, before = self._steady(), self._entries.get(message.subject)
        if before and before.body == message.body:
            self._entries[message.subject] = before._replace(seen_at=now)
        elif holder := _read(message):
            self._entries[message.subject] = _Entry(message.body, holder, now)
            self.notify()
        elif before:
            del self._entries[message.subject]
            self.notify()
        if not message.pending and not self.is_read:
            self._note_read()

    def _note_read(self) -> None:
        self.is_read = True
        self.notify()

    def notify(self) -> None:
        """Wake up those who wait for a change."""
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


def _read(message: StreamMessage) -> Member | Lease | None:
    """The holder in an entry; None for one that has expired or was deleted, and for anything else."""
    if not message.body:
        return None
    model = Member if message.subject.startswith(_MEMBER) else Lease
    try:
        return model.model_validate_json(message.body)
    except ValidationError as error:
        logger.debug("an entry of bucket %s is neither a watcher nor a lease: %s", LEASE_BUCKET, error)
        return None
