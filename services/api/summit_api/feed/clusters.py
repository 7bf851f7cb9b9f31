"""The clusters in the feed: changes of their connection come from the journal, changes of staleness from the clock.

Staleness is not an event, because nobody publishes that a cluster has become stale. So this process looks each second,
also without NATS.
"""

from collections.abc import Iterable
from datetime import datetime

from summit_api.feed.frame import Frame, Topic, frame
from summit_api.freshness import Freshness
from summit_api.query.journal import Entry
from summit_api.query.transaction.position import Position
from summit_api.render.inventory import cluster_items, limited_to_namespaces
from summit_api.shapes.inventory import ClusterItem
from summit_models.cluster import ClusterHealth, ConnectionState
from summit_models.contract import ClusterName


class Clusters:
    """The list of GET /api/v1/clusters, in memory: each client that comes back gets it."""

    def __init__(self, freshness: Freshness) -> None:
        self._freshness = freshness
        self._listed: list[ClusterHealth] = []
        self._stale: dict[ClusterName, bool] = {}

    def note(self, listed: Iterable[ClusterHealth]) -> None:
        self._listed = list(listed)

    def present(self, now: datetime) -> list[Frame]:
        return [_frame(item, now) for item in self._items(now)]

    def changed(self, entry: Entry, now: datetime, position: Position, *, live: bool) -> Frame | None:
        """The present state of the cluster that the entry is about, or its end if the entry retires it.

        None for an entry before the end when the tables have the end already: lists no longer show the cluster, and the
        entry that retires it makes the one message about that. `turned` does not repeat what is `live`.
        """
        for item in self._items(now):
            if item.name == entry.key:
                if live:
                    self._stale[item.name] = item.stale
                return _frame(item, now, position)
        if entry.data.get("state") != ConnectionState.RETIRED:
            return None
        datacenter = entry.data.get("datacenter", "")
        payload = {"datacenter": datacenter, "clusterName": entry.key}
        place = {"datacenter": datacenter, "cluster": entry.key}
        return frame(Topic.CLUSTER, "cluster", payload, time=now, position=position, before=place, after=None)

    def turned(self, now: datetime) -> list[Frame]:
        """The state of each cluster that became stale, fresh or known since the last call."""
        items = self._items(now)
        turned = [item for item in items if self._stale.get(item.name) is not item.stale]
        self._stale = {item.name: item.stale for item in items}
        return [_frame(item, now) for item in turned]

    def _items(self, now: datetime) -> list[ClusterItem]:
        return cluster_items(self._listed, self._freshness.healths(), self._freshness.moment(now))


def _frame(item: ClusterItem, now: datetime, position: Position | None = None) -> Frame:
    place = {"datacenter": item.datacenter, "cluster": item.name}
    payload, limited = (
        {"datacenter": item.datacenter, "cluster": shown.model_dump(mode="json")}
        for shown in (item, limited_to_namespaces(item))
    )
    return frame(
        Topic.CLUSTER, "cluster", payload, time=now, position=position, before=place, after=place, limited=limited
    )
