"""One cluster: its list-watches feed one inventory, and what changes in it is published.

Everything of a cluster happens in one task group, so a cluster fails, waits and starts again by itself.
"""

import asyncio
import contextlib
import gc
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from nats.aio.client import Client

from summit_models.cluster import ConnectionState
from summit_runtime.bus import MAX_AGE_SECONDS
from summit_runtime.publisher import Publisher
from summit_watcher.activity import ActivityLog
from summit_watcher.config import ClusterConfig
from summit_watcher.connection import ClusterConnection
from summit_watcher.epoch import Epoch, claim
from summit_watcher.errors import WatcherError
from summit_watcher.events import Outgoing
from summit_watcher.health import HealthReporter
from summit_watcher.intake import Intake
from summit_watcher.inventory import Inventory
from summit_watcher.ledger import Ledger
from summit_watcher.listwatch import ListWatch
from summit_watcher.listwatch_events import InitDone, ListWatchEvent
from summit_watcher.metrics import EVENTS_PUBLISHED
from summit_watcher.resources import WATCHED, Resource

logger = logging.getLogger("summit.watcher")

OBSERVED_AFTER = timedelta(seconds=MAX_AGE_SECONDS / 3)
"""A state that nothing has been said about for so long is repeated, well before it ages out of the log."""
OBSERVED_CHECK_SECONDS = 3600.0
EVENTS_A_TURN = 64
"""About 5 ms: then the other clusters have their turn."""

_UNAVAILABLE = frozenset({ConnectionState.FORBIDDEN, ConnectionState.CRD_MISSING})
"""A person must act before such a resource can be read: the others do not wait for it."""
_TRYING = frozenset({ConnectionState.STARTING, ConnectionState.LISTING})


class ClusterWatcher:
    """Watches one cluster while `run` runs."""

    def __init__(self, cluster: ClusterConfig, client: Client, publisher: Publisher, activity: ActivityLog) -> None:
        self._cluster = cluster
        self._client = client
        self._publisher = publisher
        self._activity = activity
        self._in_turn = asyncio.Lock()
        """Held while a change is taken in and told: five list-watches share one picture."""
        self._poked = asyncio.Event()
        self._synced = asyncio.Event()
        self.tried = False
        """The cluster has answered or has failed to: a process is ready when it has tried all of its clusters."""

    async def run(self) -> None:
        cluster = self._cluster
        logger.info("Starting watcher for cluster %s (datacenter: %s)", cluster.name, cluster.datacenter)
        epoch, ledger = await self._begin()
        self._inventory = Inventory(ledger)
        async with ClusterConnection(cluster.kubeconfig, cluster.context, name=cluster.name) as connection:
            self._connection = connection
            self._streams = {resource.plural: self._list_watch(resource) for resource in WATCHED}
            self._health = HealthReporter(epoch, list(self._streams), self._last_contact, lambda: connection.trouble)
            intake = Intake(self._take)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(connection.follow_files())
                tasks.create_task(intake.run())
                tasks.create_task(self._health.run(self._client, self._publisher))
                tasks.create_task(self._repeat_unchanged())
                tasks.create_task(self._publish_when_poked())
                tasks.create_task(self._ask_version())
                for resource in WATCHED:
                    sink = partial(intake.offer, resource)
                    tasks.create_task(
                        self._streams[resource.plural].run(sink), name=f"{cluster.name} {resource.plural}"
                    )

    async def _begin(self) -> tuple[Epoch, Ledger]:
        """Begin an epoch, and read back what the log says: all that the earlier ones have published is in it."""
        datacenter, name = self._cluster.datacenter, self._cluster.name
        await self._publisher.flush()  # else what a run before this one left in the queue came after our claim
        epoch = await claim(self._client, datacenter, name)
        ledger = Ledger(datacenter, name, epoch.number)
        await ledger.read(self._client)
        if ledger.newest_epoch >= epoch.number:
            epoch = await claim(self._client, datacenter, name, above=ledger.newest_epoch)
            ledger.epoch = epoch.number
        return epoch, ledger

    def _list_watch(self, resource: Resource[Any]) -> ListWatch[Any]:
        return ListWatch(
            self._connection,
            resource,
            on_state=partial(self._on_state, resource),
            deletions=partial(self._inventory.deletions, resource),
        )

    def _last_contact(self, resource: str) -> datetime | None:
        return self._streams[resource].last_contact

    def _on_state(self, resource: Resource[Any], _: str, state: ConnectionState, reason: str | None) -> None:
        self.tried = self.tried or state not in _TRYING
        self._health.set_state(resource.plural, state, reason)
        self._inventory.set_unavailable(resource, unavailable=state in _UNAVAILABLE)
        self._poked.set()
        if state is ConnectionState.SYNCED:
            self._synced.set()

    async def _take(self, resource: Resource[Any], told: Sequence[ListWatchEvent[Any]]) -> None:
        """Take in what a list-watch told and publish what follows from it."""
        async with self._in_turn:
            await self._publish(self._inventory.follow(resource, told))
        if any(isinstance(event, InitDone) for event in told):
            self._after_list()

    async def _publish_changes(self) -> None:
        async with self._in_turn:
            await self._publish(self._inventory.take_events())

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
                self._health.set_server_version(await self._connection.server_version())

    async def _publish(self, events: Iterable[Outgoing]) -> None:
        published = Counter[str]()
        for number, event in enumerate(events, start=1):
            if number % EVENTS_A_TURN == 0:
                await asyncio.sleep(0)
            self._activity.tell(self._cluster, event)
            await self._publisher.publish(event.subject, event.body, event.id)
            published[event.type] += 1
        for kind, count in published.items():
            EVENTS_PUBLISHED.labels(self._cluster.name, kind).inc(count)

    def _after_list(self) -> None:
        """A list leaves thousands of objects that stay: take them out of the garbage collector's rounds."""
        gc.collect()
        gc.freeze()

    async def _repeat_unchanged(self) -> None:
        while True:
            await asyncio.sleep(OBSERVED_CHECK_SECONDS)
            async with self._in_turn:
                await self._publish(self._inventory.observed(OBSERVED_AFTER))
