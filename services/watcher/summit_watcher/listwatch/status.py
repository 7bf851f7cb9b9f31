"""How the list-watches of one cluster are. Each writes its own status; health, session and metrics read it.

What happens to one list-watch is logged at DEBUG. The state of the cluster, which follows from all of them, is logged
for people (`cluster_log`).
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from summit_models.cluster import ConnectionState
from summit_models.contract import ClusterName
from summit_watcher.kube.failure import Failure
from summit_watcher.kube.resources import Resource
from summit_watcher.listwatch.state import ListReason
from summit_watcher.metrics import StreamMetrics

logger = logging.getLogger("summit.watcher")

_RELIST_LEVELS = {ListReason.CONFIRMATION: logging.WARNING, ListReason.UNREADABLE: logging.WARNING}
_TRYING = frozenset({ConnectionState.STARTING, ConnectionState.LISTING})


class ClusterStatus:
    """The statuses of all list-watches of one cluster."""

    def __init__(self, cluster: ClusterName, resources: Iterable[Resource[Any]], clock: Callable[[], datetime]) -> None:
        self.name = cluster
        self.now = clock
        self.changed = asyncio.Event()
        """Set at the next change. Take it, then read, then wait for it: so no change is missed."""
        self._statuses = {resource.plural: ListWatchStatus(self, resource) for resource in resources}

    def __iter__(self) -> Iterator["ListWatchStatus"]:
        return iter(self._statuses.values())

    def __getitem__(self, resource: Resource[Any]) -> "ListWatchStatus":
        return self._statuses[resource.plural]

    @property
    def tried(self) -> bool:
        """Whether the cluster has answered, or has failed to."""
        return any(status.tried for status in self)

    def notify(self) -> None:
        """Wake those that wait for a change."""
        self.changed.set()
        self.changed = asyncio.Event()


class ListWatchStatus:
    """The status of one list-watch. Times are in UTC."""

    def __init__(self, cluster: ClusterStatus, resource: Resource[Any]) -> None:
        self.resource = resource
        self.metrics = StreamMetrics(cluster.name, resource.plural)
        self.state = ConnectionState.STARTING
        self.reason: str | None = None
        self.since = cluster.now()
        self.tried = False
        """The cluster has answered once, or has failed to."""
        self.last_contact: datetime | None = None
        """When the last byte came."""
        self.last_event: datetime | None = None
        """When a watch last brought a change."""
        self.last_sync: datetime | None = None
        """When the last list was complete."""
        self._cluster = cluster
        self._failed = False
        """It has failed since it last worked."""
        self.metrics.ask_last_contact(lambda: self.last_contact)

    @property
    def silent_seconds(self) -> float:
        """For how long no byte has come."""
        return (self._cluster.now() - self.last_contact).total_seconds() if self.last_contact else float("inf")

    def contact(self) -> None:
        """Note that a byte has come."""
        self.last_contact = self._cluster.now()

    def listing(self) -> None:
        self._set(ConnectionState.LISTING, None)

    def listed(self) -> None:
        """Note that a list was complete and is used. After a failure the list-watch works when its watch does."""
        self.last_sync = self._cluster.now()
        self.metrics.lists.inc()
        if not self._failed:
            self.synced()

    def synced(self) -> None:
        """Note that the list-watch works."""
        if self._failed:
            self._debug("%s are watched again", self.resource.plural)
        self._failed = False
        self._set(ConnectionState.SYNCED, None)

    def relisting(self, reason: ListReason) -> None:
        """Log why the resource is listed again though it was known."""
        level, message = _RELIST_LEVELS.get(reason, logging.DEBUG), "cluster %s: listing %s again: %s"
        extra = self._extra() | {"reason": reason}
        logger.log(level, message, self._cluster.name, self.resource.plural, reason, extra=extra)

    def drifted(self, count: int) -> None:
        """Count and log changes that a list shows and no watch has reported."""
        self.metrics.relist_drift.inc(count)
        message = "cluster %s: the list of %s shows %d changes that no watch has reported"
        logger.warning(message, self._cluster.name, self.resource.plural, count, extra=self._extra())

    def failed(self, action: str, failure: Failure, attempt: int, retry_in: float) -> None:
        """Note that `action` ("list", "watch") failed, and when the next attempt is."""
        self._fail(failure)
        message, extra = (
            "cannot %s %s: %s; next attempt in %.1f s",
            {"attempt": attempt, "retry_in": round(retry_in, 1)},
        )
        self._debug(message, action, self.resource.plural, failure.reason, retry_in, extra=extra)

    def held_back(self, failure: Failure) -> None:
        """Note that the watch was closed on purpose."""
        self._fail(failure)
        self._debug("closing the watch of %s until there is room: %s", self.resource.plural, failure.reason)

    def _fail(self, failure: Failure) -> None:
        self._failed = True
        self._set(failure.state, failure.reason)

    def _debug(self, message: str, *args: object, extra: Mapping[str, object] = MappingProxyType({})) -> None:
        logger.debug(f"cluster %s: {message}", self._cluster.name, *args, extra={**self._extra(), **extra})

    def _set(self, state: ConnectionState, reason: str | None) -> None:
        if (state, reason) == (self.state, self.reason):
            return
        if state is not self.state:
            self.since = self._cluster.now()
            self.metrics.set_state(state)
        self.state, self.reason = state, reason
        self.tried = self.tried or state not in _TRYING
        self._cluster.notify()

    def _extra(self) -> dict[str, object]:
        return {
            "cluster": self._cluster.name,
            "resource": self.resource.plural,
            "state": str(self.state),
            "reason": self.reason,
        }
