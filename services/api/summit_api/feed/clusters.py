"""The clusters as the feed tells them: changes of their connection from the log, of their staleness from the clock.

Staleness is no event: nobody publishes that a cluster has fallen silent. It is seen here, each second, even without
NATS.
"""

from collections.abc import Iterable
from datetime import datetime

from summit_api.feed.frame import Facts, Frame, Topic, frame
from summit_api.freshness import Freshness
from summit_api.render.inventory import cluster_items
from summit_api.render.moment import Moment
from summit_api.shapes.inventory import ClusterItem
from summit_models.cluster import ClusterHealth
from summit_models.contract import ClusterName, Revision


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

    def changed(self, name: str, now: datetime, revision: Revision) -> list[Frame]:
        """What the log's event of this revision has made of the cluster; nothing if it is no more."""
        return [_frame(item, now, revision) for item in self._items(now) if item.name == name]

    def turned(self, now: datetime) -> list[Frame]:
        """The state of each cluster that has become stale, or fresh, or known since this was last asked."""
        items = self._items(now)
        turned = [item for item in items if self._stale.get(item.name) is not item.stale]
        self._stale = {item.name: item.stale for item in items}
        return [_frame(item, now) for item in turned]

    def _items(self, now: datetime) -> list[ClusterItem]:
        return cluster_items(self._declared, self._freshness.healths(), self.moment(now))


def _frame(item: ClusterItem, now: datetime, revision: Revision | None = None) -> Frame:
    facts = Facts(item.datacenter, item.name)
    payload = {"datacenter": item.datacenter, "cluster": item.model_dump(mode="json")}
    return frame(Topic.CLUSTER, "cluster", payload, time=now, revision=revision, before=facts, after=facts)
