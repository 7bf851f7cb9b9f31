"""How the list-watches of one cluster are. Each writes its own status; health, session and metrics read it.

A failure that concerns the whole cluster is the same for each of its list-watches: one log line reports it for all.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from summit_models.cluster import ConnectionState
from summit_models.contract import ClusterName
from summit_runtime.condition import Condition
from summit_watcher.kube.failure import Failure
from summit_watcher.kube.resources import Resource
from summit_watcher.listwatch.state import ListReason
from summit_watcher.metrics import StreamMetrics

logger = logging.getLogger("summit.watcher")

_CLUSTER = "cluster"
_OF_THE_CLUSTER = frozenset(
    {
        ConnectionState.UNREACHABLE,
        ConnectionState.TLS_ERROR,
        ConnectionState.AUTH_FAILED,
        ConnectionState.CONFIG_ERROR,
        ConnectionState.STALE,
        ConnectionState.BACKPRESSURE,
        ConnectionState.IDENTITY_CHANGED,
    }
)
_LEVELS = {
    ConnectionState.CRD_MISSING: logging.INFO,  # a cluster without KubeVirt is not broken
    ConnectionState.LISTING: logging.INFO,  # of other resources: nothing is wrong with this one
    ConnectionState.AUTH_FAILED: logging.ERROR,
    ConnectionState.CONFIG_ERROR: logging.ERROR,
    ConnectionState.TLS_ERROR: logging.ERROR,
    ConnectionState.IDENTITY_CHANGED: logging.ERROR,
}
_RELIST_LEVELS = {ListReason.CONFIRMATION: logging.WARNING, ListReason.UNREADABLE: logging.WARNING}
_TRYING = frozenset({ConnectionState.STARTING, ConnectionState.LISTING})


class ClusterStatus:
    """The statuses of all list-watches of one cluster."""

    def __init__(self, cluster: ClusterName, resources: Iterable[Resource[Any]]) -> None:
        self.name = cluster
        self.conditions: dict[str, Condition] = {}
        """The present failures by their scope: the cluster, an API group or a resource."""
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
        self.since = datetime.now(UTC)
        self.tried = False
        """The cluster has answered once, or has failed to."""
        self.last_contact: datetime | None = None
        """When the last byte came."""
        self.last_event: datetime | None = None
        """When a watch last brought a change."""
        self.last_sync: datetime | None = None
        """When the last list was complete."""
        self._cluster = cluster
        self._failed: set[str] = set()
        """The scopes of its failures since it last worked: keys of `conditions`."""
        self.metrics.ask_last_contact(lambda: self.last_contact)

    @property
    def silent_seconds(self) -> float:
        """For how long no byte has come."""
        return (datetime.now(UTC) - self.last_contact).total_seconds() if self.last_contact else float("inf")

    def contact(self) -> None:
        """Note that a byte has come."""
        self.last_contact = datetime.now(UTC)

    def listing(self) -> None:
        self._set(ConnectionState.LISTING, None)

    def listed(self) -> None:
        """Note that a list was complete and is used. After a failure the list-watch works when its watch does."""
        self.last_sync = datetime.now(UTC)
        self.metrics.lists.inc()
        if not self._failed:
            self.synced()

    def synced(self) -> None:
        """Note that the list-watch works, and log it if a failure was logged before.

        A failure of the whole cluster ends with the first of its list-watches that works.
        """
        self._set(ConnectionState.SYNCED, None)
        failed, self._failed = self._failed, set()
        conditions = self._cluster.conditions
        ended = {what: conditions.pop(what) for what in failed if what in conditions}
        if condition := ended.get(_CLUSTER):
            condition.ends("cluster %s is watched again", self._cluster.name, extra=self._extra())
        elif ended:
            message = "cluster %s: %s are watched again"
            next(iter(ended.values())).ends(message, self._cluster.name, self.resource.plural, extra=self._extra())

    def relisting(self, reason: ListReason) -> None:
        """Log why the resource is listed again though it was known."""
        level, message = _RELIST_LEVELS.get(reason, logging.INFO), "cluster %s: listing %s again: %s"
        extra = self._extra() | {"reason": reason}
        logger.log(level, message, self._cluster.name, self.resource.plural, reason, extra=extra)

    def drifted(self, count: int) -> None:
        """Count and log changes that a list shows and no watch has reported."""
        self.metrics.relist_drift.inc(count)
        message = "cluster %s: the list of %s shows %d changes that no watch has reported"
        logger.warning(message, self._cluster.name, self.resource.plural, count, extra=self._extra())

    def failed(self, action: str, failure: Failure, attempt: int, retry_in: float) -> None:
        """Note that `action` ("list", "watch") failed, and when the next attempt is."""
        text = f"cannot {action} {self.resource.plural}: {failure.reason}"
        effect = "what is known stays visible"
        if failure.state in _OF_THE_CLUSTER:
            effect = "its VMs show their last known state"
        text = f"{text}; {effect}; next attempt in {retry_in:.1f} s"
        self._fail(failure, text, attempt=attempt, retry_in=round(retry_in, 1))

    def held_back(self, failure: Failure) -> None:
        """Note that the watch was closed on purpose."""
        text = f"closing the watch of {self.resource.plural}: {failure.reason}; it goes on when there is room"
        self._fail(failure, text)

    def _fail(self, failure: Failure, text: str, **extra: object) -> None:
        self._set(failure.state, failure.reason)
        is_optional = failure.state in self.resource.optional_in
        level = logging.DEBUG if is_optional else _LEVELS.get(failure.state, logging.WARNING)
        what = self._concerned(failure.state)
        self._failed.add(what)
        condition = self._cluster.conditions.setdefault(what, Condition(logger, level))
        extra = self._extra() | extra
        condition.holds("cluster %s: %s", self._cluster.name, text, cause=failure.state, level=level, extra=extra)

    def _concerned(self, state: ConnectionState) -> str:
        """The scope that shares this state: one line is enough for it."""
        if state in _OF_THE_CLUSTER:
            return _CLUSTER
        return self.resource.group if state is ConnectionState.CRD_MISSING else self.resource.plural

    def _set(self, state: ConnectionState, reason: str | None) -> None:
        if (state, reason) == (self.state, self.reason):
            return
        if state is not self.state:
            self.since = datetime.now(UTC)
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
