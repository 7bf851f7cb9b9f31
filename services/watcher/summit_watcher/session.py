"""One epoch of one cluster: its list-watches feed one inventory, and what changes in it is published.

Everything happens in one task group, so a cluster fails, waits and starts again by itself.
"""

import asyncio
import contextlib
import gc
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError

from summit_models.cluster import ConnectionState
from summit_runtime.nats.publisher import Publisher
from summit_watcher.activity import ActivityLog
from summit_watcher.config.datacenters import ClusterConfig
from summit_watcher.inventory.diff import Diff
from summit_watcher.inventory.events import Outgoing
from summit_watcher.inventory.published import Published
from summit_watcher.kube.connection import ClusterConnection
from summit_watcher.kube.errors import WatcherError
from summit_watcher.kube.identity import Identity
from summit_watcher.kube.resources import WATCHED, Resource
from summit_watcher.listwatch.events import Init, InitApply, InitDone, ListWatchEvent
from summit_watcher.listwatch.listwatch import ListWatch
from summit_watcher.listwatch.queue import EventQueue
from summit_watcher.log.cluster_events import ClusterEvents, SupersededError
from summit_watcher.log.epoch import Epoch
from summit_watcher.log.health import HealthReporter, Vitals
from summit_watcher.log.positions import Checkpoint, Start
from summit_watcher.metrics import EVENTS_PUBLISHED, RELIST_DRIFT
from summit_watcher.settings import WatcherTimes

logger = logging.getLogger("summit.watcher")

EVENTS_A_TURN = 64
"""About 5 ms: then the other clusters have their turn."""

_UNAVAILABLE = frozenset({ConnectionState.FORBIDDEN, ConnectionState.CRD_MISSING})
"""A person must act before such a resource can be read: the others do not wait for it."""
_TRYING = frozenset({ConnectionState.STARTING, ConnectionState.LISTING})


