"""The clusters as the feed tells them: changes of their connection from the log, of their staleness from the clock.

Staleness is no event: nobody publishes that a cluster has fallen silent. It is seen here, each second, even without
NATS.
"""

from collections.abc import Iterable
from datetime import datetime

from summit_api.feed.change import Change
from summit_api.feed.frame import Facts, Frame, Topic, frame
from summit_api.freshness import Freshness
from summit_api.query.position import Position
from summit_api.render.inventory import cluster_items
from summit_api.render.moment import Moment
from summit_api.shapes.inventory import ClusterItem
from summit_models.cluster import ClusterHealth, ConnectionState
from summit_models.contract import ClusterName, DatacenterId


class Clusters:
    """What GET /api/v1/clusters shows, kept in memory: it is told to each client that comes back."""

    def __init__(self, freshness: Freshness) -> None:
        self._freshness = freshness
        self._declared: list[ClusterHealth] = []
        self._stale: dict[ClusterName, bool] = {}

    def declare(self, listed: Iterable[ClusterHealth]) -> None:
        """Take in what the tables say."""
        self._declared = list(listed)

    def moment(self, now: datetime) -> Moment:
        return Moment(now, self._freshness.fresh_clusters(now))

    def present(self, now: datetime) -> list[Frame]:
        """The state of each cluster."""
        return [_frame(item, now) for item in self._items(now)]

    def changed(self, change: Change, now: datetime, position: Position) -> Frame | None:
        """What the log's event has made of the cluster. One that is retired is no more: lists do not show it.

        None for what came before that, when the tables are as far already: the end is told once, by its own event.
        """
        for item in self._items(now):
            if item.name == change.key:
                self._stale[item.name] = item.stale  # told with it
                return _frame(item, now, position)
        if change.data.get("state") != ConnectionState.RETIRED:
            return None
        datacenter = DatacenterId(change.data.get("datacenter", ""))
        payload = {"datacenter": datacenter, "clusterName": change.key}
        facts = Facts(datacenter, ClusterName(change.key))
        return frame(Topic.CLUSTER, "cluster", payload, time=now, position=position, before=facts, after=None)

    def turned(self, now: datetime) -> list[Frame]:
        """The state of each cluster that has become stale, or fresh, or known since this was last asked."""
        items = self._items(now)
        turned = [item for item in items if self._stale.get(item.name) is not item.stale]
        self._stale = {item.name: item.stale for item in items}
        return [_frame(item, now) for item in turned]

    def _items(self, now: datetime) -> list[ClusterItem]:
        return cluster_items(self._declared, self._freshness.healths(), self.moment(now))


def _frame(item: ClusterItem, now: datetime, position: Position | None = None) -> Frame:
    facts = Facts(item.datacenter, item.name)
    payload = {"datacenter": item.datacenter, "cluster": item.model_dump(mode="json")}
    return frame(Topic.CLUSTER, "cluster", payload, time=now, position=position, before=facts, after=facts)
