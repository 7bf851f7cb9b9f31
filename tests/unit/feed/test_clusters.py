"""The clusters in the feed: what changes by time alone is sent without an event."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from support.published import CLUSTER, DATACENTER

from summit_api.access.principal import EVERYTHING
from summit_api.feed.clusters import Clusters
from summit_api.feed.frame import Frame
from summit_api.feed.selection import Selection
from summit_api.freshness import Freshness
from summit_api.metrics import CLUSTERS
from summit_api.query.selection.filters import ClusterFilters, VmFilters
from summit_api.render.moment import Moment
from summit_api.routes.events import FeedQuery
from summit_models.cluster import ClusterHealth, ConnectionState

NOW = datetime(2026, 11, 23, 22, 27, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HEALTH = ClusterHealth(name=CLUSTER, datacenter=DATACENTER, state=ConnectionState.SYNCED, since=NOW, last_contact=NOW)


FRESHNESS = Freshness()
FRESHNESS.is_connected = lambda: True
FRESHNESS.note(HEALTH, NOW)


def after(seconds: int) -> Moment:
    """The moment so long after the watcher's last report."""
    return FRESHNESS.moment(NOW + seconds * SECOND)


def watched() -> Clusters:
    """One cluster that was sent as synced, whose watcher has just reported."""
    clusters = Clusters(FRESHNESS)
    clusters.note([HEALTH])
    clusters.turned(after(0))
    return clusters


def messages(frames: list[Frame], *states: ConnectionState) -> list[dict[str, Any]]:
    """As a client of these states receives them."""
    selection = Selection(EVERYTHING, VmFilters(), states=states)
    sent = (selection.message(frame) for frame in frames)
    return [msgspec.json.decode(text.partition(b"data: ")[2]) for text in sent if text]


def test_cluster_whose_watcher_stopped_is_sent_as_stale() -> None:
    """Once, with the reason: nothing else says so, since no event follows. The metric counts it."""
    clusters = watched()
    assert clusters.turned(after(90)) == []
    (sent,) = messages(clusters.turned(after(91)))
    assert sent["type"] == "cluster:updated"
    assert (sent["payload"]["cluster"]["state"], sent["payload"]["cluster"]["reason"]) == (
        "stale",
        "no watcher has reported since 22:27 UTC",
    )
    assert clusters.turned(after(92)) == []
    counted = {state: CLUSTERS.labels(state)._value.get() for state in ConnectionState}
    assert {state: count for state, count in counted.items() if count} == {ConnectionState.STALE: 1}


def test_cluster_enters_the_list_of_stale_ones_by_time_alone() -> None:
    """And leaves that of the synced ones."""
    turned = watched().turned(after(91))
    assert [sent["type"] for sent in messages(turned, ConnectionState.STALE)] == ["cluster:added"]
    assert [sent["type"] for sent in messages(turned, ConnectionState.SYNCED)] == ["cluster:removed"]
    assert messages(turned, ConnectionState.UNREACHABLE) == []


def test_client_that_returns_receives_what_its_list_has_now() -> None:
    """It may have seen the cluster in another state: a cluster that is not in its list is removed from it."""
    present = watched().present(after(0))
    assert [sent["type"] for sent in messages(present, ConnectionState.SYNCED)] == ["cluster:updated"]
    assert [sent["type"] for sent in messages(present, ConnectionState.STALE)] == ["cluster:removed"]


def test_feed_takes_each_filter_of_the_list_of_clusters() -> None:
    """A filter that is declared for the list is a parameter of the feed."""
    assert set(ClusterFilters.declared()) <= set(FeedQuery.model_fields)
