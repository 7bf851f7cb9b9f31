"""The running cluster watchers: those of the clusters that this watcher has, also while somebody edits the file."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from summit_models.contract import ClusterName
from summit_models.watcher import Place
from summit_runtime.backoff import Backoff
from summit_runtime.condition import Condition
from summit_runtime.own_thread import OwnThread
from summit_runtime.process import supervised
from summit_runtime.waiting import end
from summit_runtime.watched_files import WatchedFiles
from summit_watcher import metrics
from summit_watcher.cluster import ClusterWatcher, HasLease
from summit_watcher.config.datacenters import ClusterConfig, Configuration, DatacenterConfig, Mistake, load
from summit_watcher.log.retirement import AT_ONCE
from summit_watcher.settings import WatcherTimes

logger = logging.getLogger("summit.watcher")


async def configurations(path: Path, times: WatcherTimes) -> AsyncGenerator[Configuration]:
    """The configuration in a file, and each later one that can be used, for ever.

    A changed file that cannot be read or declares nothing is logged and skipped: half a saved file must not stop
    all watchers. It is read in a thread, because its file system may be away.
    """
    thread = OwnThread("datacenters.yaml")
    files = WatchedFiles(thread, times.files)
    try:
        yield await _read(path, files, thread, times)
        while True:
            await files.changed()
            configuration = await _read(path, files, thread, times)
            if configuration.datacenters:
                logger.info("%s has changed", path)
                yield configuration
            else:
                for mistake in configuration.mistakes or (_nothing(path),):
                    logger.error("%s; the former configuration stays in use", mistake)
    finally:
        thread.end()


def _nothing(path: Path) -> Mistake:
    return Mistake(path, 0, "it declares no datacenter, and a watcher that starts with it watches nothing")


async def _read(path: Path, files: WatchedFiles, thread: OwnThread, times: WatcherTimes) -> Configuration:
    """Read the file, however long its file system is away."""
    hanging = Condition(logger)

    def read() -> Configuration:
        files.note(path)
        return load(path)

    while True:
        try:
            configuration = await thread.run(read, times.credentials_seconds)
        except TimeoutError:
            hanging.holds("%s cannot be read within %g s: no change of it is used", path, times.credentials_seconds)
        else:
            hanging.ends("%s can be read again", path)
            return configuration


def chosen(configuration: Configuration, wanted: frozenset[str]) -> Sequence[DatacenterConfig]:
    """The datacenters to watch. Mistakes in the file and in the choice are logged, and affect only themselves."""
    for mistake in configuration.mistakes:
        logger.error("%s", mistake)
    for unknown in sorted(wanted - {datacenter.id for datacenter in configuration.datacenters}):
        logger.error("WATCHER_DATACENTERS names %r, which is not in the configuration: it is not watched", unknown)
    return [d for d in configuration.datacenters if not wanted or d.id in wanted]


class _Running(NamedTuple):
    config: ClusterConfig
    watcher: ClusterWatcher
    task: asyncio.Task[None]


@dataclass
class Supervisor:
    """One supervised task per cluster that this watcher has the lease of, in the caller's task group."""

    tasks: asyncio.TaskGroup
    make_watcher: Callable[[ClusterConfig, HasLease], ClusterWatcher]
    retire: Callable[[ClusterConfig], Awaitable[None]]
    times: WatcherTimes
    _configs: dict[Place, ClusterConfig] = field(default_factory=dict)
    """Of all declared clusters."""
    _ours: dict[Place, HasLease] = field(default_factory=dict)
    """Those that this watcher has the lease of."""
    _running: dict[Place, _Running] = field(default_factory=dict)
    _leaving: dict[Place, asyncio.Event] = field(default_factory=dict)
    """Clusters that are not declared any more, until they are retired."""
    _retiring: dict[Place, asyncio.Task[None]] = field(default_factory=dict)
    _retirements: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    _stops: bool = False

    @property
    def declared(self) -> AbstractSet[Place]:
        """The clusters that this watcher may have."""
        return self._configs.keys()

    def watches(self, name: ClusterName) -> bool:
        """Whether a cluster of this name is watched here."""
        return any(place.cluster == name for place in self._running)

    def untried(self) -> str | None:
        """The clusters that have neither answered nor failed to, as a sentence of the readiness probe; None: none."""
        names = [place.cluster for place, running in self._running.items() if not running.watcher.tried]
        return f"not tried yet: {', '.join(names)}" if names else None

    async def declare(self, datacenters: Sequence[DatacenterConfig], *, keep_missing: bool = False) -> None:
        """Note which clusters there are, and watch those again whose configuration has changed; `end` ends the others.

        With `keep_missing` none is removed: the file has mistakes, and a missing cluster may be one of them.
        """
        clusters = [cluster for datacenter in datacenters for cluster in datacenter.clusters]
        names = {cluster.name for cluster in clusters}
        kept = {place: c for place, c in self._configs.items() if keep_missing and place.cluster not in names}
        self._configs = {Place(cluster.datacenter, cluster.name): cluster for cluster in clusters} | kept
        self._note_leaving()
        running = self._running.items()
        changed = [place for place, run in running if self._configs.get(place, run.config) != run.config]
        await asyncio.gather(*map(self._end, changed))
        for place in changed:
            if has_lease := self._ours.get(place):
                self.begin(place, has_lease)

    def _note_leaving(self) -> None:
        """Note which of ours are to be retired, and which return before that has begun."""
        for place in self._ours.keys() - self._configs.keys():
            self._leaving.setdefault(place, asyncio.Event())
        for place in self._configs.keys() & self._leaving.keys() - self._retiring.keys():
            self._leaving.pop(place).set()

    async def retired(self) -> None:
        """Wait until the clusters that were removed so far are retired."""
        for left in list(self._leaving.values()):
            await left.wait()

    def begin(self, place: Place, has_lease: HasLease) -> None:
        """Watch a cluster whose lease this watcher has."""
        self._ours[place] = has_lease
        if (config := self._configs.get(place)) and place not in self._running:
            watcher = self.make_watcher(config, has_lease)
            work = self._watch(watcher)
            self._running[place] = _Running(config, watcher, self.tasks.create_task(work, name=f"cluster {place}"))

    async def end(self, place: Place, *, retires: bool) -> None:
        """End the watch of a cluster, and retire it if that is wanted, and it is not declared any more."""
        del self._ours[place]
        config = await self._end(place)
        if config and retires and place not in self._configs and not self._stops:
            self._retiring[place] = task = self.tasks.create_task(self._retire(config), name=f"retirement of {place}")
            await asyncio.wait({task})
            del self._retiring[place]
        if left := self._leaving.pop(place, None):
            left.set()

    async def stop(self) -> None:
        """Retire nothing any more, and end retirements where they are: the next start finishes those."""
        self._stops = True
        await asyncio.gather(*map(end, self._retiring.values()))

    async def _retire(self, config: ClusterConfig) -> None:
        async with self._retirements:
            what = f"retirement of cluster {config.name}"
            await supervised(what, lambda: self.retire(config), retry=Backoff())

    async def _watch(self, watcher: ClusterWatcher) -> None:
        """Watch a cluster until its lease is lost."""
        cluster = watcher.cluster
        logger.info("Starting watcher for cluster %s (datacenter: %s)", cluster.name, cluster.datacenter)
        what = f"watcher of cluster {cluster.name}"
        await supervised(what, watcher.run, retry=Backoff(), failed=watcher.failed)

    async def _end(self, place: Place) -> ClusterConfig | None:
        """End the watch of a cluster, and return how it was configured; None if it was not watched."""
        if (running := self._running.pop(place, None)) is None:
            return None
        await end(running.task, again_seconds=self.times.end_seconds)
        metrics.forget_cluster(place.cluster)
        return running.config
