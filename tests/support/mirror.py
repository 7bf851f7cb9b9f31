"""A consumer of a list-watch for tests: keeps the objects between Init and InitDone, and all events it received."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from summit_models.cluster import ConnectionState
from summit_runtime.nats.connection.clock import Clock
from summit_watcher.kube.connection import ClusterConnection
from summit_watcher.kube.resources import VIRTUAL_MACHINES, Resource
from summit_watcher.listwatch.events import Apply, Delete, Init, InitApply, InitDone
from summit_watcher.listwatch.listwatch import ListWatch
from summit_watcher.listwatch.page_slots import PageSlots
from summit_watcher.listwatch.state import Listing
from summit_watcher.listwatch.status import ClusterStatus
from summit_watcher.listwatch.watch import WatchedResource
from summit_watcher.settings import TIMES, WatcherTimes

NEWEST = Listing()


@asynccontextmanager
async def following(connection: ClusterConnection) -> AsyncIterator[ClusterConnection]:
    """The connection, looking at its files as long as the block runs."""
    async with connection, asyncio.TaskGroup() as tasks:
        task = tasks.create_task(connection.follow_files())
        yield connection
        task.cancel()


class Mirror(ClusterStatus):
    """The objects that a consumer knows, and each state of the list-watch.

    `deletes` are the uids that a list or a watch took away.
    """

    def __init__(self, connection: ClusterConnection, resource: Resource[Any]) -> None:
        super().__init__(connection.name, [resource], Clock().now)
        self.objects: dict[str, str] = {}
        self.also_known = 0
        """Objects that a test takes for known."""
        self.received: list[Any] = []
        self.deletes: list[str] = []
        self.states: list[ConnectionState] = []
        self._listing: dict[str, str] = {}

    async def __call__(self, events: Sequence[Any]) -> None:
        assert events, "a sink gets some events, or is not called"
        for event in events:
            self.received.append(event)
            match event:
                case Init():
                    self._listing = {}
                case InitApply(object=thing):
                    self._listing[thing.metadata.uid] = thing.metadata.resource_version
                case InitDone():
                    self.deletes += self.objects.keys() - self._listing.keys()
                    self.objects = self._listing
                case Apply(object=thing):
                    self.objects[thing.metadata.uid] = thing.metadata.resource_version
                case Delete(object=thing):
                    self.deletes.append(thing.metadata.uid)
                    del self.objects[thing.metadata.uid]

    def notify(self) -> None:
        self.states.append(self.state)
        super().notify()

    @property
    def state(self) -> ConnectionState:
        return next(iter(self)).state

    @property
    def reason(self) -> str | None:
        return next(iter(self)).reason

    def count(self, kind: type) -> int:
        return sum(isinstance(event, kind) for event in self.received)

    def deletions(self) -> tuple[int, int]:
        return len(self.objects), len(self.objects.keys() - self._listing.keys())


async def is_right_cluster(*, again: bool) -> None:
    """Ask nobody: tests count the requests of the list-watch alone."""


@asynccontextmanager
async def mirrored(
    connection: ClusterConnection,
    times: WatcherTimes = TIMES,
    *,
    resource: Resource[Any] = VIRTUAL_MACHINES,
    start: Listing = NEWEST,
) -> AsyncIterator[Mirror]:
    """Run a list-watch into a mirror while the block runs; what it raises ends the block."""
    mirror = Mirror(connection, resource)
    watched = WatchedResource(
        connection=connection,
        resource=resource,
        sink=mirror,
        page_slots=PageSlots(times.slow_page_seconds),
        deletions=mirror.deletions,
        known=lambda: len(mirror.objects) + mirror.also_known,
        status=mirror[resource],
        times=times,
    )
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(ListWatch(watched, is_right_cluster).run(start))
        yield mirror
        task.cancel()
