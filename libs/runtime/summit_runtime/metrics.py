"""The Prometheus series that every process has, and how they are exposed.

Each service declares its own series in its module `metrics`, at import: so they exist, with 0, before the first thing
happens, and `rate()` sees the first error. Labels are clusters, resources and small enums, never a VM's name. Nothing
is counted per event where a batch can be counted; a value that an object has anyway is read when Prometheus asks.
"""

import importlib.metadata

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client import generate_latest as _generate

CONTENT_TYPE = CONTENT_TYPE_LATEST

disable_created_metrics()  # type: ignore[no-untyped-call]  # one more series for each counter, which nobody graphs

BUILD = Gauge(
    "summit_build_info", "Always 1; a new version among the labels is the moment of an upgrade", labelnames=("version",)
)
BUILD.labels(importlib.metadata.version("summit-connect")).set(1)

NATS_CONNECTED = Gauge("summit_nats_connected", "1 while connected to NATS; 0: publishing and reading wait")
NATS_RECONNECTS = Counter("summit_nats_reconnects", "Connections to NATS that came back; rising: network or server")

UNACKNOWLEDGED = Gauge(
    "summit_publish_unacknowledged_events",
    "Events that NATS has not confirmed yet; near 2048 a cluster: NATS is slow or away, and watches stand still",
)
DENIED = Gauge(
    "summit_publish_denied_events",
    "Waiting events that the user of NATS_URL may not publish; above 0: grant the permission that the log names",
)
PUBLISHED = Counter("summit_published_events", "Events that NATS has stored; 0 per minute in a busy fleet is wrong")
RESENT = Counter("summit_publish_resent_events", "Events sent once more; rising: NATS refuses, restarts or is slow")
DROPPED = Counter("summit_publish_dropped_events", "Events that NATS can never store; above 0: report it, with the log")
REPUBLISHED = Counter(
    "summit_republished_events",
    "Confirmed events sent again because NATS had lost them; rising: it loses power or its disk",
)
PUBLISH_FAILURES = Counter(
    "summit_publish_failures",
    "Batches that failed; the log has the reason of 'refused' and 'denied', and 'unanswered' means a slow server",
    labelnames=("reason",),
)
PUBLISH_FAILURE_REASONS = ("refused", "denied", "unanswered", "disconnected")
for _reason in PUBLISH_FAILURE_REASONS:
    PUBLISH_FAILURES.labels(_reason)
PUBLISH_SECONDS = Histogram(
    "summit_publish_duration_seconds",
    "From an event handed over to its place in the log, of the oldest in each answer; rising: NATS or its disk is slow",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10),
)


def exposition() -> bytes:
    """All series of this process, in Prometheus' text format."""
    return _generate(REGISTRY)
