"""The watcher process: one supervised task per cluster, one connection to NATS.

What a cluster does to its own task stays there. NATS is everybody's: while it is away all wait, and go on afterwards.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from nats.aio.client import Client

from summit_models.contract import ClusterName
from summit_models.datacenter import Datacenter
from summit_models.event import DatacenterEvent, datacenter_subject, source_of
from summit_runtime import bus
from summit_runtime.backoff import Backoff
from summit_runtime.consumer import snapshot
from summit_runtime.probes import serve_probes
from summit_runtime.process import supervised
from summit_runtime.publisher import Publisher, publishing
from summit_watcher.activity import ActivityLog
from summit_watcher.cluster import ClusterWatcher
from summit_watcher.config import Configuration, DatacenterConfig, load
from summit_watcher.settings import WatcherSettings

logger = logging.getLogger("summit.watcher")

FLUSH_SECONDS = 5.0
"""How long a watcher that stops waits for its last events to be stored; what is not is found at the next start."""


async def watch(settings: WatcherSettings, stop: asyncio.Event) -> None:
    """Watch the configured clusters until `stop`."""
    datacenters = chosen(load(settings.config), settings.datacenters)
    client = await bus.connect(settings.nats_url, name="watcher")
    try:
        await bus.ensure_stream(client)
        async with publishing(client) as publisher:
            await _declare(datacenters, client, publisher)
            await _watch_all(settings, datacenters, client, publisher, stop)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(publisher.flush(), FLUSH_SECONDS)
    finally:
        await bus.close(client)


def chosen(configuration: Configuration, wanted: frozenset[str]) -> Sequence[DatacenterConfig]:
    """The datacenters to watch; mistakes of the file and of the choice are told, and cost only themselves."""
    for mistake in configuration.mistakes:
        logger.error("%s", mistake)
    for unknown in sorted(wanted - {datacenter.id for datacenter in configuration.datacenters}):
        logger.error("WATCHER_DATACENTERS names %r, which is not in the configuration", unknown)
    return [d for d in configuration.datacenters if not wanted or d.id in wanted]


async def _watch_all(
    settings: WatcherSettings,
    datacenters: Sequence[DatacenterConfig],
    client: Client,
    publisher: Publisher,
    stop: asyncio.Event,
) -> None:
    activity = ActivityLog()
    watchers = {
        cluster.name: ClusterWatcher(cluster, client, publisher, activity)
        for datacenter in datacenters
        for cluster in datacenter.clusters
    }
    logger.info("Starting VM watcher for %d clusters", len(watchers))
    checks = {
        "nats": lambda: None if client.is_connected else "not connected",
        "clusters": lambda: _untried(watchers),
    }
    async with serve_probes(settings.probe_host, settings.probe_port, checks), asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(supervised(f"watcher of cluster {name}", watcher.run, retry=Backoff()))
            for name, watcher in watchers.items()
        ]
        running.append(tasks.create_task(bus.watch_connection(client)))
        await stop.wait()
        for task in running:
            task.cancel()


def _untried(watchers: Mapping[ClusterName, ClusterWatcher]) -> str | None:
    untried = [name for name, watcher in watchers.items() if not watcher.tried]
    return f"not tried yet: {', '.join(untried)}" if untried else None


async def _declare(datacenters: Sequence[DatacenterConfig], client: Client, publisher: Publisher) -> None:
    """Publish each datacenter whose declaration differs from what the log says."""
    published = {m.subject: m.body async for m in snapshot(client, "summit.datacenters.*")}
    for config in datacenters:
        subject = datacenter_subject(config.id)
        declared = _datacenter(config)
        if subject not in published or DatacenterEvent.model_validate_json(published[subject]).data != declared:
            event = _declaration(declared)
            await publisher.publish(subject, event.model_dump_json().encode(), event.id)


def _datacenter(config: DatacenterConfig) -> Datacenter:
    return Datacenter(
        id=config.id,
        name=config.name,
        location=config.location,
        coordinates=config.coordinates,
        clusters=[cluster.name for cluster in config.clusters],
    )


def _declaration(datacenter: Datacenter) -> DatacenterEvent:
    now = datetime.now(UTC)
    return DatacenterEvent(
        id=f"{datacenter.id}/{now.isoformat()}",
        source=source_of(datacenter.id),
        subject=datacenter.id,
        time=now,
        data=datacenter,
    )
