"""The watcher's series, by cluster and resource: they begin with the list-watch and end when the cluster is removed."""

from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar, get_args

from prometheus_client import Counter, Gauge, Histogram

from summit_models.cluster import ClusterHealth, ConnectionState
from summit_models.contract import ClusterName
from summit_watcher.kube.errors import StatusError, WatchEndReason, WatcherError

_STREAM = ("cluster", "resource")

CLUSTER_SYNCED = Gauge(
    "summit_cluster_synced",
    "1 while all list-watches of a cluster work; 0: /api/v1/clusters shows why",
    labelnames=("cluster",),
)
CLUSTER_LAST_CONTACT = Gauge(
    "summit_cluster_last_contact_timestamp_seconds",
    "Last byte of the watch of VMs; older than 90 s: the cluster's VMs are shown as stale",
    labelnames=("cluster",),
)
CREDENTIALS_EXPIRE = Gauge(
    "summit_cluster_credentials_expire_timestamp_seconds",
    "When the token or client certificate in use ends; 0: not known. A few days away: ask for a new one",
    labelnames=("cluster",),
)
WAITING_EVENTS = Gauge(
    "summit_cluster_waiting_events",
    "Changes that were read and may not be in the log yet; growing: NATS is slower than the cluster, or away",
    labelnames=("cluster",),
)
MIGRATIONS_STUCK = Gauge(
    "summit_migrations_stuck",
    "Migrations under way that make no progress; /api/v1/migrations?stuck=true says why",
    labelnames=("cluster",),
)
EVENTS_PUBLISHED = Counter(
    "summit_cluster_events",
    "Published events of VMs and migrations, by type; shows which cluster changes without end",
    labelnames=("cluster", "type"),
)

STREAM_STATE = Gauge(
    "summit_stream_state",
    "1 for the state that a list-watch is in, 0 for the others; what each means: docs/operations.md",
    labelnames=(*_STREAM, "state"),
)
STREAM_LAST_CONTACT = Gauge(
    "summit_stream_last_contact_timestamp_seconds",
    "Last byte of a list-watch; older than 180 s: nothing arrives, not even bookmarks",
    labelnames=_STREAM,
)
STREAM_OBJECTS = Gauge(
    "summit_stream_objects",
    "Objects that a list-watch knows; far fewer than before: look at the cluster and at its log lines",
    labelnames=_STREAM,
)
WATCH_EVENTS = Counter(
    "summit_watch_events",
    "Events of watches by type; BOOKMARKs alone: nothing changes there, none at all: see the state of the list-watch",
    labelnames=(*_STREAM, "type"),
)
WATCH_RESTARTS = Counter(
    "summit_watch_restarts",
    "Watches that ended, by reason; 'eof' every few minutes is normal, other reasons again and again are not",
    labelnames=(*_STREAM, "reason"),
)
LISTS = Counter(
    "summit_lists",
    "Complete lists; more than a few an hour: watches cannot be resumed, and lists load the API server",
    labelnames=_STREAM,
)
SYNTHETIC_DELETES = Counter(
    "summit_synthetic_deletes",
    "Deletes that a list shows and no watch has reported; normal after down time, otherwise watches lose events",
    labelnames=_STREAM,
)
RELIST_DRIFT = Counter(
    "summit_relist_drift",
    "Differences that a periodic list shows and no watch has reported; above 0, unless etcd was restored: report it",
    labelnames=_STREAM,
)
DECODE_ERRORS = Counter(
    "summit_decode_errors",
    "Lines of watches, pages and objects that could not be read; the log has the digest of each",
    labelnames=_STREAM,
)
REGRESSIONS = Counter(
    "summit_resource_version_regressions",
    "Times that a cluster's resourceVersion went backwards; above 0: etcd was restored, or another cluster answers",
    labelnames=_STREAM,
)

CLUSTERS_HELD = Gauge(
    "summit_watcher_clusters",
    "Clusters that this watcher has; the sum over all watchers below the number declared: nobody has the others",
)
WATCHERS = Gauge(
    "summit_watchers",
    "Watchers that share the clusters, as this one sees it; fewer than you run: the others are dead or cut off",
)
LEASES_LOST = Counter(
    "summit_leases_lost",
    "Clusters that another watcher took while this one was suspended or cut off; rising: it gets too little CPU",
)

