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
from summit_models.event import ClusterEvent, cluster_event_type, source_of
from summit_models.subject import STREAM, cluster_subject
from summit_runtime.nats.append import Basis, append, append_until_stored
from summit_runtime.nats.consumer import last_per_subject, replay
from summit_watcher.kube.errors import HistoryEndedError, ReplacedError

EPOCH_STARTS_KEPT = 128
"""Five kilobytes in each event of a cluster. More epochs start only where none lasts until the log is read back."""


class Epoch(NamedTuple):
    datacenter: DatacenterId
    cluster: ClusterName
    number: int
    history: int
    identity: str | None = None
    """Of the cluster, as the log remembers it."""
    began: int = 0
    """Revision of its first event."""
    earlier: tuple[EpochStart, ...] = ()
    """Starts of earlier epochs, while events that are stale by them may be the last ones of their subjects."""

    @property
    def starts(self) -> tuple[EpochStart, ...]:
        return *self.earlier, EpochStart(epoch=self.number, revision=self.began)


class _LastHealth(msgspec.Struct):
    identity: str | None = None


class _Start(msgspec.Struct):
    epoch: int
    revision: int


class Newest(msgspec.Struct):
    """Of the newest event of a cluster, what the next epoch follows from."""

    type: str = ""
    epoch: int = 0
    history: int = 0
    began: int = 0
    fences: list[_Start] = []
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
        epoch_starts=list(epoch.earlier),
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
    epoch = Epoch(datacenter, cluster, number, history, identity, earlier=_starts_before(last, revision))
    health = ClusterHealth(
        name=cluster,
        datacenter=datacenter,
        state=ConnectionState.STARTING,
        since=datetime.now(UTC),
        identity=identity,
    )
    return epoch._replace(began=await append(client, [cluster_event(health, epoch)], Basis(subject, revision)))


def _starts_before(last: Newest, revision: Revision) -> tuple[EpochStart, ...]:
    """The starts of the epochs before the one that begins.

    Beyond the limit, merge the two oldest. This makes more events stale, never fewer, and what is stale is published
    again: an event too many does no harm.
    """
    if not revision:
        return ()
    before = [EpochStart(epoch=start.epoch, revision=start.revision) for start in last.fences]
    starts = (*before, EpochStart(epoch=last.epoch, revision=last.began))
    if len(starts) <= EPOCH_STARTS_KEPT:
        return starts
    oldest, second, *rest = starts
    return EpochStart(epoch=second.epoch, revision=oldest.revision), *rest


async def read_epoch_starts(client: Client, datacenter: DatacenterId, cluster: ClusterName) -> list[EpochStart]:
    """Read the start of each epoch that the log has, oldest first."""
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
