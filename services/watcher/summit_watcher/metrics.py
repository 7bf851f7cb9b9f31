"""The watcher's series, by cluster and resource: they begin with the list-watch and end when the cluster is removed."""

from datetime import datetime

from prometheus_client import Counter, Gauge

from summit_models.cluster import ClusterHealth, ConnectionState
from summit_models.contract import ClusterName

_STREAM = ("cluster", "resource")

CLUSTER_SYNCED = Gauge(
    "summit_cluster_synced",
    "1 while all list-watches of a cluster work; 0: see /api/v1/clusters",
    labelnames=("cluster",),
)
CLUSTER_LAST_CONTACT = Gauge(
    "summit_cluster_last_contact_timestamp_seconds",
    "Last byte of the watch of VMs; older than 90 s: the cluster's VMs are shown as stale",
    labelnames=("cluster",),
)
CREDENTIALS_EXPIRE = Gauge(
    "summit_cluster_credentials_expire_timestamp_seconds",
    "When the token or client certificate in use ends; 0: not known. Days away and not moving: ask for a new one",
    labelnames=("cluster",),
)
WAITING_EVENTS = Gauge(
    "summit_cluster_waiting_events",
    "Changes that were read and are not known to be in the log; growing: NATS is slower than the cluster, or away",
    labelnames=("cluster",),
)
STANDING_BACK = Gauge(
    "summit_cluster_standing_back",
    "1 while another watcher has the cluster and this one waits; for minutes: two watchers have one configuration",
    labelnames=("cluster",),
)
EVENTS_PUBLISHED = Counter(
    "summit_cluster_events",
    "Changes of VMs and migrations that were published, by type; a storm of one cluster shows here",
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
WATCH_EVENTS = Counter(
    "summit_watch_events",
    "Events of watches by type; BOOKMARKs alone: nothing happens there, none at all: see the stream's state",
    labelnames=(*_STREAM, "type"),
)
WATCH_RESTARTS = Counter(
    "summit_watch_restarts",
    "Watches that ended, by reason; 'eof' every few minutes is normal, a rate of all else is trouble",
    labelnames=(*_STREAM, "reason"),
)
LISTS = Counter(
    "summit_lists",
    "Complete lists; more than a few an hour: watches cannot be resumed, the cluster pays",
    labelnames=_STREAM,
)
SYNTHETIC_DELETES = Counter(
    "summit_synthetic_deletes",
    "Deletes found by comparing lists, which no watch told; normal after down time, otherwise watches lose events",
    labelnames=_STREAM,
)
RELIST_DRIFT = Counter(
    "summit_relist_drift",
    "Differences that no watch had told, found by a periodic list or after etcd was restored; else above 0: report it",
    labelnames=_STREAM,
)
DECODE_ERRORS = Counter(
    "summit_decode_errors",
    "Lines, pages or objects that could not be read; they are in the log by digest",
    labelnames=_STREAM,
)
REGRESSIONS = Counter(
    "summit_resource_version_regressions",
    "Times that a cluster's resourceVersion went backwards; above 0: etcd was restored, or another cluster answers",
    labelnames=_STREAM,
)

_OF_A_CLUSTER = (
    CLUSTER_SYNCED, CLUSTER_LAST_CONTACT, CREDENTIALS_EXPIRE, WAITING_EVENTS, STANDING_BACK, EVENTS_PUBLISHED,
    STREAM_STATE, STREAM_LAST_CONTACT, WATCH_EVENTS, WATCH_RESTARTS, LISTS, SYNTHETIC_DELETES, RELIST_DRIFT,
    DECODE_ERRORS, REGRESSIONS,
)  # fmt: skip


def set_cluster(health: ClusterHealth) -> None:
    CLUSTER_SYNCED.labels(health.name).set(health.state is ConnectionState.SYNCED)
    CLUSTER_LAST_CONTACT.labels(health.name).set(timestamp(health.last_contact))
    CREDENTIALS_EXPIRE.labels(health.name).set(timestamp(health.credentials_expire_at))
    WAITING_EVENTS.labels(health.name).set(health.waiting_events)
    STANDING_BACK.labels(health.name).set(0)


def forget_cluster(cluster: ClusterName) -> None:
    """Remove the series of a cluster that is no longer watched: they would stay as they were, for ever."""
    for metric in _OF_A_CLUSTER:
        metric.remove_by_labels({"cluster": cluster})


def stand_back(cluster: ClusterName) -> None:
    """Leave the series of a cluster to the watcher that has it now."""
    forget_cluster(cluster)
    STANDING_BACK.labels(cluster).set(1)


def timestamp(moment: datetime | None) -> float:
    return moment.timestamp() if moment else 0.0
