"""What the watchers report of each cluster: their newest heartbeats, kept in memory.

Watchers write one about every ten seconds; the tables only get changes of state. A cluster whose last contact is older
than 90 seconds is stale, and so are its VMs; and so is one of which no watcher has reported for that long. Without NATS
all clusters become stale, and the api still answers. They are stale, too, while the tables do not follow the log.
"""

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import NamedTuple

from nats.aio.client import Client

from summit_api.lag import Lag
from summit_api.render.moment import Moment
from summit_models.cluster import STALE_AFTER_SECONDS, ClusterHealth
from summit_models.contract import ClusterName
from summit_runtime.nats.connection.clock import Clock
from summit_runtime.nats.streams import heartbeats
from summit_runtime.nats.streams.leases import LeaseTable

STALE_AFTER = timedelta(seconds=STALE_AFTER_SECONDS)


class Report(NamedTuple):
    """What a watcher reported last of a cluster."""

    health: ClusterHealth
    at: datetime
    """When NATS stored it, by the clock of NATS: that of a watcher may be wrong."""


class Freshness:
    """The newest report of each cluster, and the clock that its times are of."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.lag = Lag()
        self.leases = LeaseTable()
        """Which watchers run, and who has which cluster."""
        self._reports: dict[ClusterName, Report] = {}
        self.is_connected: Callable[[], bool] = lambda: False
        """Whether reports can arrive at all."""
        self.log_trouble: Callable[[], str | None] = lambda: None if self.is_connected() else "not connected"
        """Why the log cannot be used; None when it can be."""

    def note(self, health: ClusterHealth, at: datetime) -> None:
        self._reports[health.name] = Report(health, at)

    def reports(self) -> Collection[Report]:
        return self._reports.values()

    def health(self, name: ClusterName) -> ClusterHealth | None:
        report = self._reports.get(name)
        return report and report.health

    def fresh_clusters(self, now: datetime) -> frozenset[ClusterName]:
        """Names of the clusters with a contact and a report in the last 90 s; all others are stale.

        A report of the future is from before the clock of NATS was set back: nobody knows how old it is.
        """
        oldest, latest = now - STALE_AFTER, now + STALE_AFTER
        return frozenset(
            name
            for name, (health, at) in self._reports.items()
            if health.last_contact and min(health.last_contact, at) >= oldest and at <= latest
        )

    def moment(self, now: datetime) -> Moment:
        """The moment of an answer that is made now, by the clock of this machine."""
        shared, behind = self.clock.shared(now), self.lag.behind
        fresh = frozenset() if behind else self.fresh_clusters(shared)
        return Moment(shared, fresh, self.is_connected(), behind, self.leases.lease)


async def follow(client: Client, freshness: Freshness) -> None:
    """Keep `freshness` up to date for ever; wait while the connection or the bucket is away."""
    freshness.is_connected = lambda: client.is_connected
    async for heartbeat, stored_at in heartbeats.follow(client):
        freshness.note(heartbeat, stored_at)
