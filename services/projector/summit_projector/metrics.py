"""The projector's series, counted once a batch. Each help text says what a change means."""

from prometheus_client import Counter, Gauge, Histogram

ACTIVE = Gauge("summit_projector_active", "1 while this projector applies events, 0 while it stands by or waits")
REVISION = Gauge(
    "summit_projector_revision", "Stream sequence of the last event in the tables; it only falls when they are rewound"
)
LAG = Gauge(
    "summit_projector_lag_messages",
    "Events in the stream that are not applied yet; rising for long: Postgres is slow or away",
)
BATCH_EVENTS = Histogram(
    "summit_projector_batch_events",
    "Events in one transaction; large ones mean that events come faster than commits",
    buckets=(1, 4, 16, 64, 256, 1024, 4096),
)
COMMIT_SECONDS = Histogram(
    "summit_projector_commit_duration_seconds",
    "One transaction with rows, journal and checkpoint; rising: Postgres or its disk is slow",
    buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)
EVENT_TO_ROW_SECONDS = Histogram(
    "summit_event_to_row_seconds",
    "From observed in the cluster to committed, of the oldest event in each batch, by the clock of NATS; readers wait "
    "so long",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.15, 0.5, 2.5, 10, 60, 600),
)
DEAD_LETTERS = Counter(
    "summit_projector_set_aside_events", "Events that could not be applied; any: see `summit-connect status`, report it"
)
DEAD_LETTERS_KEPT = Gauge("summit_projector_set_aside_kept", "Rows of the table dead_letters, with reason and event")
RESTARTS = Counter(
    "summit_projector_restarts",
    "Times that applying began again from the checkpoint, by cause; rising: that server has trouble",
    labelnames=("reason",),
)
REWINDS = Counter(
    "summit_projector_rewinds",
    "Times that the stream was not the one that was applied: NATS lost data, or was restored",
)
SWEPT = Counter("summit_projector_swept_rows", "Rows deleted because a replayed stream does not have them")

RESTART_REASONS = ("postgres", "nats", "checkpoint_moved", "stream_replaced")
for _reason in RESTART_REASONS:
    RESTARTS.labels(_reason)
