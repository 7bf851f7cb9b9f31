"""The watcher process: one supervised task for each cluster of its share, one connection to NATS.

A failure of one cluster stays in the task of that cluster. All share NATS: while it is away they all wait, and go on
afterwards.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from importlib.metadata import version
from uuid import uuid4

from summit_models.contract import ClusterName, DatacenterId
from summit_models.watcher import Member, Place
from summit_runtime.nats.connection import bus
from summit_runtime.nats.connection.bus import EventClient
from summit_runtime.nats.connection.clock import Clock
from summit_runtime.nats.publishing.availability import Availability
from summit_runtime.nats.publishing.publisher import Publisher, publishing
from summit_runtime.nats.streams.leases import LeaseTable
from summit_runtime.nats.streams.stream import ensure_stream, watch_stream
from summit_runtime.probes import Check, serve_probes
from summit_runtime.waiting import end
from summit_watcher.cluster import ClusterWatcher
from summit_watcher.config.datacenters import ClusterConfig, DatacenterConfig
from summit_watcher.kube.identity import Identities
from summit_watcher.leases.holding import Holding
from summit_watcher.leases.share import Share
from summit_watcher.listwatch.page_slots import PageSlots
from summit_watcher.log.datacenters import declare
from summit_watcher.log.epoch import NO_EVENT, WATCHER, newest_events
from summit_watcher.log.identities import follow_identities
from summit_watcher.log.retirement import retire, retire_empty, retire_undeclared, unretired
from summit_watcher.operations.feed import OperationFeed
from summit_watcher.operations.overdue import Overdue
from summit_watcher.settings import TIMES, WatcherSettings, WatcherTimes
from summit_watcher.supervisor import Supervisor, chosen, configurations

logger = logging.getLogger("summit.watcher")


async def watch(
    settings: WatcherSettings, stop: asyncio.Event, times: WatcherTimes = TIMES, clock: Clock | None = None
) -> None:
    """Watch the configured clusters until `stop`. Probes are answered from the beginning, also while NATS is away."""
    checks: dict[str, Check] = {"nats": lambda: "not connected"}
    url, login = settings.nats_url, settings.nats_login
    async with (
        serve_probes(settings.probe_host, settings.probe_port, checks),
        bus.connected(url, name="watcher", times=times.nats, clock=clock, login=login) as client,
    ):
        availability = Availability(client)
        checks["nats"] = lambda: availability.trouble
        await ensure_stream(client, settings.nats_storage)
        await client.clock.ask(client)  # before the first event has a time
        async with publishing(client) as publisher:
            await _Watcher(settings, times, client, publisher, availability).run(checks, stop)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(times.flush_seconds):
                    await publisher.flush()


@dataclass(frozen=True)
class _Watcher:
    """The watchers of all clusters, from the moment when NATS is there."""

    settings: WatcherSettings
    times: WatcherTimes
    client: EventClient
    publisher: Publisher
    availability: Availability

    async def run(self, checks: dict[str, Check], stop: asyncio.Event) -> None:
        page_slots, identities = PageSlots(self.times.slow_page_seconds), Identities()
        operations, leases = OperationFeed(self.client), LeaseTable()
        async with asyncio.TaskGroup() as tasks:
            supervisor = Supervisor(
                tasks,
                lambda cluster, has_lease: ClusterWatcher(
                    cluster, self.client, self.publisher, self.times, page_slots, identities, operations, has_lease
                ),
                self._retire,
                self.times,
            )
            me = self._member()
            share = Share(supervisor, Holding(self.client, me, self.times), leases, me, tasks, self.times)
            checks["leases"] = lambda: None if share.is_taken else "it is not known yet which clusters others have"
            checks["clusters"] = supervisor.untried
            background = [
                tasks.create_task(bus.watch_connection(self.client)),
                tasks.create_task(self.availability.follow(self.times.nats.ping_seconds)),
                tasks.create_task(self.client.clock.follow(self.client, self.times.nats.ping_seconds)),
                tasks.create_task(watch_stream(self.client, self.settings.nats_storage)),
                tasks.create_task(leases.follow(self.client)),
                tasks.create_task(supervisor.follow_kubeconfigs()),
                tasks.create_task(self._follow_configuration(supervisor, share, identities)),
                tasks.create_task(follow_identities(self.client, identities, supervisor.watches)),
                tasks.create_task(operations.run()),
                tasks.create_task(Overdue(self.client, operations, self.settings.datacenters, self.times).run()),
            ]
            await stop.wait()
            await asyncio.gather(*map(end, background), supervisor.stop())
            await share.leave()

    def _member(self) -> Member:
        return Member(
            watcher=WATCHER,
            run=uuid4().hex[:8],
            since=self.client.clock.now(),
            version=version("summit-connect"),
            datacenters=[DatacenterId(datacenter) for datacenter in sorted(self.settings.datacenters)],
        )

    async def _retire(self, place: Place) -> None:
        """Retire a cluster in the log. Another watcher, whose file had it for longer, may have done so."""
        if place.cluster in await unretired(self.client, place.datacenter):
            await retire(self.client, self.publisher, place.datacenter, place.cluster)

    async def _follow_configuration(self, supervisor: Supervisor, share: Share, identities: Identities) -> None:
        """Have a share of the declared clusters, and retire those that are not declared any more, for ever."""
        former: set[DatacenterId] = set()
        background: list[asyncio.Task[None]] = []
        sharing: asyncio.Task[None] | None = None
        async with (
            asyncio.TaskGroup() as tasks,
            aclosing(configurations(self.settings.config, self.times)) as read,
        ):
            async for configuration in read:
                await asyncio.gather(*map(end, background))
                datacenters = chosen(configuration, self.settings.datacenters)
                logger.info("Starting VM watcher for %d clusters", sum(len(d.clusters) for d in datacenters))
                background = [tasks.create_task(declare(datacenters, self.client))]
                clusters = [cluster for datacenter in datacenters for cluster in datacenter.clusters]
                identities.declare([cluster.name for cluster in clusters], await self._known_identities(clusters))
                await supervisor.declare(datacenters, keep_missing=bool(configuration.mistakes))
                sharing = sharing or tasks.create_task(share.run())
                share.table.notify()
                if not configuration.mistakes:
                    background.append(tasks.create_task(self._retire_removed(supervisor, share, former, datacenters)))
                former.update(datacenter.id for datacenter in datacenters)

    async def _known_identities(self, clusters: Sequence[ClusterConfig]) -> Mapping[ClusterName, str]:
        """What the log knows of these clusters; nothing while NATS is away."""
        try:
            async with asyncio.timeout(self.times.nats.answer_seconds):
                newest = await newest_events(self.client)
        except TimeoutError:
            return {}
        events = {cluster.name: newest.get(Place(cluster.datacenter, cluster.name), NO_EVENT) for cluster in clusters}
        return {name: event.data.identity for name, event in events.items() if event.data.identity}

    async def _retire_removed(
        self, supervisor: Supervisor, share: Share, former: set[DatacenterId], datacenters: Sequence[DatacenterConfig]
    ) -> None:
        """Retire what is not declared any more: clusters, former datacenters without clusters, and what the log has.

        The log is asked last, or it would show clusters that are just being retired.
        """
        await supervisor.left()
        for removed in sorted(former - {datacenter.id for datacenter in datacenters}):
            await retire_empty(self.client, removed)
            former.discard(removed)
        await retire_undeclared(self.client, self.publisher, datacenters, share.holding.alone, self.times)
