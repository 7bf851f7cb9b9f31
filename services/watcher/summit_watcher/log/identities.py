"""Which cluster is which, of those that other watchers have: their events in the log name it.

A cluster that is declared twice may be watched by two watchers under its two names, and must be shown once.
"""

from collections.abc import Callable

from summit_models.cluster import ConnectionState
from summit_models.codec import decode_leniently
from summit_models.contract import ClusterName
from summit_models.event import ClusterEvent
from summit_models.subject import cluster_subjects
from summit_runtime.nats.connection.bus import EventClient
from summit_runtime.nats.streams.consumer import consume
from summit_watcher.kube.identity import Identities

_UNTRIED = frozenset({ConnectionState.STARTING, ConnectionState.LISTING})


async def follow_identities(
    client: EventClient, identities: Identities, is_ours: Callable[[ClusterName], bool]
) -> None:
    """Note for ever what the log has of clusters that other watchers have."""
    async with consume(client, after=None, filter_subject=cluster_subjects()) as consumer:
        while True:
            for message in await consumer.next_batch():
                name = ClusterName(message.subject.rpartition(".")[2])
                health = decode_leniently(ClusterEvent, message.body).data
                if not is_ours(name) and (health.identity or health.state not in _UNTRIED):
                    identities.note(name, health.identity)
