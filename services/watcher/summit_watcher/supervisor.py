"""The running cluster watchers: those of the clusters that this watcher has, also while somebody edits the file."""

import asyncio
import contextlib
import logging
import time
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
from summit_runtime.watched_files import WatchedFiles, is_readable
from summit_watcher import metrics
from summit_watcher.cluster import ClusterWatcher, HasLease
from summit_watcher.config.datacenters import ClusterConfig, Configuration, DatacenterConfig, Mistake, load
from summit_watcher.log.retirement import AT_ONCE
from summit_watcher.settings import WatcherTimes

logger = logging.getLogger("summit.watcher")


_UNREADABLE = "cluster %s: kubeconfig %s cannot be read here; a watcher that can read its own gets the cluster"


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
    begun_at: float


@dataclass
class Supervisor:
    """One supervised task per cluster that this watcher has the lease of, in the caller's task group."""

    tasks: asyncio.TaskGroup
    make_watcher: Callable[[ClusterConfig, HasLease], ClusterWatcher]
    retire_in_log: Callable[[Place], Awaitable[None]]
    times: WatcherTimes
    _configs: dict[Place, ClusterConfig] = field(default_factory=dict)
    """Of all declared clusters."""
    _ours: dict[Place, HasLease] = field(default_factory=dict)
    """Those that this watcher has the lease of."""
    _running: dict[Place, _Running] = field(default_factory=dict)
    _leaving: dict[Place, asyncio.Event] = field(default_factory=dict)
    """Clusters that are not declared any more, until they are retired or another watcher has them."""
    _retiring: dict[Place, asyncio.Task[None]] = field(default_factory=dict)
    unreadable: AbstractSet[Place] = frozenset()
    """The declared clusters whose kubeconfig cannot be read here; another watcher may have it."""
    _kubeconfigs: OwnThread = field(default_factory=lambda: OwnThread("kubeconfigs"))
    _retirements: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    _stops: bool = False

    @property
    def declared(self) -> AbstractSet[Place]:
        """The clusters that this watcher may have."""
        return self._configs.keys()

    def watches(self, name: ClusterName) -> bool:
        """Whether a cluster of this name is watched here."""
        return any(place.cluster == name for place in self._running)

    @property
    def beginning(self) -> int:
        """How many clusters were begun a moment ago, and have neither answered nor failed to."""
        begun_after = time.monotonic() - self.times.begin_seconds
        return sum(r.begun_at > begun_after and not r.watcher.tried for r in self._running.values())

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
        await self._look(self.times.look_seconds)
        running = self._running.items()
        changed = [place for place, run in running if self._configs.get(place, run.config) != run.config]
        await asyncio.gather(*map(self._end, changed))
        for place in changed:
            if has_lease := self._ours.get(place):
                self.begin(place, has_lease)

    async def follow_kubeconfigs(self) -> None:
        """Look from time to time which kubeconfigs can be read, for ever."""
        try:
            while True:
                await asyncio.sleep(self.times.files.look_seconds)
                await self._look(self.times.files.read_seconds)
        finally:
            self._kubeconfigs.end()

    async def _look(self, seconds: float) -> None:
        """See which kubeconfigs can be read. While their file system is away, what was seen before counts."""
        paths = {place: cluster.kubeconfig for place, cluster in self._configs.items()}

        def unreadable() -> set[Place]:
            return {place for place, path in paths.items() if not is_readable(path)}

        with contextlib.suppress(TimeoutError):
            before = self.unreadable
            self.unreadable = await self._kubeconfigs.run(unreadable, seconds)
            for place in sorted(self.unreadable - before):
                logger.info(_UNREADABLE, place.cluster, paths[place], extra={"cluster": place.cluster})

    def _note_leaving(self) -> None:
        """Note which of ours are to be retired, and which return before that has begun."""
        for place in self._ours.keys() - self._configs.keys():
            self._leaving.setdefault(place, asyncio.Event())
        for place in self._configs.keys() & self._leaving.keys() - self._retiring.keys():
            self._leaving.pop(place).set()

    async def left(self) -> None:
        """Wait until the clusters that were removed so far are retired, or others have them."""
        for left in list(self._leaving.values()):
            await left.wait()

    def begin(self, place: Place, has_lease: HasLease) -> None:
        """Watch a cluster whose lease this watcher has."""
        self._ours[place] = has_lease
        if (config := self._configs.get(place)) and place not in self._running:
            watcher = self.make_watcher(config, has_lease)
            work = self._watch(watcher)
            task = self.tasks.create_task(work, name=f"cluster {place}")
            self._running[place] = _Running(config, watcher, task, time.monotonic())

    async def end(self, place: Place) -> None:
        """End the watch of a cluster."""
        del self._ours[place]
        await self._end(place)

    async def retire(self, place: Place) -> None:
        """Retire a cluster, unless it is declared again."""
        if place not in self._configs and not self._stops:
            self._retiring[place] = task = self.tasks.create_task(self._retire(place), name=f"retirement of {place}")
            await asyncio.wait({task})
            del self._retiring[place]

    def forget(self, place: Place) -> None:
        """Note that a cluster is retired, or that another watcher has it."""
        if left := self._leaving.pop(place, None):
            left.set()

    async def stop(self) -> None:
        """Retire nothing any more, and end retirements where they are: the next start finishes those."""
        self._stops = True
        await asyncio.gather(*map(end, self._retiring.values()))

    async def _retire(self, place: Place) -> None:
        async with self._retirements:
            what = f"retirement of cluster {place.cluster}"
            await supervised(what, lambda: self.retire_in_log(place), retry=Backoff())

    async def _watch(self, watcher: ClusterWatcher) -> None:
        """Watch a cluster until its lease is lost."""
        cluster = watcher.cluster
        logger.info("Starting watcher for cluster %s (datacenter: %s)", cluster.name, cluster.datacenter)
        what = f"watcher of cluster {cluster.name}"
        await supervised(what, watcher.run, retry=Backoff(), failed=watcher.failed)

    async def _end(self, place: Place) -> None:
        """End the watch of a cluster, if it is watched."""
        if running := self._running.pop(place, None):
            await end(running.task, again_seconds=self.times.end_seconds)
            metrics.forget_cluster(place.cluster)
