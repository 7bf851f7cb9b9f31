"""Whether a watcher has a cluster: it publishes events of the cluster, or writes heartbeats into the bucket."""

import asyncio
import contextlib
import time
from datetime import datetime

from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from summit_models.contract import ClusterName, DatacenterId
from summit_models.subject import STREAM, cluster_subject
from summit_runtime.nats import heartbeats
from summit_runtime.nats.bus import EventClient
from summit_watcher.settings import WatcherTimes


async def is_silent(client: EventClient, datacenter: DatacenterId, cluster: ClusterName, times: WatcherTimes) -> bool:
    """Whether no watcher has published anything of the cluster for a while. False if NATS does not answer."""
    try:
        return await _quiet_seconds(client, datacenter, cluster) >= times.silent_seconds
    except (NatsError, TimeoutError):
        return False


async def until_silent(
    client: EventClient, datacenter: DatacenterId, cluster: ClusterName, times: WatcherTimes
) -> None:
    """Wait until no watcher has published anything of the cluster for a while, and no longer.

    Time in which NATS does not answer does not count, because a watcher could not publish then.
    """
    answers_since = float("-inf")
    while True:
        try:
            quiet_seconds = await _quiet_seconds(client, datacenter, cluster)
        except (NatsError, TimeoutError):
            await asyncio.sleep(times.listen_seconds)
            answers_since = time.monotonic()
            continue
        seconds = times.silent_seconds - min(quiet_seconds, time.monotonic() - answers_since)
        if seconds <= 0:
            return
        await asyncio.sleep(seconds)


async def _quiet_seconds(client: EventClient, datacenter: DatacenterId, cluster: ClusterName) -> float:
    """How long ago the newest event and the newest heartbeat of a cluster were stored; infinite if there is none."""
    stored_at: list[datetime | None] = []
    with contextlib.suppress(NotFoundError):
        event = await client.jetstream().get_last_msg(STREAM, cluster_subject(datacenter, cluster), direct=True)
        stored_at.append(event.time)
    if heartbeat := await heartbeats.last(client, datacenter, cluster):
        stored_at.append(heartbeat.stored_at)
    now = client.clock.now()
    return min(((now - (at or now)).total_seconds() for at in stored_at), default=float("inf"))
