"""How fresh each cluster's picture is: the newest health its watcher wrote to the KV bucket, kept in memory.

Watchers write about every ten seconds; the tables learn of changes of state only. A cluster whose last contact is
older than 90 seconds is stale, and so are its VMs. Without NATS nothing is heard of, so everything is stale, and the
api still answers.
"""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from nats.aio.client import Client
from pydantic import ValidationError

from summit_models.cluster import ClusterHealth
from summit_models.contract import ClusterName
from summit_models.subject import HEALTH_BUCKET
from summit_runtime.nats.consumer import StreamMessage, consume

logger = logging.getLogger("summit.api")

STALE_AFTER = timedelta(seconds=90)
"""Nine missed writes: more than a watcher's take-over, and less than a person would wait before asking."""

_STREAM = f"KV_{HEALTH_BUCKET}"
_SUBJECTS = f"$KV.{HEALTH_BUCKET}.>"


class Freshness:
    """The newest known health of each cluster."""

    def __init__(self) -> None:
        self._healths: dict[ClusterName, ClusterHealth] = {}

    def hear(self, health: ClusterHealth) -> None:
        self._healths[health.name] = health

    def healths(self) -> Iterable[ClusterHealth]:
        return self._healths.values()

    def fresh_clusters(self, now: datetime) -> frozenset[ClusterName]:
        """Names of the clusters heard of in the last 90 s; all others are stale."""
        oldest = now - STALE_AFTER
        return frozenset(
            name for name, health in self._healths.items() if health.last_contact and health.last_contact >= oldest
        )


async def follow(client: Client, freshness: Freshness) -> None:
    """Keep `freshness` up to date for ever; a lost connection or bucket is waited for."""
    async with consume(client, after=None, filter_subject=_SUBJECTS, stream=_STREAM) as consumer:
        while True:
            for message in await consumer.next_batch():
                if health := _health(message):
                    freshness.hear(health)


def _health(message: StreamMessage) -> ClusterHealth | None:
    """The health in an entry of the bucket; None for a deleted entry and for one that is something else."""
    if not message.body:
        return None
    try:
        return ClusterHealth.model_validate_json(message.body)
    except ValidationError as error:
        logger.debug("entry %s of bucket %s is no cluster health: %s", message.subject, HEALTH_BUCKET, error)
        return None
