"""Tells how a list-watch is: a callback when its state changes, a log line then and at most every five minutes.

What is wrong with the whole cluster is the same for each of its list-watches: one line says it for all.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

from summit_models.cluster import ConnectionState
from summit_watcher.kube.connection import ClusterConnection
from summit_watcher.kube.failure import Failure
from summit_watcher.kube.resources import Resource
from summit_watcher.listwatch.state import ListReason
from summit_watcher.metrics import StreamMetrics

logger = logging.getLogger("summit.watcher")

OnState = Callable[[str, ConnectionState, str | None], None]
"""Called with the plural name of the resource, its state, and the reason; only when one of them has changed."""

REPEAT_SECONDS = 300.0

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
    ConnectionState.AUTH_FAILED: logging.ERROR,
    ConnectionState.CONFIG_ERROR: logging.ERROR,
    ConnectionState.TLS_ERROR: logging.ERROR,
    ConnectionState.IDENTITY_CHANGED: logging.ERROR,
}

_RELIST_LEVELS = {
    ListReason.DOUBTED: logging.WARNING,
    ListReason.UNREADABLE: logging.WARNING,
}


class StreamReport:
    """State of one list-watch, as it is told."""

    def __init__(self, connection: ClusterConnection, resource: Resource[Any], on_state: OnState) -> None:
        self._cluster = connection.name
        self._resource = resource.plural
        self._group = resource.group
        self._on_state = on_state
        self._logged = connection.logged
        self._failures: set[str] = set()
        self.metrics = StreamMetrics(connection.name, resource.plural)
        self.state = ConnectionState.STARTING
        self.reason: str | None = None

    def listing(self) -> None:
        self._set(ConnectionState.LISTING, None)

    def synced(self) -> None:
        """Say that the list-watch works; in the log only if it was said before that it did not.

        What was wrong with the whole cluster ended with the first of its list-watches that works.
        """
        ended = [key for key in self._failures if self._logged.pop(key, None) is not None]
        self._failures.clear()
        self._set(ConnectionState.SYNCED, None)
        if any(key.startswith(_CLUSTER) for key in ended):
            logger.info("cluster %s is watched again", self._cluster, extra=self._extra(self.state, None))
        elif ended:
            logger.info(
                "cluster %s: %s are watched again", self._cluster, self._resource, extra=self._extra(self.state, None)
            )

    def relisting(self, reason: ListReason) -> None:
        """Say why the resource is listed again though it was known."""
        level = _RELIST_LEVELS.get(reason, logging.INFO)
        extra = self._extra(self.state, reason)
        logger.log(level, "cluster %s: listing %s again: %s", self._cluster, self._resource, reason, extra=extra)

    def failed(self, action: str, failure: Failure, attempt: int, retry_in: float) -> None:
        """Say that `action` ("list", "watch") failed, and when it is tried again."""
        if not self._is_news(failure):
            return
        logger.log(
            _LEVELS.get(failure.state, logging.WARNING),
            "cluster %s: cannot %s %s: %s; next attempt in %.1f s",
            self._cluster,
            action,
            self._resource,
            failure.reason,
            retry_in,
            extra=self._extra(failure.state, failure.reason) | {"attempt": attempt, "retry_in": round(retry_in, 1)},
        )

    def held_back(self, failure: Failure) -> None:
        """Say that the watch was closed on purpose."""
        if self._is_news(failure):
            logger.warning(
                "cluster %s: closing the watch of %s: %s; it goes on when there is room",
                self._cluster,
                self._resource,
                failure.reason,
                extra=self._extra(failure.state, failure.reason),
            )

    def _is_news(self, failure: Failure) -> bool:
        """Enter the state; is it time for a line in the log?"""
        self._set(failure.state, failure.reason)
        key = f"{self._concerned(failure.state)} {failure.state}"
        now = time.monotonic()
        self._failures.add(key)
        if now < self._logged.get(key, float("-inf")) + REPEAT_SECONDS:
            return False
        self._logged[key] = now
        return True

    def _concerned(self, state: ConnectionState) -> str:
        """What shares this state: one line is enough for it."""
        if state in _OF_THE_CLUSTER:
            return _CLUSTER
        return self._group if state is ConnectionState.CRD_MISSING else self._resource

    def _set(self, state: ConnectionState, reason: str | None) -> None:
        if (state, reason) != (self.state, self.reason):
            self.state, self.reason = state, reason
            self.metrics.set_state(state)
            self._on_state(self._resource, state, reason)

    def _extra(self, state: ConnectionState, reason: str | None) -> dict[str, object]:
        return {"cluster": self._cluster, "resource": self._resource, "state": str(state), "reason": reason}
