"""Positions: the resourceVersion of each resource up to which the log is complete. The next watcher continues there.

A position is stored with the heartbeat, in the KV bucket, when every event up to it is stored. After a kill between the
two the log is further ahead: each event names the resourceVersions it was made from, and events are stored in the order
in which their changes were read. So the greater of the two is the position, and no event is made twice.

The next watcher asks the API server for the state as of that resourceVersion, compares it with the log, and watches
from there. So it misses nothing, not even an object that came and went meanwhile. A server that does not have that
state any more answers 410.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from nats.aio.client import Client
from nats.errors import Error as NatsError

from summit_models.cluster import Heartbeat
from summit_runtime.nats.publishing.fair_queue import ClusterQueue
from summit_runtime.nats.streams import heartbeats
from summit_runtime.nats.streams.stored import message_at
from summit_watcher.listwatch.state import Listing, ListReason
from summit_watcher.log.epoch import Epoch
from summit_watcher.normalize.facts import number_of


class Start(NamedTuple):
    """How the list-watch of one resource begins."""

    listing: Listing
    last_contact: datetime | None = None
    """Last contact of the previous watcher."""


class Checkpoint:
    """Follows how far the log of one cluster is complete."""

    def __init__(self, stored: Mapping[str, str]) -> None:
        self.stored = stored
        """By resource the resourceVersion up to which all events are stored."""
        self._reached: dict[str, str] = {}
        self._handed_over = 0
        self._settled = 0

    def reached(self, resource: str, resource_version: int) -> None:
        """Note that the publisher has the events of all changes up to here. 0: the version is not a number."""
        if resource_version:
            self._reached[resource] = str(resource_version)

    @property
    def waiting(self) -> int:
        """How many events the publisher has that are not known to be stored."""
        return self._handed_over - self._settled

    def handed_over(self, events: int) -> None:
        self._handed_over += events

    async def advance(self, queue: ClusterQueue) -> None:
        """Wait until the publisher has stored its events, and note the position they reach."""
        reached, handed_over = dict(self._reached), self._handed_over
        await queue.flush()
        self.stored, self._settled = {**self.stored, **reached}, handed_over


async def last_heartbeat(client: Client, epoch: Epoch) -> Heartbeat | None:
    """The last heartbeat of the previous watcher in this history; None where there is no useful one.

    A heartbeat is useless if its watcher had lost the cluster by then: readers ignore the events its position is of.
    """
    try:
        stored = await heartbeats.last(client, epoch.datacenter, epoch.cluster)
        if stored is None or (heartbeat := stored.heartbeat) is None:
            return None
        following = next((start for start in epoch.starts if start.epoch > heartbeat.epoch), None)
        if following is None or heartbeat.epoch < epoch.history:
            return None
        next_began = await message_at(client, following.revision)
    except (NatsError, TimeoutError):
        return None
    if next_began is None:
        return None
    return heartbeat if stored.stored_at and next_began.time and stored.stored_at < next_began.time else None


def start(resource: str, heartbeat: Heartbeat | None, published: int, not_before: datetime) -> Start:
    """How to begin: as of the stored position if its last contact is not before that time, else with the newest list.

    `published` is the newest resourceVersion of the resource that the log shows.
    """
    last = next((r for r in heartbeat.resources if r.resource == resource), None) if heartbeat else None
    stored = number_of(last.resource_version or "") if last else 0
    seen = str(max(stored, published)) if stored or published else ""
    last_contact = last.last_contact if last else None
    is_fresh = last_contact is not None and last_contact > not_before
    listing = Listing(ListReason.RESUMED, at=seen, seen=seen) if stored and is_fresh else Listing(seen=seen)
    return Start(listing, last_contact)
