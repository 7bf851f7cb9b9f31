"""The clusters in the feed: changes of their connection come from the journal, changes of staleness from the clock.

Nobody publishes that a cluster has become stale, or that no watcher reports of it any longer. So this process looks
each second, also without NATS.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from summit_api.access.principal import Limit
from summit_api.feed.frame import Frame, Json, Topic, frame
from summit_api.freshness import Freshness
from summit_api.metrics import count_clusters
from summit_api.query.journal import Entry
from summit_api.query.transaction.position import Position
from summit_api.render.clusters import cluster_items, shown_within
from summit_api.render.moment import Moment
from summit_api.shapes.inventory import ClusterItem
from summit_models.cluster import ClusterHealth, ConnectionState
from summit_models.contract import ClusterName, DatacenterId


class Clusters:
    """The list of GET /api/v1/clusters, in memory: each client that comes back gets it."""

    def __init__(self, freshness: Freshness) -> None:
        self._freshness = freshness
        self._listed: list[ClusterHealth] = []
        self._shown: Mapping[ClusterName, ClusterItem] = {}
        """As it was sent last to all clients."""

    def note(self, listed: Iterable[ClusterHealth]) -> None:
        self._listed = list(listed)

    def present(self, moment: Moment) -> list[Frame]:
        """Each cluster for a client that may have seen it in another state."""
        return [_frame(item, moment.now, before=_place(item.datacenter, item.name)) for item in self._items(moment)]

    def changed(self, entry: Entry, moment: Moment, position: Position, *, live: bool) -> Frame | None:
        """The present state of the cluster that the entry is about, or its end if the entry retires it.

        None for an entry before the end when the tables have the end already: lists no longer show the cluster, and the
        entry that retires it makes the one message about that. `turned` does not repeat what is `live`.
        """
        for item in self._items(moment):
            if item.name == entry.key:
                before = self._before(item) if live else _place(item.datacenter, item.name)
                if live:
                    self._shown = {**self._shown, item.name: item}
                return _frame(item, moment.now, position, before=before)
        if entry.data.get("state") != ConnectionState.RETIRED:
            return None
        datacenter = entry.data.get("datacenter", "")
        payload = {"datacenter": datacenter, "clusterName": entry.key, "retired": True}
        place = _place(datacenter, ClusterName(entry.key))
        return frame(Topic.CLUSTER, "cluster", payload, time=moment.now, position=position, before=place, after=None)

    def turned(self, moment: Moment) -> list[Frame]:
        """The state of each cluster that became stale, fresh or known since the last call."""
        items = self._items(moment)
        turned = [
            _frame(item, moment.now, before=self._before(item))
            for item in items
            if _by_clock(item) != self._known(item)
        ]
        self._shown = {item.name: item for item in items}
        count_clusters(Counter(item.state for item in items))
        return turned

    def _known(self, item: ClusterItem) -> tuple[bool, bool] | None:
        shown = self._shown.get(item.name)
        return None if shown is None else _by_clock(shown)

    def _before(self, item: ClusterItem) -> Json:
        shown = self._shown.get(item.name)
        return _place(item.datacenter, item.name) if shown is None else _state(shown)

    def _items(self, moment: Moment) -> list[ClusterItem]:
        return cluster_items(self._listed, self._freshness.reports(), moment)


def _by_clock(item: ClusterItem) -> tuple[bool, bool]:
    """What may change without an event."""
    return item.stale, item.state is ConnectionState.STALE


def _place(datacenter: DatacenterId, name: ClusterName) -> dict[str, Any]:
    return {"datacenter": datacenter, "name": name}


def _state(item: ClusterItem) -> Json:
    return {**_place(item.datacenter, item.name), "state": item.state}


def _frame(item: ClusterItem, now: datetime, position: Position | None = None, *, before: Json) -> Frame:
    payload, *limited = (
        {"datacenter": item.datacenter, "cluster": shown_within(limit, item).model_dump(mode="json")}
        for limit in (None, *Limit)
    )
    gone = {"datacenter": item.datacenter, "clusterName": item.name, "retired": False}
    return frame(
        Topic.CLUSTER,
        "cluster",
        payload,
        time=now,
        position=position,
        before=before,
        after=_state(item),
        gone=gone,
        limited=dict(zip(Limit, limited, strict=True)),
    )
