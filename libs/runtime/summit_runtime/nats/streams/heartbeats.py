"""Heartbeats: the health of each cluster some seconds ago, in the KV bucket `summit-clusters`.

A watcher writes one about every ten seconds, under the key `<datacenter>.<cluster>`; only the last one is kept.
Readers compare the times that the server gave: clocks of watchers differ.
"""

import contextlib
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import NamedTuple

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import KeyValueConfig
from pydantic import ValidationError

from summit_models.cluster import Heartbeat
from summit_models.contract import ClusterName, DatacenterId
from summit_models.subject import HEALTH_BUCKET
from summit_runtime.nats.streams.consumer import consume
from summit_runtime.nats.streams.promises import Promises
from summit_runtime.nats.streams.stored import last_message

logger = logging.getLogger("summit.nats")

ANSWER_SECONDS = 5.0
"""For the answer to a delete."""
KEPT_SECONDS = 24 * 3600
"""A cluster without a watcher leaves the bucket after a day; it is stale long before."""

BUCKET = KeyValueConfig(bucket=HEALTH_BUCKET, history=1, ttl=KEPT_SECONDS, direct=True)
STREAM = f"KV_{HEALTH_BUCKET}"
"""The stream behind the bucket."""
RESUMED_SECONDS = 300.0
"""A watch can resume for so long from the position in a heartbeat: etcd compacts every five minutes."""
PROMISES = Promises(stream=STREAM, what=f"the bucket {HEALTH_BUCKET!r}", least_age_seconds=RESUMED_SECONDS)


class StoredHeartbeat(NamedTuple):
    """A cluster's entry of the bucket."""

    heartbeat: Heartbeat | None
    """None where this version cannot read it."""
    sequence: int
    stored_at: datetime | None
    """By the clock of the server."""


async def write(client: Client, heartbeat: Heartbeat) -> None:
    """Send a heartbeat, and wait for no answer: when it is lost, the next one follows in ten seconds."""
    body = heartbeat.model_dump_json().encode()
    with contextlib.suppress(NatsError):
        await client.publish(subject(heartbeat.datacenter, heartbeat.name), body)


async def last(client: Client, datacenter: DatacenterId, cluster: ClusterName) -> StoredHeartbeat | None:
    """The newest heartbeat of a cluster, or None. Raises what nats-py raises when NATS is away."""
    message = await last_message(client, subject(datacenter, cluster), stream=STREAM)
    if message is None or not message.data:  # the key was deleted
        return None
    return StoredHeartbeat(_read(message.data), message.seq or 0, message.time)


async def delete(client: Client, datacenter: DatacenterId, cluster: ClusterName) -> None:
    """Remove a cluster from the bucket; it would leave by itself within a day."""
    with contextlib.suppress(NatsError, TimeoutError):
        await client.request(subject(datacenter, cluster), timeout=ANSWER_SECONDS, headers={"KV-Operation": "DEL"})


async def follow(client: Client) -> AsyncIterator[tuple[Heartbeat, datetime]]:
    """Yield the newest heartbeat of each cluster, and then each one that is written, for ever.

    Each comes with the time at which the server stored it, by the clock of the server. Waits while the connection or
    the bucket is away.
    """
    async with consume(client, after=None, filter_subject=f"$KV.{HEALTH_BUCKET}.>", stream=STREAM) as consumer:
        while True:
            for message in await consumer.next_batch():
                if heartbeat := _read(message.body):
                    yield heartbeat, datetime.fromtimestamp(message.stored_ns / 1e9, UTC)


def subject(datacenter: DatacenterId, cluster: ClusterName) -> str:
    """The subject under which the bucket keeps a cluster."""
    return f"$KV.{HEALTH_BUCKET}.{datacenter}.{cluster}"


def _read(body: bytes) -> Heartbeat | None:
    """The heartbeat in an entry; None for a deleted entry and for anything else."""
    try:
        return Heartbeat.model_validate_json(body)
    except ValidationError as error:
        logger.debug("an entry of bucket %s is not a heartbeat: %s", HEALTH_BUCKET, error)
        return None