CLAIM_TO_REQUEST_SECONDS = Histogram(
    "summit_operation_claim_to_request_seconds",
    "From an operation's claim by this watcher to its request to Kubernetes; rising: the cluster is slow or away",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10, 60),
)

_EVENT_TYPES = ("ADDED", "MODIFIED", "DELETED", "BOOKMARK")
_STATES = tuple(set(ConnectionState) - {ConnectionState.DEGRADED, ConnectionState.RETIRED})  # those are a cluster's

MetricT = TypeVar("MetricT", Counter, Gauge)

_series_of: defaultdict[str, set[tuple[Counter | Gauge, tuple[str, ...]]]] = defaultdict(set)
"""By cluster its series: to look for them in all metrics takes a tenth of a second with a hundred clusters, and a
watcher that hands over fifty of them lost its leases meanwhile."""


def _series(metric: MetricT, cluster: str, *labels: str) -> MetricT:
    """A series of a cluster, until that is forgotten."""
    _series_of[cluster].add((metric, (cluster, *labels)))
    return metric.labels(cluster, *labels)


def set_cluster(health: ClusterHealth, *, stuck_migrations: int) -> None:
    _series(MIGRATIONS_STUCK, health.name).set(stuck_migrations)
    _series(CLUSTER_SYNCED, health.name).set(health.state is ConnectionState.SYNCED)
    _series(CLUSTER_LAST_CONTACT, health.name).set(_timestamp(health.last_contact))
    _series(CREDENTIALS_EXPIRE, health.name).set(_timestamp(health.credentials_expire_at))
    _series(WAITING_EVENTS, health.name).set(health.waiting_events)
    for resource in health.resources:
        _series(STREAM_OBJECTS, health.name, resource.resource).set(resource.known_objects or 0)


def count_published(cluster: ClusterName, events: Mapping[str, int]) -> None:
    """Count the events of a cluster that were handed to the publisher, by type."""
    for kind, count in events.items():
        _series(EVENTS_PUBLISHED, cluster, kind).inc(count)


def set_leases(clusters: int, watchers: int) -> None:
    CLUSTERS_HELD.set(clusters)
    WATCHERS.set(watchers)


def forget_cluster(cluster: ClusterName) -> None:
    """Remove the series of a cluster that is not watched any more: they would keep their last values for ever."""
    for metric, labels in _series_of.pop(cluster, ()):
        metric.remove(*labels)


class StreamMetrics:
    """The series of one list-watch, made all at once and with 0.

    An alert on a rate sees the first error then, and a cluster that never got anywhere is seen as well.
    """

    def __init__(self, cluster: str, resource: str) -> None:
        self._labels = (cluster, resource)
        self._events = {kind: _series(WATCH_EVENTS, *self._labels, kind) for kind in _EVENT_TYPES}
        self._ends = {reason: _series(WATCH_RESTARTS, *self._labels, reason) for reason in get_args(WatchEndReason)}
        self._states = {state: _series(STREAM_STATE, *self._labels, state) for state in _STATES}
        self.lists = _series(LISTS, *self._labels)
        self.synthetic_deletes = _series(SYNTHETIC_DELETES, *self._labels)
        self.relist_drift = _series(RELIST_DRIFT, *self._labels)
        self.decode_errors = _series(DECODE_ERRORS, *self._labels)
        self.regressions = _series(REGRESSIONS, *self._labels)
        self.set_state(ConnectionState.STARTING)

    def set_state(self, state: ConnectionState) -> None:
        for known, series in self._states.items():
            series.set(known is state)

    def received(self, types: Sequence[str]) -> None:
        """Count a batch of watch events."""
        for kind, count in Tally(types).items():
            self._events[kind].inc(count)

    def watch_ended(self, error: WatcherError | None) -> None:
        reason = watch_end_reason(error)
        self._ends[reason].inc()
        if reason == "undecodable":
            self.decode_errors.inc()

    def ask_last_contact(self, last_contact: Callable[[], datetime | None]) -> None:
        """Ask when Prometheus asks: bytes arrive too often to note each time."""
        _series(STREAM_LAST_CONTACT, *self._labels).set_function(lambda: _timestamp(last_contact()))


def watch_end_reason(error: WatcherError | None) -> WatchEndReason:
    match error:
        case None:
            return "eof"
        case StatusError(has_expired=True):
            return "gone"
        case StatusError(code=429):
            return "throttled"
        case _:
            return error.ends_watch


def _timestamp(moment: datetime | None) -> float:
    return moment.timestamp() if moment else 0.0
