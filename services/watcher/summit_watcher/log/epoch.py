"""An epoch: one run of watching a cluster. The cluster's own event in the log is the record of the newest one.

Whoever begins to watch a cluster claims the next number, with an event that must be the next one of the cluster's
subject: of two that claim at once, one is refused and takes the number after. The claim is stored before anything is
published under it, so a reader that has met it ignores what an earlier watcher still has on its way.

resourceVersions can be compared within one history, which ends when etcd is restored, another cluster takes the place,
or the cluster is retired: `history` is the epoch in which the present one began.
"""

import logging
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from summit_models.cluster import ClusterHealth, ConnectionState
from summit_models.contract import ClusterName, DatacenterId, Revision
from summit_models.epoch import EpochStart
from summit_models.event import (
    STREAM,
    ClusterEvent,
    cluster_event_type,
    cluster_subject,
    source_of,
)
from summit_runtime.nats.append import Basis, append, append_until_stored
from summit_runtime.nats.consumer import last_per_subject, replay
from summit_watcher.kube.errors import HistoryEndedError, ReplacedError

FENCES_KEPT = 128
"""Five kilobytes in each event of a cluster. More begin only where none lasts long enough to read the log back."""


class Epoch(NamedTuple):
    datacenter: DatacenterId
    cluster: ClusterName
    number: int
    history: int
    identity: str | None = None
    """Of the cluster, as the log remembers it."""
    began: int = 0
    """Revision of its first event."""
    former: tuple[EpochStart, ...] = ()
    """Of epochs before, as far as what is void by them may not have been told anew."""

    @property
    def fences(self) -> tuple[EpochStart, ...]:
        return *self.former, EpochStart(epoch=self.number, revision=self.began)


class _LastHealth(msgspec.Struct):
    identity: str | None = None


class _Fence(msgspec.Struct):
    epoch: int
    revision: int


class Newest(msgspec.Struct):
    """Of the newest event of a cluster, what the next epoch follows from."""

    type: str = ""
    epoch: int = 0
    history: int = 0
    began: int = 0
    fences: list[_Fence] = []
    data: _LastHealth = msgspec.field(default_factory=_LastHealth)


_RETIRED = cluster_event_type(ConnectionState.RETIRED)
_decode = msgspec.json.Decoder(Newest).decode


def cluster_event(health: ClusterHealth, epoch: Epoch) -> ClusterEvent:
    """The event that tells the health of a cluster now."""
    now = datetime.now(UTC)
    return ClusterEvent(
        id=f"{health.name}/{epoch.number}/{health.state}/{now.isoformat()}",
        source=source_of(health.datacenter, health.name),
        subject=health.name,
        time=now,
        type=cluster_event_type(health.state),
        epoch=epoch.number,
        history=epoch.history,
        began=epoch.began,
        fences=list(epoch.former),
        data=health,
    )


async def claim(
    client: Client,
    datacenter: DatacenterId,
    cluster: ClusterName,
    *,
    above: int = 0,
    ended: HistoryEndedError | None = None,
) -> Epoch:
    """Begin the next epoch, one above `above` too; it is stored when this returns. While NATS is away, wait for it.

    `ended`: why the history so far is over and another one begins.
    """
    return await append_until_stored(
        lambda: _claim(client, datacenter, cluster, above, ended),
        what=f"a new epoch of cluster {cluster}",
        level=logging.INFO,
    )


async def _claim(
    client: Client, datacenter: DatacenterId, cluster: ClusterName, above: int, ended: HistoryEndedError | None
) -> Epoch:
    subject = cluster_subject(datacenter, cluster)
    last, revision = await newest_event(client, subject)
    everywhere = await newest_events(client, cluster)
    number = max(last.epoch, above, *(newest.epoch for newest in everywhere.values())) + 1
    begins = ended is not None or last.type == _RETIRED or not last.history
    history = number if begins else last.history
    identity = ended.identity if isinstance(ended, ReplacedError) else last.data.identity
    epoch = Epoch(datacenter, cluster, number, history, identity, former=_fences(last, revision))
    health = ClusterHealth(
        name=cluster,
        datacenter=datacenter,
        state=ConnectionState.STARTING,
        since=datetime.now(UTC),
        identity=identity,
    )
    return epoch._replace(began=await append(client, [cluster_event(health, epoch)], Basis(subject, revision)))


def _fences(last: Newest, revision: Revision) -> tuple[EpochStart, ...]:
    """Of the epochs before the one that begins.

    Of too many the oldest two become one. That makes more void, not less: what is void is told anew, and to tell once
    too often is not false.
    """
    if not revision:
        return ()
    before = [EpochStart(epoch=fence.epoch, revision=fence.revision) for fence in last.fences]
    fences = (*before, EpochStart(epoch=last.epoch, revision=last.began))
    if len(fences) <= FENCES_KEPT:
        return fences
    oldest, second, *rest = fences
    return EpochStart(epoch=second.epoch, revision=oldest.revision), *rest


async def beginnings(client: Client, datacenter: DatacenterId, cluster: ClusterName) -> list[EpochStart]:
    """Where each epoch that the log knows began, oldest first."""
    found: list[EpochStart] = []
    async for message in replay(client, cluster_subject(datacenter, cluster)):
        epoch = _read(message.body, message.sequence).epoch
        if not found or epoch > found[-1].epoch:
            found.append(EpochStart(epoch=epoch, revision=message.sequence))
    return found


async def newest_events(client: Client, cluster: ClusterName) -> dict[DatacenterId, Newest]:
    """By datacenter: a cluster that has moved takes its VMs along, whose epochs must rise."""
    found: dict[DatacenterId, Newest] = {}
    async for message in last_per_subject(client, f"summit.clusters.*.{cluster}"):
        datacenter = DatacenterId(message.subject.split(".")[2])
        found[datacenter] = _read(message.body, message.sequence)
    return found


def _read(body: bytes, revision: int) -> Newest:
    try:
        newest = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        newest = Newest()  # somebody else's words: the events of the VMs know the epoch as well
    newest.began = newest.began or revision
    return newest


async def newest_event(client: Client, subject: str) -> tuple[Newest, Revision]:
    """What the newest event of the subject says, and its revision: 0 where there is none."""
    try:
        message = await client.jetstream().get_last_msg(STREAM, subject, direct=True)
    except NotFoundError:
        return Newest(), Revision(0)
    revision = Revision(message.seq or 0)
    return _read(message.data or b"{}", revision), revision
