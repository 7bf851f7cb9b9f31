"""The live feed of this process: its parts, put together."""

import asyncio
from datetime import UTC, datetime

from summit_api.feed.clusters import Clusters
from summit_api.feed.hub import Hub
from summit_api.feed.limits import FeedLimits
from summit_api.feed.snapshot import Snapshots
from summit_api.feed.source import Source
from summit_api.feed.subscription import FeedRequest, Subscription
from summit_api.freshness import Freshness
from summit_api.query.read_transaction import ReadModels
from summit_api.revisions import Revisions
from summit_api.settings import ApiTimes


class Feed:
    """`follow` and `watch_clusters` run for the life of the process; each client has a subscription."""

    def __init__(
        self,
        read_models: ReadModels,
        freshness: Freshness,
        revisions: Revisions,
        *,
        times: ApiTimes,
        limits: FeedLimits,
    ) -> None:
        self.hub = Hub(limits.buffer_bytes)
        self._staleness_seconds = times.staleness_seconds
        self._clusters = Clusters(freshness)
        self._source = Source(self.hub, self._clusters, read_models, revisions, times=times, limits=limits)
        self._snapshots = Snapshots(read_models, self._clusters, times=times, limits=limits)

    async def follow(self) -> None:
        """Publish each change of the tables, for ever."""
        await self._source.follow()

    async def watch_clusters(self) -> None:
        """Publish which clusters become stale or fresh, for ever: also without NATS, when all become stale."""
        while True:
            self.hub.publish(self._clusters.turned(datetime.now(UTC)))
            await asyncio.sleep(self._staleness_seconds)

    def subscription(self, request: FeedRequest) -> Subscription:
        return Subscription(
            request, hub=self.hub, source=self._source, clusters=self._clusters, snapshots=self._snapshots
        )
