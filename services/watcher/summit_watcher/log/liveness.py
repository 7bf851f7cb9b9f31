"""Whether a watcher speaks of a cluster: in the log, or with a sign of life in the bucket."""

import asyncio
import contextlib
import time
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from summit_models.contract import ClusterName, DatacenterId
from summit_models.subject import STREAM, cluster_subject
from summit_runtime.nats import heartbeats
from summit_watcher.settings import WatcherTimes


class _Sign(NamedTuple):
    sequence: int
    stored_at: datetime | None


async def is_silent(client: Client, datacenter: DatacenterId, cluster: ClusterName, times: WatcherTimes) -> bool:
    """Has no watcher spoken of the cluster for a while? When in doubt, one has."""
    try:
        words = await _last_words(client, datacenter, cluster)
    except (NatsError, TimeoutError):
        return False
    since = datetime.now(UTC) - timedelta(seconds=times.silent_seconds)
    return all(word.stored_at is not None and word.stored_at < since for word in words)


async def until_silent(client: Client, datacenter: DatacenterId, cluster: ClusterName, times: WatcherTimes) -> None:
    """Listen until no watcher has spoken of the cluster for a while, by our own clock: the server's may differ."""
    heard: list[int] | None = None
    heard_at = time.monotonic()
    while time.monotonic() < heard_at + times.silent_seconds:
        try:
            now = [word.sequence for word in await _last_words(client, datacenter, cluster)]
        except (NatsError, TimeoutError):
            now = None  # it is NATS that says nothing
        if now != heard or now is None:
            heard, heard_at = now, time.monotonic()
        await asyncio.sleep(times.listen_seconds)


async def _last_words(client: Client, datacenter: DatacenterId, cluster: ClusterName) -> list[_Sign]:
    """The newest event of the cluster and the newest sign of life, as far as there are any."""
    signs = []
    with contextlib.suppress(NotFoundError):
        event = await client.jetstream().get_last_msg(STREAM, cluster_subject(datacenter, cluster), direct=True)
        signs.append(_Sign(event.seq or 0, event.time))
    if heartbeat := await heartbeats.last(client, datacenter, cluster):
        signs.append(_Sign(heartbeat.sequence, heartbeat.stored_at))
    return signs
