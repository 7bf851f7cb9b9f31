"""One resource of one cluster, as each request of its list-watch needs it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from summit_watcher.kube.connection import ClusterConnection
from summit_watcher.kube.errors import RegressedError
from summit_watcher.kube.manifests.metadata import Manifest
from summit_watcher.kube.resources import Resource
from summit_watcher.listwatch.events import Sink
from summit_watcher.listwatch.state import has_regressed
from summit_watcher.listwatch.status import ListWatchStatus
from summit_watcher.settings import WatcherTimes

T = TypeVar("T", bound=Manifest)


@dataclass(frozen=True, kw_only=True)
class WatchedResource(Generic[T]):
    connection: ClusterConnection
    resource: Resource[T]
    sink: Sink[T]
    """While it is busy nothing is read, and the server cuts off a watch that stalls for long. So a sink that may be
    slow has a queue, and raises BackpressureError when that is full: the watch is closed, and resumed after what the
    sink has taken."""
    deletions: Callable[[], tuple[int, int]]
    """How many objects are known, and how many of these the present list has not contained."""
    status: ListWatchStatus
    times: WatcherTimes

    def check_version(self, seen: str, resource_version: str) -> None:
        """Raise RegressedError when the server was further before."""
        if has_regressed(seen, resource_version):
            self.status.metrics.regressions.inc()
            raise RegressedError(self.resource.plural, seen, resource_version)
