"""The api's metrics, and the middleware that measures the time of each request.

The label of a route is its pattern, never the path of the request: ids would make endless series.
"""

import time
from collections.abc import Mapping

from fastapi.routing import APIRoute
from prometheus_client import Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from summit_models.cluster import ConnectionState

REQUEST_SECONDS = Histogram(
    "summit_http_request_duration_seconds",
    "From the request to the start of its answer; rising for one route: its query, for all: Postgres or the machine",
    labelnames=("method", "route", "code"),
    buckets=(0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2, 10),
)
FEED_CLIENTS = Gauge("summit_feed_clients", "Open feeds of this process; all gone at once: it was restarted")
FEED_MESSAGES = Counter(
    "summit_feed_messages",
    "Changes sent, each counted once for all clients; 0 while lists change: the journal is not read",
    ("type",),
)
FEED_RESETS = Counter(
    "summit_feed_resets",
    "Clients that had to list again, by reason; too_slow: their network, replaced: the log or a rebuild",
    ("reason",),
)
EVENT_TO_FEED_SECONDS = Histogram(
    "summit_event_to_feed_seconds",
    "From observed in the cluster to handed to the feed's clients, of the oldest event in each piece, by the clock of "
    "NATS; followers wait so long",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.15, 0.5, 2.5, 10, 60, 600),
)
CLUSTERS = Gauge(
    "summit_clusters",
    "Clusters by their state as GET /api/v1/clusters shows it; stale: nobody watches them, they are silent, or the "
    "tables do not follow the log",
    ("state",),
)
TABLES_BEHIND = Gauge(
    "summit_tables_behind_seconds",
    "Age of the oldest event that the tables do not have; above 30: the projector hangs, is away, or catches up",
)


def count_clusters(by_state: Mapping[ConnectionState, int]) -> None:
    """Set the number of clusters in each state."""
    for state in ConnectionState:
        CLUSTERS.labels(state).set(by_state.get(state, 0))


count_clusters({})

NO_ROUTE = "none"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Timing:
    """ASGI middleware, the innermost: the router puts the route into the scope that it passes on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, status, ended = time.perf_counter(), 500, None

        async def timed(message: Message) -> None:
            nonlocal status, ended
            if message["type"] == "http.response.start":
                status, ended = message["status"], time.perf_counter()
            await send(message)

        try:
            await self._app(scope, receive, timed)
        finally:
            _observe(scope, status, (ended or time.perf_counter()) - started)


def _observe(scope: Scope, status: int, seconds: float) -> None:
    """Clients can invent methods and paths, and must not create a series with each."""
    method = scope["method"] if scope["method"] in _METHODS else "other"
    REQUEST_SECONDS.labels(method, _route(scope), str(status)).observe(seconds)


def _route(scope: Scope) -> str:
    """The route's whole pattern: FastAPI has the part below the router's prefix, and the path has the prefix."""
    route = scope.get("route")
    if not isinstance(route, APIRoute):
        return NO_ROUTE
    below = route.path_format.format(**scope["path_params"])
    path: str = scope["path"]
    return path.removesuffix(below) + route.path_format if path.endswith(below) else route.path_format
