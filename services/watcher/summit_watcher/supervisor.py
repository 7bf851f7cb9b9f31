"""The running cluster watchers: those that `datacenters.yaml` declares, also while somebody edits it."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from summit_models.contract import ClusterName
from summit_runtime.backoff import Backoff
from summit_runtime.condition import Condition
from summit_runtime.own_thread import OwnThread
from summit_runtime.process import supervised
from summit_runtime.waiting import end
from summit_runtime.watched_files import WatchedFiles
from summit_watcher import metrics
from summit_watcher.cluster import ClusterWatcher
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


@dataclass
class Supervisor:
    """One supervised task per cluster, in the caller's task group."""

    tasks: asyncio.TaskGroup
    make_watcher: Callable[[ClusterConfig], ClusterWatcher]
    retire: Callable[[ClusterConfig], Awaitable[None]]
    times: WatcherTimes
    _running: dict[ClusterName, tuple[ClusterConfig, ClusterWatcher, asyncio.Task[None]]] = field(default_factory=dict)
    _retiring: dict[ClusterName, asyncio.Task[None]] = field(default_factory=dict)
    """The last retirement under each name."""
    _retirements: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    _started: bool = False

    def untried(self) -> str | None:
        """The clusters that have neither answered nor failed to, as a sentence of the readiness probe; None: none."""
        if not self._started:
            return "the configuration has not been read yet"
        names = [name for name, (_, watcher, _) in self._running.items() if not watcher.tried]
        return f"not tried yet: {', '.join(names)}" if names else None

    async def watch(self, datacenters: Sequence[DatacenterConfig], *, keep_missing: bool = False) -> None:
        """Start watchers of new clusters, end those of removed ones, do both for changed ones, leave the others.

        A cluster that is removed, or moved to another datacenter, is retired where it was, beside all that goes on.
        With `keep_missing` none is
        removed: the file has mistakes, and a missing cluster may be one of them.
        """
        wanted = {cluster.name: cluster for datacenter in datacenters for cluster in datacenter.clusters}
        running = {name: config for name, (config, _, _) in self._running.items()}
        changed = {
            name: config
            for name, config in running.items()
            if wanted.get(name, config if keep_missing else None) != config
        }
        await self._end(list(changed))
        for name, config in changed.items():
            if name not in wanted or wanted[name].datacenter != config.datacenter:
                self._retire(config)
        for name, config in wanted.items():
            if name not in self._running:
                watcher = self.make_watcher(config)
                work = self._watch(watcher, self._retiring.get(name))
                self._running[name] = config, watcher, self.tasks.create_task(work, name=f"cluster {name}")
        self._started = True

    async def retired(self) -> None:
        """Wait until the clusters that were removed so far are retired."""
        if self._retiring:
            await asyncio.wait(self._retiring.values())

    async def end(self) -> None:
        """End all watchers, and retirements where they are: the next start finishes those."""
        await asyncio.gather(self._end(list(self._running)), *map(end, self._retiring.values()))

    def _retire(self, config: ClusterConfig) -> None:
        """Retire a cluster beside all that goes on, after an earlier retirement under that name."""
        work = self._retire_after(self._retiring.get(config.name), config)
        self._retiring[config.name] = self.tasks.create_task(work, name=f"retirement of cluster {config.name}")

    async def _retire_after(self, earlier: asyncio.Task[None] | None, config: ClusterConfig) -> None:
        if earlier:
            await asyncio.wait({earlier})
        async with self._retirements:
            what = f"retirement of cluster {config.name}"
            await supervised(what, lambda: self.retire(config), retry=Backoff())

    async def _watch(self, watcher: ClusterWatcher, retiring: asyncio.Task[None] | None) -> None:
        """Watch a cluster for ever, once an earlier one of that name is retired."""
        if retiring:
            await asyncio.wait({retiring})
        cluster = watcher.cluster
        logger.info("Starting watcher for cluster %s (datacenter: %s)", cluster.name, cluster.datacenter)
        what = f"watcher of cluster {cluster.name}"
        await supervised(what, watcher.run, retry=Backoff(), failed=watcher.failed)

    async def _end(self, names: Sequence[ClusterName]) -> None:
        ending = [self._running.pop(name)[2] for name in names]
        await asyncio.gather(*(end(task, again_seconds=self.times.end_seconds) for task in ending))
        for name in names:
            metrics.forget_cluster(name)
