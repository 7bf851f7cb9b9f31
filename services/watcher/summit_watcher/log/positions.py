"""Up to which resourceVersion the log is complete, by resource: where the next watcher of a cluster goes on.

A position is stored, with the heartbeat in the KV bucket, when every event up to it is stored. The log itself may be
further ahead, after a kill between the two: each event names the resourceVersions it was made from, and what was read
before it was told before it. So the greater of the two is the position, and no event is ever made twice.

The next watcher asks the API server for the state as of that resourceVersion, compares it with the log, and watches on
from there: it has missed nothing, not even what came and went meanwhile. A server that has forgotten it answers 410.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from nats.aio.client import Client
from nats.errors import Error as NatsError

from summit_models.cluster import Heartbeat
from summit_models.subject import STREAM
from summit_runtime.nats import heartbeats
from summit_runtime.nats.fair_queue import ClusterQueue
from summit_watcher.listwatch.state import Listing, ListReason
from summit_watcher.log.epoch import Epoch
from summit_watcher.normalize import number_of

RESUME_WITHIN = timedelta(minutes=5)
"""etcd forgets what is older, and the API server's window for watches is shorter still: asking would be in vain."""


class Start(NamedTuple):
    """How the list-watch of one resource begins."""

    listing: Listing
    seen: str = ""
    """The newest resourceVersion known of: a server below it has gone backwards."""
    last_contact: datetime | None = None
    """Of the watcher before."""


class Checkpoint:
    """Follows how far the log of one cluster is complete."""

    def __init__(self, stored: Mapping[str, str]) -> None:
        self.stored = stored
        """By resource the resourceVersion up to which all events are stored."""
        self._reached: dict[str, str] = {}
        self._handed_over = 0
        self._settled = 0

    def reached(self, resource: str, resource_version: int) -> None:
        """Note that what was told up to here has been handed to the publisher. 0: it is not a number."""
        if resource_version:
            self._reached[resource] = str(resource_version)

    @property
    def waiting(self) -> int:
        """Events that were handed over and are not known to be stored."""
        return self._handed_over - self._settled

    def handed_over(self, events: int) -> None:
        self._handed_over += events

    async def advance(self, queue: ClusterQueue) -> None:
        """Wait until what was handed over is stored, and note it."""
        reached, handed_over = dict(self._reached), self._handed_over
        await queue.flush()
        self.stored, self._settled = {**self.stored, **reached}, handed_over


async def last_heartbeat(client: Client, epoch: Epoch) -> Heartbeat | None:
    """What the watcher before last said, of this history; None where there is nothing of use.

    One that had lost the cluster may have said something since: its position is that of events nobody has heard.
    """
    try:
        stored = await heartbeats.last(client, epoch.datacenter, epoch.cluster)
        if stored is None or (heartbeat := stored.heartbeat) is None:
            return None
        following = next((start for start in epoch.starts if start.epoch > heartbeat.epoch), None)
        if following is None or heartbeat.epoch < epoch.history:
            return None
        next_began = await client.jetstream().get_msg(STREAM, seq=following.revision, direct=True)
    except (NatsError, TimeoutError):
        return None
    return heartbeat if stored.stored_at and next_began.time and stored.stored_at < next_began.time else None


def start(resource: str, heartbeat: Heartbeat | None, told: int, now: datetime) -> Start:
    """How to begin: as of the stored position if that is young enough, else with the newest list.

    `told` is the newest resourceVersion of the resource that the log shows.
    """
    last = next((r for r in heartbeat.resources if r.resource == resource), None) if heartbeat else None
    stored = number_of(last.resource_version or "") if last else 0
    seen = str(max(stored, told)) if stored or told else ""
    last_contact = last.last_contact if last else None
    is_fresh = last_contact is not None and now - last_contact < RESUME_WITHIN
    return Start(Listing(ListReason.RESUMED, at=seen) if stored and is_fresh else Listing(), seen, last_contact)
