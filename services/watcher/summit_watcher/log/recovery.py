"""Reading back what readers of the log know of a cluster, when an epoch begins."""

import contextlib
from collections.abc import Iterator
from typing import Any

from nats.errors import Error as NatsError

from summit_models.codec import Decoded
from summit_models.contract import ClusterName, DatacenterId, Uid
from summit_models.event import has_begun, is_possible_epoch, is_stale_epoch
from summit_runtime.nats.connection.bus import EventClient
from summit_runtime.nats.publishing.publisher import Publisher
from summit_runtime.nats.streams.consumer import StreamMessage, last_per_subject, replay
from summit_runtime.nats.streams.stream import largest_event
from summit_watcher.inventory.kinds import KINDS, Kind
from summit_watcher.inventory.published import Published, PublishedState
from summit_watcher.kube.errors import HistoryEndedError
from summit_watcher.log.epoch import Epoch, claim, read_epoch_starts

_KIND_OF = {kind.collection: kind for kind in KINDS}


async def begin(
    client: EventClient,
    publisher: Publisher,
    datacenter: DatacenterId,
    cluster: ClusterName,
    *,
    ended: HistoryEndedError | None = None,
) -> tuple[Epoch, Published]:
    """Begin an epoch, and read back the log: all that the earlier ones have published is in it."""
    # Else what an earlier run has left in the queue would come after our claim.
    queue = publisher.cluster_queue(datacenter, cluster)
    await queue.flush()
    queue.dropped.clear()
    above = 0
    while True:
        epoch = await claim(client, datacenter, cluster, above=above, ended=ended)
        published = Published(datacenter, cluster, epoch=epoch.number, history=epoch.history, epoch_starts=epoch.starts)
        with contextlib.suppress(NatsError, TimeoutError):
            published.event_bytes = await largest_event(client)
        await read_back(published, client)
        if published.newest_epoch < epoch.number:
            return epoch, published
        above = published.newest_epoch  # the log has lost the cluster's own events, or somebody else has written some


async def read_back(published: Published, client: EventClient) -> None:
    """Read what readers know of the cluster: the last event of each subject.

    Where such a last event is of a stale epoch, or of one that had not begun, the valid one stands somewhere before it.
    Then the whole log is read, which takes long and happens seldom.
    """
    stale = set[int]()
    for subjects in _subjects(published):
        async for message in last_per_subject(client, subjects):
            if not take_in(published, message):
                stale.add(message.sequence)
    if stale:
        published.epoch_starts = await read_epoch_starts(client, published.datacenter, published.cluster)
        await _read_in_order(published, client, stale)


async def _read_in_order(published: Published, client: EventClient, stale_last_events: set[int]) -> None:
    published.clear()
    for subjects in _subjects(published):
        async for message in replay(client, subjects):
            if not take_in(published, message) and message.sequence in stale_last_events:
                _note_stale(published, message)


def _subjects(published: Published) -> Iterator[str]:
    for kind in KINDS:
        yield f"summit.{kind.collection}.{published.datacenter}.{published.cluster}.>"


def take_in(published: Published, message: StreamMessage) -> bool:
    """Take in one message of the log; False if it changes nothing: its epoch is stale, or had not begun.

    A message that cannot be read is left out: its object is published again.
    """
    read = _read(message)
    if read is None:
        return True
    kind, event = read
    if not is_possible_epoch(event.epoch, message.sequence):
        return False
    published.newest_epoch = max(published.newest_epoch, event.epoch)
    starts = published.epoch_starts
    if is_stale_epoch(event.epoch, message.sequence, starts) or not has_begun(event.epoch, message.sequence, starts):
        return False
    versions = kind.versions(event.data)
    if event.epoch < published.history:
        versions = (0,) * len(versions)
    for resource, version in zip(kind.resources, versions, strict=False):
        published.reach(resource.plural, version)
    states, uid = published.of(kind.collection), Uid(event.data.id)
    if event.type == kind.types["DELETED"]:
        states.pop(uid, None)
    else:
        states[uid] = PublishedState(kind.codec.encode_state_in(event.data), versions, event.time)
    return True


def _note_stale(published: Published, message: StreamMessage) -> None:
    """Note that this last event of an object is of a stale epoch: the object is published again, or deleted."""
    if read := _read(message):
        kind, event = read
        states, uid = published.of(kind.collection), Uid(event.data.id)
        no_versions = (0,) * len(kind.versions(event.data))
        unknown = PublishedState(kind.codec.encode_state_in(event.data), no_versions, event.time, is_known=False)
        states[uid] = states.get(uid, unknown)._replace(is_last=False)


def _read(message: StreamMessage) -> tuple[Kind[Any], Decoded] | None:
    kind = _KIND_OF[message.subject.split(".", 2)[1]]
    try:
        return kind, kind.decode(message.body)
    except ValueError:
        return None
