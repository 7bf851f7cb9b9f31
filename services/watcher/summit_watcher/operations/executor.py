"""Does the operations of one cluster while its session runs: one task for each that has not ended.

An operation goes this way: claim it, send its one request, watch what the cluster shows, publish how it ended. The
claim is stored before the request goes out, and only the watcher whose claim is stored sends it. A watcher that takes
a cluster over sends the request again only where Kubernetes itself makes a second one harmless; else it observes.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from uuid import uuid4

from summit_models.contract import ClusterName, Uid
from summit_models.operation import Action, Operation, OperationState
from summit_runtime.backoff import Backoff
from summit_runtime.nats.connection.bus import EventClient
from summit_runtime.process import supervised
from summit_runtime.waiting import wait
from summit_watcher.inventory.cluster_cache import ClusterCache
from summit_watcher.kube.connection import ClusterConnection
from summit_watcher.log.epoch import WATCHER
from summit_watcher.operations.asking import Asking
from summit_watcher.operations.execution import Execution, Means
from summit_watcher.operations.feed import OperationFeed
from summit_watcher.operations.newest import Newest
from summit_watcher.operations.requests import migration_name
from summit_watcher.operations.steps import LostOperationError, Steps
from summit_watcher.settings import WatcherTimes

logger = logging.getLogger("summit.watcher")

REST_SECONDS = 0.05
"""A cluster that starts a hundred VMs has changes all the time: what they change is looked for at most this often."""


@dataclass(kw_only=True)
class Executor:
    cluster: ClusterName
    client: EventClient
    feed: OperationFeed
    connection: ClusterConnection
    cache: ClusterCache
    is_known: Callable[[], bool]
    """Whether the first lists of all that shows outcomes are read."""
    forbidden: Callable[[], None]
    """Called when the cluster has answered a request with 403."""
    times: WatcherTimes
    writer: str = field(default_factory=lambda: f"{WATCHER}/{uuid4().hex[:8]}")
    """Unique: what an earlier session of this process has begun is not begun by us."""

    def __post_init__(self) -> None:
        self._newest = Newest()
        self._has_changed = asyncio.Event()
        self._has_begun = False
        """The operations of before are read: what another watcher begins from now on, it may be doing."""
        self._means = Means(
            Steps(self.client, self.writer),
            Asking(self.connection, self.forbidden),
            self.cache,
            self._newest,
            self.times,
        )

    def notice(self) -> None:
        """The cluster cache has changed."""
        self._has_changed.set()

    async def run(self) -> None:
        """Do operations for ever, as soon as it is known what the cluster shows."""
        while not self.is_known():
            self._has_changed.clear()
            await wait(self._has_changed, self.times.progress_seconds)
        await self.feed.is_read()
        with self.feed.follow(self.cluster) as steps:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._look_again())
                while True:
                    step = await steps.get()
                    if self._newest.begins(step):
                        self._begin(step.operation, tasks)
                    self._has_begun |= steps.empty()

    def _begin(self, operation: Operation, tasks: asyncio.TaskGroup) -> None:
        """Do it in a task of its own: an unforeseen failure stays there, and it is tried again."""
        work = partial(self._do, operation.id, self._patience(operation))
        tasks.create_task(supervised(f"operation {operation.id}", work, retry=Backoff()))

    async def _look_again(self) -> None:
        """Let an operation look at the cluster cache when its part of it has changed, for ever."""
        before: dict[Uid, Sequence[object]] = {}
        while True:
            await self._has_changed.wait()
            self._has_changed.clear()
            now = {operation.id: self._shown(operation) for operation in self._newest.operations()}
            for id_, shown in now.items():
                if id_ not in before or any(new is not old for new, old in zip(shown, before[id_], strict=True)):
                    self._newest.notify(id_)
            before = now
            await asyncio.sleep(REST_SECONDS)

    def _shown(self, operation: Operation) -> Sequence[object]:
        """What the cluster shows of an operation: each change of one of these is another object."""
        id_, cache = operation.vm_id, self.cache
        migration = (
            cache.migration_named(operation.namespace, operation.vm_name, migration_name(operation))
            if operation.action is Action.MIGRATE
            else None
        )
        return cache.vms.get(id_), cache.instance_of(id_), migration

    def _patience(self, operation: Operation) -> float:
        """How long another watcher may still be doing it."""
        if operation.state is OperationState.PENDING:
            return 0.0
        if self._has_begun:
            return self.times.take_over_seconds
        return 0.0 if operation.accepted else self.times.claim_seconds

    async def _do(self, id_: Uid, patience_seconds: float) -> None:
        while True:
            try:
                await self._leave_to_others(id_, patience_seconds)
                await Execution(self._newest[id_], self._means).run()
                break
            except LostOperationError:
                if self._newest[id_].operation.has_ended:
                    break
                logger.info("operation %s: another watcher has made the next step", id_)
                patience_seconds = self.times.take_over_seconds
        self._newest.leave(id_)

    async def _leave_to_others(self, id_: Uid, seconds: float) -> None:
        """Wait until the operation has had no new step for so long. Raises LostOperationError when it has ended."""
        ends_at, seen = time.monotonic() + seconds, self._newest[id_]
        while (rest := ends_at - time.monotonic()) > 0:
            await wait(self._newest.changed(id_), rest)
            newest = self._newest[id_]
            if newest.operation.has_ended:
                raise LostOperationError(id_)
            if newest.revision > seen.revision:
                ends_at, seen = time.monotonic() + self.times.take_over_seconds, newest