@dataclass(kw_only=True)
class Session:
    """Watches one cluster under one epoch while `run` runs. `on_tried`: it has answered, or has failed to."""

    cluster: ClusterConfig
    connection: ClusterConnection
    client: Client
    publisher: Publisher
    activity: ActivityLog
    times: WatcherTimes
    epoch: Epoch
    events: ClusterEvents
    published: Published
    starts: Mapping[str, Start]
    """How the list-watch of each resource begins."""
    on_tried: Callable[[], None]

    def __post_init__(self) -> None:
        self._diff = Diff(self.published)
        self._lane = self.publisher.cluster_queue(self.cluster.datacenter, self.cluster.name)
        self._queue = EventQueue(self._take, patience_seconds=self.times.patience_seconds)
        self._checkpoint = Checkpoint({plural: start.seen for plural, start in self.starts.items() if start.seen})
        self._identity = Identity(self.connection, self.epoch.identity, self.cluster.identity)
        self._streams = {resource.plural: self._list_watch(resource) for resource in WATCHED}
        self._health = HealthReporter(
            self.epoch,
            events=self.events,
            checkpoint=self._checkpoint,
            resources=list(self._streams),
            vitals=self._vitals,
            connection=self.connection,
            waiting=self._waiting,
            times=self.times,
        )
        self._in_turn = asyncio.Lock()
        """Held while a change is taken in and told: five list-watches share one picture."""
        self._complete = asyncio.Event()
        """The first lists are in: from here on changes are told as they come."""
        self._poked = asyncio.Event()
        self._synced = asyncio.Event()

    async def run(self) -> None:
        """Watch for ever. Raises, in a group, HistoryEndedError or SupersededError when this epoch has ended."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.connection.follow_files())
                tasks.create_task(self._queue.run())
                tasks.create_task(self._health.run(self.client))
                tasks.create_task(self._note_what_is_stored())
                tasks.create_task(self._repeat_unchanged())
                tasks.create_task(self._publish_when_poked())
                tasks.create_task(self._ask_version())
                for resource in WATCHED:
                    start = self.starts[resource.plural]
                    sink = partial(self._offer, resource)
                    watching = self._streams[resource.plural].run(sink, start.listing, seen=start.seen)
                    tasks.create_task(watching, name=f"{self.cluster.name} {resource.plural}")
        finally:
            await self._say_how_far()

    async def _note_what_is_stored(self) -> None:
        while True:
            await asyncio.sleep(self.times.checkpoint_seconds)
            known, has_stale_events = self._checkpoint.stored.keys(), self.published.has_stale_events
            await self._checkpoint.advance(self._lane)
            if not has_stale_events:
                self.events.drop_earlier_starts()
            if self._checkpoint.stored.keys() != known:  # a first position is worth more than a newer one
                await self._health.beat(self.client)

    async def _say_how_far(self) -> None:
        """At the end, so that the next watcher goes on from here; what is not stored by then it finds out itself."""
        with contextlib.suppress(SupersededError, NatsError, TimeoutError):
            async with asyncio.timeout(self.times.last_checkpoint_seconds):
                await self._checkpoint.advance(self._lane)
                await self.events.confirm()
                await self._health.beat(self.client)

    def _list_watch(self, resource: Resource[Any]) -> ListWatch[Any]:
        listwatch = ListWatch(
            self.connection,
            resource,
            on_state=partial(self._on_state, resource),
            deletions=partial(self._diff.deletions, resource),
            confirm=self._confirm,
            times=self.times,
        )
        listwatch.last_contact = self.starts[resource.plural].last_contact
        return listwatch

    async def _confirm(self, again: bool) -> None:
        await self._identity.confirm(again=again)
        self._health.set_identity(self._identity.known)

    def _vitals(self, resource: str) -> Vitals:
        stream = self._streams[resource]
        known = self._diff.cache.store_of(stream.resource)
        objects = len(known.items) if known.listed else None
        return Vitals(stream.last_contact, stream.last_event, stream.last_sync, objects)

    def _waiting(self) -> int:
        return self._queue.waiting + self._checkpoint.waiting

    def _on_state(self, resource: Resource[Any], _: str, state: ConnectionState, reason: str | None) -> None:
        if state not in _TRYING:
            self.on_tried()
        self._health.set_state(resource.plural, state, reason)
        self._diff.cache.store_of(resource).unavailable = state in _UNAVAILABLE
        self._poked.set()
        if state is ConnectionState.SYNCED:
            self._synced.set()

    async def _offer(self, resource: Resource[Any], told: Sequence[ListWatchEvent[Any]]) -> None:
        """Queue what a list-watch told. Changes wait until the first lists are complete: before, none can be told."""
        if not isinstance(told[0], Init | InitApply | InitDone):
            await self._complete.wait()
        await self._queue.offer(resource, told)

    async def _take(self, resource: Resource[Any], told: Sequence[ListWatchEvent[Any]]) -> None:
        """Take in what a list-watch told and publish what follows from it."""
        async with self._in_turn:
            published = await self._publish(self._diff.follow(resource, told))
            self._checkpoint.reached(resource.plural, self._diff.cache.store_of(resource).version)
        self._see_whether_complete()
        match told[-1]:
            case InitDone(finds_drift=finds_drift):
                if finds_drift and published:
                    self._tell_drift(resource, published)
                self._after_list()

    def _see_whether_complete(self) -> None:
        if self._diff.complete:
            self._complete.set()

    def _tell_drift(self, resource: Resource[Any], count: int) -> None:
        RELIST_DRIFT.labels(self.cluster.name, resource.plural).inc(count)
        logger.warning(
            "cluster %s: the list of %s has shown %d changes that no watch had told",
            self.cluster.name,
            resource.plural,
            count,
            extra={"cluster": self.cluster.name, "resource": resource.plural},
        )

    async def _publish_changes(self) -> None:
        async with self._in_turn:
            await self._publish(self._diff.take_events())
        self._see_whether_complete()

    async def _publish_when_poked(self) -> None:
        """A resource that turns out to be unreadable is no longer waited for: what the others told is due."""
        while True:
            await self._poked.wait()
            self._poked.clear()
            await self._publish_changes()

    async def _ask_version(self) -> None:
        """Each time the cluster is there again: it may have been upgraded."""
        while True:
            await self._synced.wait()
            self._synced.clear()
            with contextlib.suppress(WatcherError):
                self._health.set_versions(
                    server=await self.connection.server_version(), kubevirt=await self.connection.kubevirt_version()
                )

    async def _publish(self, events: Iterable[Outgoing]) -> int:
        """Hand the events to the publisher, and tell how many they were."""
        published = Counter[str]()
        for number, event in enumerate(events, start=1):
            if number % EVENTS_A_TURN == 0:
                await asyncio.sleep(0)
            self.activity.tell(self.cluster, event)
            await self.publisher.publish(event.subject, event.body, event.id)
            published[event.type] += 1
        for kind, count in published.items():
            EVENTS_PUBLISHED.labels(self.cluster.name, kind).inc(count)
        self._checkpoint.handed_over(published.total())
        return published.total()

    def _after_list(self) -> None:
        """A list leaves thousands of objects that stay: take them out of the garbage collector's rounds."""
        gc.collect()
        gc.freeze()

    async def _repeat_unchanged(self) -> None:
        while True:
            await asyncio.sleep(self.times.observed_check_seconds)
            async with self._in_turn:
                await self._publish(self._diff.observed(self.times.observed_after))
