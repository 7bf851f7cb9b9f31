"""The newest epoch of each cluster by the log alone, for a reader that has applied nothing of it yet.

The log may have dropped the first event of an epoch with its age, but not the newest event of a cluster, which its
watcher repeats. Without it a reader could not recognize an event of an epoch that has not begun before it has read on.
"""

from nats.aio.client import Client

from summit_models.event import EpochStart, is_possible_epoch
from summit_models.subject import cluster_subjects
from summit_projector.project import Epochs
from summit_projector.projections import PROJECTIONS
from summit_runtime.nats.streams.consumer import last_per_subject


async def newest_epochs(client: Client) -> Epochs:
    """The newest epoch of each source whose newest event can be read."""
    decode, epochs = PROJECTIONS["clusters"].decode, {}
    async for message in last_per_subject(client, cluster_subjects()):
        try:
            event = decode(message.body)
        except ValueError:
            continue
        if event.epoch and is_possible_epoch(event.epoch, message.sequence):
            epochs[event.source] = EpochStart(epoch=event.epoch, revision=message.sequence)
    return epochs
