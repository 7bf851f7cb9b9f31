"""A consumer of a list-watch for tests: keeps the set of objects as Init … InitDone say, and all that was told."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from summit_models.cluster import ConnectionState
from summit_watcher.kube.connection import ClusterConnection
from summit_watcher.kube.resources import VIRTUAL_MACHINES, Resource
from summit_watcher.listwatch.events import Apply, Delete, Init, InitApply, InitDone
from summit_watcher.listwatch.listwatch import NEWEST, ListWatch
from summit_watcher.listwatch.state import Listing
from summit_watcher.settings import TIMES, WatcherTimes


@asynccontextmanager
async def following(connection: ClusterConnection) -> AsyncIterator[ClusterConnection]:
    """The connection, looking at its files as long as the block runs."""
    async with connection, asyncio.TaskGroup() as tasks:
        task = tasks.create_task(connection.follow_files())
        yield connection
        task.cancel()


class Mirror:
    """What a consumer knows. `deletes` are the uids that a list or a watch took away."""

    def __init__(self) -> None:
        self.objects: dict[str, str] = {}
        self.told: list[Any] = []
        self.deletes: list[str] = []
        self.states: list[ConnectionState] = []
        self.reason: str | None = None
        self._listing: dict[str, str] = {}

    async def __call__(self, events: Sequence[Any]) -> None:
        assert events, "a sink is told something, or nothing"
        for event in events:
            self.told.append(event)
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

    def on_state(self, _: str, state: ConnectionState, reason: str | None) -> None:
        self.states.append(state)
        self.reason = reason

    @property
    def state(self) -> ConnectionState:
        return self.states[-1] if self.states else ConnectionState.STARTING

    def count(self, kind: type) -> int:
        return sum(isinstance(event, kind) for event in self.told)

    def deletions(self) -> tuple[int, int]:
        return len(self.objects), len(self.objects.keys() - self._listing.keys())


@asynccontextmanager
async def mirrored(
    connection: ClusterConnection,
    times: WatcherTimes = TIMES,
    *,
    resource: Resource[Any] = VIRTUAL_MACHINES,
    start: Listing = NEWEST,
    seen: str = "",
) -> AsyncIterator[Mirror]:
    """Run a list-watch into a mirror while the block runs; what it raises ends the block."""
    mirror = Mirror()
    listwatch = ListWatch(connection, resource, on_state=mirror.on_state, deletions=mirror.deletions, times=times)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(listwatch.run(mirror, start, seen=seen))
        yield mirror
        task.cancel()
