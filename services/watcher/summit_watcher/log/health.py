"""The health of a cluster's connection: an event when it changes, and a heartbeat in the KV bucket.

The bucket says when the last byte came from a cluster; fifty clusters would fill the log with that in a day. The log
keeps the changes of state, so that one can read later when a cluster was away and why.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter

from nats.aio.client import Client
from nats.errors import Error as NatsError

from summit_models.cluster import ClusterHealth, ConnectionState, Heartbeat, ResourceHealth
from summit_models.operation import Action
from summit_runtime.backoff import Backoff
from summit_runtime.nats.connection.clock import Clock
from summit_runtime.nats.publishing.append import NotStoredError
from summit_runtime.nats.publishing.fair_queue import ClusterQueue
from summit_runtime.nats.streams import heartbeats
from summit_runtime.waiting import wait
from summit_watcher import metrics
from summit_watcher.inventory.cluster_cache import ClusterCache
from summit_watcher.kube.connection import ClusterConnection
from summit_watcher.kube.errors import WatcherError
from summit_watcher.kube.failure import Failure
from summit_watcher.kube.identity import Identity
from summit_watcher.kube.resources import VIRTUAL_MACHINES, WATCHED
from summit_watcher.listwatch.queue import EventQueue
from summit_watcher.listwatch.status import ClusterStatus, ListWatchStatus
from summit_watcher.log.epoch import WATCHER, ClusterEvents
from summit_watcher.log.positions import Checkpoint
from summit_watcher.settings import WatcherTimes

_OPTIONAL_IN = {resource.plural: resource.optional_in for resource in WATCHED}


def overall(resources: Sequence[ResourceHealth], trouble: Failure | None = None) -> tuple[ConnectionState, str | None]:
    """The state of a cluster by those of its list-watches, and the reason of the one that explains it.

    `trouble` with NATS, or with new files or credentials, is the state while all list-watches still work.
    """
    if not (wrong := unwell(resources)):
        return (trouble.state, trouble.reason) if trouble else (ConnectionState.SYNCED, None)
    coming = {ConnectionState.STARTING, ConnectionState.LISTING}
    first = next((r for r in wrong if r.state not in coming), wrong[0])
    is_nothing_left = all(r in wrong for r in resources if not _OPTIONAL_IN[r.resource])
    if is_nothing_left or first.state in coming:
        return first.state, first.reason
    return ConnectionState.DEGRADED, f"{first.resource}: {first.reason or first.state}"


def unwell(resources: Iterable[ResourceHealth]) -> list[ResourceHealth]:
    """The list-watches that are neither synced nor optional in the state that they are in."""
    return [r for r in resources if r.state not in (ConnectionState.SYNCED, *_OPTIONAL_IN[r.resource])]


@dataclass(kw_only=True)
class HealthReporter:
    """Publishes the health of one cluster while `run` runs, read from whatever knows a part of it."""

    clock: Clock
    events: ClusterEvents
    status: ClusterStatus
    cache: ClusterCache
    queue: EventQueue
    cluster_queue: ClusterQueue
    checkpoint: Checkpoint
    connection: ClusterConnection
    identity: Identity
    may: Callable[[], frozenset[Action] | None]
    """The actions that the credentials allow."""
    times: WatcherTimes

    def __post_init__(self) -> None:
        self._state, self._since = ConnectionState.STARTING, self.clock.now()
        self.repeat_after = self.times.observed_after
        """Age at which the newest event of the cluster is repeated, as those of its VMs are."""
        self._server_version: str | None = None
        self._kubevirt_version: str | None = None

    def read(self) -> ClusterHealth:
        """The health now."""
        resources = [self._resource(status) for status in self.status]
        held_back = self._held_back()
        state, reason = overall(resources, held_back or self.connection.trouble)
        if state is not self._state:
            self._state, self._since = state, self.clock.now()
        health = ClusterHealth(
            name=self.events.epoch.cluster,
            datacenter=self.events.epoch.datacenter,
            state=state,
            since=self._since,
            reason=reason,
            server_version=self._server_version,
            identity=self.identity.known,
            duplicate_of=self.identity.duplicate_of,
            watcher=WATCHER,
            clock_offset_seconds=self.clock.offset_seconds,
            kubevirt_version=self._kubevirt_version,
            may=None if (may := self.may()) is None else [action for action in Action if action in may],
            credentials_expire_at=self.connection.credentials_expire_at,
            waiting_events=self.queue.waiting + self.checkpoint.waiting,
            last_contact=self._last_contact(is_held_back=held_back is not None),
            resources=resources,
        )
        metrics.set_cluster(health, stuck_migrations=len(self.cache.stuck))
        return health

    def _held_back(self) -> Failure | None:
        """The trouble of a cluster whose changes NATS does not store, while it may well take heartbeats.

        Its reason stays the same, since each other one would be an event.
        """
        late_seconds = self.times.late_seconds
        if self.cluster_queue.waited_seconds <= late_seconds:
            return None
        return Failure(ConnectionState.BACKPRESSURE, f"NATS has not stored its changes for {late_seconds:g} s and more")

    def _last_contact(self, *, is_held_back: bool) -> datetime | None:
        """Up to when readers may know the VMs: what they are shown becomes stale by it.

        The watch of VMs alone counts: while only instances are reported, the VMs may be out of date. So they are while
        their changes wait for NATS.
        """
        contact = self.status[VIRTUAL_MACHINES].last_contact
        if contact is None or not is_held_back:
            return contact
        return min(contact, self.clock.now() - timedelta(seconds=self.cluster_queue.waited_seconds))

    def _resource(self, status: ListWatchStatus) -> ResourceHealth:
        store = self.cache.store_of(status.resource)
        return ResourceHealth(
            resource=status.resource.plural,
            state=status.state,
            since=status.since,
            reason=status.reason,
            last_contact=status.last_contact,
            last_event=status.last_event,
            last_sync=status.last_sync,
            known_objects=len(store.items) if store.listed else None,
            resource_version=self.checkpoint.stored.get(status.resource.plural),
        )

    async def run(self, client: Client) -> None:
        """Publish changes as they come and heartbeats in between, for ever.

        Raises SupersededError when another watcher has the cluster, and EpochLostError when the log has lost our first
        event: readers ignore what this one publishes then.
        """
        published, published_at = _comparable(self.read()), self.clock.now()
        while True:
            changed = self.status.changed
            health, now = self.read(), self.clock.now()
            pause_seconds = self.times.heartbeat_seconds
            try:
                is_newest = await self.events.confirm()
                await self.beat(client)
                is_old = now - published_at > self.repeat_after
                if _comparable(health) != published or not is_newest or is_old:
                    await self.events.publish(health)
                    published, published_at = _comparable(health), now
            except (NotStoredError, NatsError, TimeoutError):
                pause_seconds = self.times.retry_health_seconds
            if await wait(changed, pause_seconds):
                await asyncio.sleep(self.times.settle_states_seconds)

    async def follow_versions(self) -> None:
        """Ask for the versions each time that a list-watch works again, for ever: there may have been an upgrade."""
        asked: set[tuple[str, datetime]] = set()
        backoff = Backoff(*self.times.retry)
        while True:
            changed = self.status.changed
            synced = {(s.resource.plural, s.since) for s in self.status if s.state is ConnectionState.SYNCED}
            if synced - asked and not await self._ask_versions():
                await asyncio.sleep(backoff.next_seconds())
                continue
            asked = synced
            backoff.reset()
            await changed.wait()

    async def _ask_versions(self) -> bool:
        """Note the versions as far as they are answered; return whether both were."""
        before = self._server_version, self._kubevirt_version
        answered = False
        with contextlib.suppress(WatcherError):
            self._server_version = await self.connection.server_version()
            self._kubevirt_version = await self.connection.kubevirt_version()
            answered = True
        if (self._server_version, self._kubevirt_version) != before:
            self.status.notify()
        return answered

    async def beat(self, client: Client) -> None:
        await heartbeats.write(client, Heartbeat(**dict(self.read()), epoch=self.events.epoch.number))


_compared = attrgetter("state", "since", "reason", "server_version", "kubevirt_version", "identity", "may")


def _comparable(health: ClusterHealth) -> tuple[object, ...]:
    """The part of the health that leads to an event when it changes; times of contact change every second."""
    resources = [(r.resource, r.state, r.since, r.reason) for r in health.resources]
    return *_compared(health), resources
