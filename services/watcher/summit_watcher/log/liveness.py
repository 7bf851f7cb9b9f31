"""Whether a watcher has a cluster: it publishes events of the cluster, or writes heartbeats into the bucket."""

import asyncio
import time
from datetime import datetime

from nats.errors import Error as NatsError

from summit_models.contract import ClusterName, DatacenterId
from summit_models.subject import cluster_subject
from summit_runtime.nats.connection.bus import EventClient
from summit_runtime.nats.streams import heartbeats
from summit_runtime.nats.streams.stored import last_message
from summit_watcher.settings import WatcherTimes


async def is_silent(client: EventClient, datacenter: DatacenterId, cluster: ClusterName, times: WatcherTimes) -> bool:
    """Whether no watcher has published anything of the cluster for a while. False if NATS does not answer."""
    try:
        return _since(client, await _newest(client, datacenter, cluster)) >= times.silent_seconds
    except (NatsError, TimeoutError):
        return False


async def until_silent(
    client: EventClient, datacenter: DatacenterId, cluster: ClusterName, times: WatcherTimes
) -> None:
    """Wait until no watcher has published anything of the cluster for a while, and no longer.

    Time in which NATS does not answer does not count, because a watcher could not publish then. A report of the future,
    from before the clock of NATS was set back, counts from when it was first seen.
    """
    answers_since, newest, seen_at = float("-inf"), None, time.monotonic()
    while True:
        try:
            before, newest = newest, await _newest(client, datacenter, cluster)
        except (NatsError, TimeoutError):
            await asyncio.sleep(times.listen_seconds)
            answers_since = time.monotonic()
            continue
        now = time.monotonic()
        seen_at = seen_at if newest == before else now
        quiet_seconds = max(_since(client, newest), now - seen_at)
        seconds = times.silent_seconds - min(quiet_seconds, now - answers_since)
        if seconds <= 0:
            return
        await asyncio.sleep(seconds)


async def _newest(client: EventClient, datacenter: DatacenterId, cluster: ClusterName) -> datetime | None:
    """When the newest event or heartbeat of a cluster was stored; None if there is none."""
    stored_at: list[datetime | None] = []
    if event := await last_message(client, cluster_subject(datacenter, cluster)):
        stored_at.append(event.time)
    if heartbeat := await heartbeats.last(client, datacenter, cluster):
        stored_at.append(heartbeat.stored_at)
    return max((at or client.clock.now() for at in stored_at), default=None)


def _since(client: EventClient, stored_at: datetime | None) -> float:
    """Seconds since then by the clock of NATS; infinite if there was nothing."""
    return (client.clock.now() - stored_at).total_seconds() if stored_at else float("inf")
