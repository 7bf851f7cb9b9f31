"""Whether a watcher has a cluster: it publishes events of the cluster, or writes heartbeats into the bucket."""

import asyncio
import contextlib
import math
import time
from datetime import datetime

from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from summit_models.contract import ClusterName, DatacenterId
from summit_models.subject import STREAM, cluster_subject
from summit_runtime.nats import heartbeats
from summit_runtime.nats.bus import EventClient
from summit_watcher.settings import WatcherTimes


async def silent_in(client: EventClient, datacenter: DatacenterId, cluster: ClusterName, times: WatcherTimes) -> float:
    """In how many seconds the cluster is silent if no watcher publishes anything of it; 0 when it is.

    If NATS does not answer, that is asked again in some seconds.
    """
    try:
        signs = await _newest_signs(client, datacenter, cluster)
    except (NatsError, TimeoutError):
        return times.listen_seconds
    now = client.clock.now()
    quiet_seconds = min(((now - stored_at).total_seconds() for _, stored_at in signs if stored_at), default=math.inf)
    return max(0.0, times.silent_seconds - quiet_seconds)


async def until_silent(
    client: EventClient, datacenter: DatacenterId, cluster: ClusterName, times: WatcherTimes
) -> None:
    """Wait until no watcher has published anything of the cluster for a while.

    Our own clock measures the time, as the server's may differ. The wait begins again when NATS does not answer.
    """
    last: list[int] | None = None
    changed_at = time.monotonic()
    while time.monotonic() < changed_at + times.silent_seconds:
        try:
            newest = [sequence for sequence, _ in await _newest_signs(client, datacenter, cluster)]
        except (NatsError, TimeoutError):
            newest = None
        if newest != last or newest is None:
            last, changed_at = newest, time.monotonic()
        await asyncio.sleep(times.listen_seconds)


async def _newest_signs(
    client: EventClient, datacenter: DatacenterId, cluster: ClusterName
) -> list[tuple[int, datetime | None]]:
    """Sequence and time of the cluster's newest event and of its newest heartbeat, as far as there are any."""
    signs: list[tuple[int, datetime | None]] = []
    with contextlib.suppress(NotFoundError):
        event = await client.jetstream().get_last_msg(STREAM, cluster_subject(datacenter, cluster), direct=True)
        signs.append((event.seq or 0, event.time))
    if heartbeat := await heartbeats.last(client, datacenter, cluster):
        signs.append((heartbeat.sequence, heartbeat.stored_at))
    return signs
