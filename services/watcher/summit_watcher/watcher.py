"""The watcher process: one supervised task per cluster, one connection to NATS.

What a cluster does to its own task stays there. NATS is everybody's: while it is away all wait, and go on afterwards.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from nats.aio.client import Client
from pydantic import ValidationError

from summit_models.datacenter import Datacenter
from summit_models.event import DatacenterEvent, datacenter_subject, source_of
from summit_runtime import bus
from summit_runtime.consumer import snapshot
from summit_runtime.probes import serve_probes
from summit_runtime.publisher import Publisher, publishing
from summit_watcher.activity import ActivityLog
from summit_watcher.cluster import ClusterWatcher
from summit_watcher.config import DatacenterConfig, load
from summit_watcher.fleet import Fleet, changes, chosen, digest
from summit_watcher.settings import WatcherSettings

logger = logging.getLogger("summit.watcher")

FLUSH_SECONDS = 3.0
"""How long a watcher that stops waits for its last events to be stored; what is not is found at the next start.

`summit-connect` waits for four seconds in all.
"""


async def watch(settings: WatcherSettings, stop: asyncio.Event) -> None:
    """Watch the configured clusters until `stop`."""
    client = await bus.connect(settings.nats_url, name="watcher")
    try:
        await bus.ensure_stream(client)
        async with publishing(client) as publisher:
            await _watch_fleet(settings, client, publisher, stop)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await publisher.flush()
    finally:
        await bus.close(client)


async def _watch_fleet(settings: WatcherSettings, client: Client, publisher: Publisher, stop: asyncio.Event) -> None:
    activity = ActivityLog()
    async with asyncio.TaskGroup() as tasks:
        fleet = Fleet(tasks, lambda cluster: ClusterWatcher(cluster, client, publisher, activity))
        checks = {"nats": lambda: None if client.is_connected else "not connected", "clusters": fleet.untried}
        background = [
            tasks.create_task(bus.watch_connection(client)),
            tasks.create_task(bus.watch_stream(client)),
            tasks.create_task(_follow_configuration(settings, fleet, client, publisher)),
        ]
        async with serve_probes(settings.probe_host, settings.probe_port, checks):
            await stop.wait()
        for task in background:
            task.cancel()
        await fleet.end()


async def _follow_configuration(settings: WatcherSettings, fleet: Fleet, client: Client, publisher: Publisher) -> None:
    read = digest(settings.config)
    configuration = load(settings.config)
    while True:
        datacenters = chosen(configuration, settings.datacenters)
        logger.info("Starting VM watcher for %d clusters", sum(len(d.clusters) for d in datacenters))
        await _declare(datacenters, client, publisher)
        await fleet.watch(datacenters, keep_missing=bool(configuration.mistakes))
        configuration, read = await changes(settings.config, read)


async def _declare(datacenters: Sequence[DatacenterConfig], client: Client, publisher: Publisher) -> None:
    """Publish each datacenter whose declaration differs from what the log says."""
    published = {m.subject: m.body async for m in snapshot(client, "summit.datacenters.*")}
    for config in datacenters:
        subject = datacenter_subject(config.id)
        declared = _datacenter(config)
        if _said(published.get(subject)) != declared:
            event = _declaration(declared)
            await publisher.publish(subject, event.model_dump_json().encode(), event.id)


def _said(body: bytes | None) -> Datacenter | None:
    """What an event of the log says; None for none, and for one that this version cannot read."""
    try:
        return DatacenterEvent.model_validate_json(body).data if body else None
    except ValidationError:
        return None


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
