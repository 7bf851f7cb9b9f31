"""The live feed of this process: its parts, put together."""

import asyncio
from datetime import UTC, datetime

from nats.aio.client import Client

from summit_api.feed.clusters import Clusters
from summit_api.feed.hub import Hub
from summit_api.feed.snapshot import Snapshots
from summit_api.feed.source import Source
from summit_api.feed.subscription import Subscription, Wish
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
        buffer_bytes: int,
    ) -> None:
        self._times = times
        self.hub = Hub(buffer_bytes)
        self._clusters = Clusters(freshness)
        self._source = Source(self.hub, self._clusters, read_models, revisions, times)
        self._snapshots = Snapshots(read_models, self._clusters, times)

    async def follow(self, client: Client) -> None:
        """Tell what the tables take in from the log, for ever."""
        await self._source.follow(client)

    async def watch_clusters(self) -> None:
        """Tell which clusters become stale or fresh, for ever: also without NATS, when all do."""
        while True:
            self.hub.publish(self._clusters.turned(datetime.now(UTC)))
            await asyncio.sleep(self._times.staleness_seconds)

    def subscription(self, wish: Wish) -> Subscription:
        return Subscription(wish, hub=self.hub, source=self._source, clusters=self._clusters, snapshots=self._snapshots)
