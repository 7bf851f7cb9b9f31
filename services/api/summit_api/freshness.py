"""How fresh the known state of each cluster is: the newest heartbeat of its watcher, kept in memory.

Watchers write one about every ten seconds; the tables only get changes of state. A cluster whose last contact is older
than 90 seconds is stale, and so are its VMs. Without NATS all clusters become stale, and the api still answers.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from nats.aio.client import Client

from summit_api.render.moment import Moment
from summit_models.cluster import STALE_AFTER_SECONDS, ClusterHealth
from summit_models.contract import ClusterName
from summit_runtime.nats import heartbeats
from summit_runtime.nats.clock import Clock

STALE_AFTER = timedelta(seconds=STALE_AFTER_SECONDS)


class Freshness:
    """The newest known health of each cluster, and the clock that its times are of."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self._healths: dict[ClusterName, ClusterHealth] = {}

    def note(self, health: ClusterHealth) -> None:
        self._healths[health.name] = health

    def healths(self) -> Iterable[ClusterHealth]:
        return self._healths.values()

    def fresh_clusters(self, now: datetime) -> frozenset[ClusterName]:
        """Names of the clusters with a contact in the last 90 s; all others are stale."""
        oldest = now - STALE_AFTER
        return frozenset(
            name for name, health in self._healths.items() if health.last_contact and health.last_contact >= oldest
        )

    def moment(self, now: datetime) -> Moment:
        """The moment of an answer that is made now, by the clock of this machine."""
        shared = self.clock.shared(now)
        return Moment(shared, self.fresh_clusters(shared))


async def follow(client: Client, freshness: Freshness) -> None:
    """Keep `freshness` up to date for ever; wait while the connection or the bucket is away."""
    async for heartbeat in heartbeats.follow(client):
        freshness.note(heartbeat)
