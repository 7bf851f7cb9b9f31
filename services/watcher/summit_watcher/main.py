"""The watcher process: one supervised task per cluster, one connection to NATS.

What a cluster does to its own task stays there. NATS is everybody's: while it is away all wait, and go on afterwards.
"""

import asyncio
import contextlib
import logging

from nats.aio.client import Client

from summit_models.contract import DatacenterId
from summit_runtime.nats import bus
from summit_runtime.nats.bus import EventClient
from summit_runtime.nats.publisher import Publisher, publishing
from summit_runtime.nats.stream import ensure_stream, watch_stream
from summit_runtime.probes import Check, serve_probes
from summit_runtime.waiting import end
from summit_watcher.activity import ActivityLog
from summit_watcher.cluster import ClusterWatcher
from summit_watcher.config.datacenters import load
from summit_watcher.log.datacenters import declare
from summit_watcher.log.retirement import retire, retire_empty, retire_undeclared
from summit_watcher.settings import TIMES, WatcherSettings, WatcherTimes
from summit_watcher.supervisor import Supervisor, changes, chosen, digest

logger = logging.getLogger("summit.watcher")


async def watch(settings: WatcherSettings, stop: asyncio.Event, times: WatcherTimes = TIMES) -> None:
    """Watch the configured clusters until `stop`. Probes are answered from the beginning, also while NATS is away."""
    checks: dict[str, Check] = {"nats": lambda: "not connected"}
    async with serve_probes(settings.probe_host, settings.probe_port, checks):
        client = await bus.connect(settings.nats_url, name="watcher", times=times.nats)
        try:
            await ensure_stream(client)
            async with publishing(client) as publisher:
                await _supervise(settings, times=times, client=client, publisher=publisher, checks=checks, stop=stop)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(times.flush_seconds):
                        await publisher.flush()
        finally:
            await bus.close(client)


async def _supervise(
    settings: WatcherSettings,
    *,
    times: WatcherTimes,
    client: EventClient,
    publisher: Publisher,
    checks: dict[str, Check],
    stop: asyncio.Event,
) -> None:
    activity = ActivityLog()
    async with asyncio.TaskGroup() as tasks:
        supervisor = Supervisor(
            tasks,
            lambda cluster: ClusterWatcher(cluster, client, publisher, activity, times),
            lambda cluster: retire(client, publisher, cluster.datacenter, cluster.name),
        )
        checks |= {"nats": lambda: None if client.is_connected else "not connected", "clusters": supervisor.untried}
        background = [
            tasks.create_task(bus.watch_connection(client)),
            tasks.create_task(watch_stream(client)),
            tasks.create_task(_follow_configuration(settings, times, supervisor, client, publisher)),
        ]
        await stop.wait()
        await asyncio.gather(*map(end, background))
        await supervisor.end()


async def _follow_configuration(
    settings: WatcherSettings, times: WatcherTimes, supervisor: Supervisor, client: Client, publisher: Publisher
) -> None:
    read = digest(settings.config)
    configuration = load(settings.config)
    former: set[DatacenterId] = set()
    while True:
        datacenters = chosen(configuration, settings.datacenters)
        logger.info("Starting VM watcher for %d clusters", sum(len(d.clusters) for d in datacenters))
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(declare(datacenters, client))]
            await supervisor.watch(datacenters, keep_missing=bool(configuration.mistakes))
            if not configuration.mistakes:
                for removed in sorted(former - {datacenter.id for datacenter in datacenters}):
                    await retire_empty(client, removed)
                former.clear()
                background.append(tasks.create_task(retire_undeclared(client, publisher, datacenters, times)))
            former.update(datacenter.id for datacenter in datacenters)
            configuration, read = await changes(settings.config, read, times)
            await asyncio.gather(*map(end, background))
