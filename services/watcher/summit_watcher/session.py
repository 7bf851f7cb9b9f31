"""One epoch of one cluster: its list-watches fill the event queue, and the session publishes what follows from it.

A watch line takes this way: list-watch → event queue → `_publish_received` → diff → publisher. Whatever else needs to
know how the list-watches are (health, readiness, the diff) reads their status. All of it runs in one task group, so a
cluster fails, waits and starts again by itself.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from nats.errors import Error as NatsError

from summit_models.cluster import ConnectionState
from summit_runtime import garbage, tracing
from summit_runtime.nats.connection.bus import EventClient
from summit_runtime.nats.publishing.publisher import Publisher
from summit_runtime.nats.streams.repeating import repeat_after
from summit_runtime.waiting import uncancelled, wait
from summit_watcher.activity import ActivityLog
from summit_watcher.cluster_log import ClusterLog
from summit_watcher.config.datacenters import ClusterConfig
from summit_watcher.inventory.diff import Diff, Outgoing
from summit_watcher.inventory.kinds import VM_KIND
from summit_watcher.inventory.lost_addresses import LostAddresses
from summit_watcher.inventory.published import Published
from summit_watcher.inventory.stuck_migrations import StuckMigrations
from summit_watcher.kube.connection import ClusterConnection
from summit_watcher.kube.errors import DroppedError
from summit_watcher.kube.identity import Identities, Identity
from summit_watcher.kube.resources import WATCHED, Resource
from summit_watcher.kube.rights.known_rights import KnownRights
from summit_watcher.listwatch.events import InitDone
from summit_watcher.listwatch.listwatch import ListWatch
from summit_watcher.listwatch.page_slots import PageSlots
from summit_watcher.listwatch.queue import EventQueue, Part
from summit_watcher.listwatch.status import ClusterStatus
from summit_watcher.listwatch.watch import WatchedResource
from summit_watcher.log.epoch import ClusterEvents, EpochLostError, SupersededError
from summit_watcher.log.health import HealthReporter
from summit_watcher.log.positions import Checkpoint, Start
from summit_watcher.metrics import count_published
from summit_watcher.operations.executor import Executor
from summit_watcher.operations.feed import OperationFeed
from summit_watcher.settings import WatcherTimes

logger = logging.getLogger("summit.watcher")

EVENTS_A_TURN = 64
"""To look at and publish so many takes about 5 ms; then the events of other clusters follow."""

_UNAVAILABLE = frozenset({ConnectionState.FORBIDDEN, ConnectionState.CRD_MISSING})
"""A person must act before such a resource can be read: the others do not wait for it. For sizes and progress, which
others add to a VM, they do not wait long either."""


@dataclass(kw_only=True)
class Session:
    """Watches one cluster under one epoch while `run` runs."""

    cluster: ClusterConfig
    connection: ClusterConnection
    client: EventClient
    publisher: Publisher
    activity: ActivityLog
    log: ClusterLog
    times: WatcherTimes
    page_slots: PageSlots
    identities: Identities
    operations: OperationFeed
    events: ClusterEvents
    published: Published
    starts: Mapping[str, Start]
    """How the list-watch of each resource begins."""

    def __post_init__(self) -> None:
        self.status = ClusterStatus(self.cluster.name, WATCHED, self.client.clock.now)
        self._lost_addresses = LostAddresses(self.times.lost_address_seconds)
        self._stuck = StuckMigrations(self.times.stuck_seconds)
        self._diff = Diff(self.published, self._lost_addresses, self._stuck, self.client.clock.now)
        self._in_turn = asyncio.Lock()
        """Held while events are made from the diff and handed over, as their order counts."""
        self._queue = EventQueue(self.times.patience_seconds)
        self._cluster_queue = self.publisher.cluster_queue(self.cluster.datacenter, self.cluster.name)
        seen = {plural: start.listing.seen for plural, start in self.starts.items()}
        self._checkpoint = Checkpoint({plural: version for plural, version in seen.items() if version})
        self._identity = Identity(
            self.connection,
            self.identities,
            self.events.epoch.identity,
            self.cluster.identity,
            patience_seconds=self.times.other_identities_seconds,
            found=self.status.notify,
        )
        self._rights = KnownRights(self.connection, self._namespaces, self.times, self.status.notify)
        self._executor = Executor(
            cluster=self.cluster.name,
            client=self.client,
            feed=self.operations,
            connection=self.connection,
            cache=self._diff.cache,
            is_known=self._shows_outcomes,
            forbidden=self._rights.review_again,
            times=self.times,
        )
        self._health = HealthReporter(
            clock=self.client.clock,
            events=self.events,
            status=self.status,
            cache=self._diff.cache,
            queue=self._queue,
            cluster_queue=self._cluster_queue,
            checkpoint=self._checkpoint,
            connection=self.connection,
            identity=self._identity,
            may=lambda: self._rights.may,
            times=self.times,
        )

    async def run(self) -> None:
        """Watch for ever. Raises, in a group, HistoryEndedError or SupersededError when this epoch has ended."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for work in (
                    self.connection.follow_files(),
                    self._publish_received(),
                    self._publish_what_waited(),
                    self._repeat_unchanged(),
                    self._publish_lost_addresses(),
                    self._publish_stuck_migrations(),
                    self._store_positions(),
                    self._health.run(self.client),
                    self._health.follow_versions(),
                    self._log_state(),
                    self._rights.follow(),
                    self._executor.run(),
                    *(self._list_watch(resource) for resource in WATCHED),
                ):
                    tasks.create_task(uncancelled(work))
        finally:
            await self._store_last_positions()
            garbage.collect_soon()  # what this session knew is in cycles

    async def _list_watch(self, resource: Resource[Any]) -> None:
        """Fill the event queue with what happens to a resource, for ever."""
        start, status = self.starts[resource.plural], self.status[resource]
        status.last_contact = start.last_contact
        watched = WatchedResource(
            connection=self.connection,
            resource=resource,
            sink=partial(self._queue.put, resource),
            page_slots=self.page_slots,
            deletions=partial(self._diff.deletions, resource),
            known=lambda: len(self._diff.cache.store_of(resource).items),
            status=status,
            times=self.times,
        )
        await ListWatch(watched, self._identity.confirm).run(start.listing)

    # Publishing

    async def _publish_received(self) -> None:
        """Publish what follows from the events of the list-watches, part by part, for ever."""
        while True:
            async with self._queue.take() as part:
                async with self._in_turn:
                    count = await self._publish(self._diff.follow(part.resource, part.events), part.read_ns)
                    self._note_reached(part.resource)
                self._executor.notice()
                self._count_drift(part, count)

    def _note_reached(self, *resources: Resource[Any]) -> None:
        """Note that the publisher has all events of these resources: not before the first lists of all are complete,
        since no event is made until then.
        """
        if self._diff.complete:
            for resource in resources:
                self._checkpoint.reached(resource.plural, self._diff.cache.store_of(resource).version)

    def _shows_outcomes(self) -> bool:
        """Whether the first lists of all that operations change are read, or cannot be had."""
        return self._diff.is_known and self._diff.cache.migrations.settled

    def _namespaces(self) -> list[str] | None:
        """Those with VMs; None before the first lists are known."""
        if not self._diff.is_known:
            return None
        cache = self._diff.cache
        return sorted({facts.namespace for store in (cache.vms, cache.vmis) for facts in store.items.values()})

    def _count_drift(self, part: Part, published: int) -> None:
        last = part.events[-1]
        if isinstance(last, InitDone) and last.finds_drift and published:
            self.status[part.resource].drifted(published)

    async def _publish_what_waited(self) -> None:
        """Publish what the other list-watches have brought when one resource turns out to be unreadable, for ever."""
        late_at = float("inf")
        while True:
            changed, now = self.status.changed, time.monotonic()
            if self._diff.is_known and late_at == float("inf"):
                late_at = now + self.times.first_lists_seconds
            for status in self.status:
                is_late = now >= late_at and status.resource in VM_KIND.joined_with
                self._diff.cache.store_of(status.resource).unavailable = status.state in _UNAVAILABLE or is_late
            async with self._in_turn:
                await self._publish(self._diff.take_events())
            await wait(changed, late_at - now if late_at > now else float("inf"))

    async def _repeat_unchanged(self) -> None:
        while True:
            await asyncio.sleep(self.times.observed_check_seconds)
            now, at_most = self.client.clock.now(), self.times.observed_after
            with contextlib.suppress(NatsError, TimeoutError):
                self._health.repeat_after = await repeat_after(self.client, now, at_most)
            async with self._in_turn:
                await self._publish(self._diff.observed(self._health.repeat_after))

    async def _publish_lost_addresses(self) -> None:
        """Publish the addresses that did not return, for ever: one look at all of them, and no timer for each."""
        while True:
            await self._lost_addresses.some.wait()
            await asyncio.sleep(self.times.lost_address_seconds / 2)
            async with self._in_turn:
                await self._publish(self._diff.take_lost_addresses())

    async def _publish_stuck_migrations(self) -> None:
        """Publish which migrations make no progress, for ever: one look at all of them while there are any."""
        while True:
            await self._stuck.some.wait()
            await asyncio.sleep(self.times.stuck_check_seconds)
            async with self._in_turn:
                await self._publish(self._diff.take_stuck_migrations())

    async def _publish(self, events: Iterable[Outgoing | None], read_ns: int | None = None) -> int:
        """Hand the events over to the publisher, and return how many they were.

        What a list-watch has brought may be traced, from `read_ns` on.
        """
        published, is_first_list = Counter[str](), not self._queue.is_open_for_watches
        for number, event in enumerate(events, start=1):
            if number % EVENTS_A_TURN == 0:
                await asyncio.sleep(0)
            if event is None:
                continue
            self.activity.log(event, is_first_list=is_first_list)
            span = tracing.begin("watch", start_ns=read_ns, subject=event.subject) if read_ns else None
            await self.publisher.publish(event.subject, event.body, event.id, span)
            published[event.type] += 1
        count_published(self.cluster.name, published)
        self._checkpoint.handed_over(published.total())
        if is_first_list and self._diff.complete:
            self._note_reached(*(status.resource for status in self.status))
            self._queue.open_for_watches()
        return published.total()

    async def _log_state(self) -> None:
        """Log the state of the cluster once it has stood for a moment, and what has happened to its VMs, for ever."""
        while True:
            changed = self.status.changed
            await asyncio.sleep(self.times.log_state_seconds)
            self.log.show(self._health.read(), len(self.published.of(VM_KIND.collection)))
            self.activity.summarize()
            await wait(changed, self.times.heartbeat_seconds)

    # Positions

    async def _store_positions(self) -> None:
        """Note up to where the log is complete, for ever; the heartbeats carry it."""
        while True:
            await asyncio.sleep(self.times.checkpoint_seconds)
            known, has_stale_events = self._checkpoint.stored.keys(), self.published.has_stale_events
            await self._checkpoint.advance(self._cluster_queue)
            if dropped := self._cluster_queue.dropped:
                raise DroppedError(len(dropped), self.published.event_bytes)
            if not has_stale_events:
                self.events.drop_earlier_starts()
            if self._checkpoint.stored.keys() != known:  # a first one is published at once
                await self._health.beat(self.client)

    async def _store_last_positions(self) -> None:
        """At the end, so that the next watcher goes on from here; it finds out by itself what is not stored by then."""
        with contextlib.suppress(EpochLostError, SupersededError, NatsError, TimeoutError):
            async with asyncio.timeout(self.times.last_checkpoint_seconds):
                await self._checkpoint.advance(self._cluster_queue)
                await self.events.confirm()
                await self._health.beat(self.client)
