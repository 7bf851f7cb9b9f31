"""An epoch: one run of watching a cluster. The cluster's own event in the log is the record of the newest one.

Whoever begins to watch a cluster claims the next number, with an event that must be the next one of the cluster's
subject: of two that claim at once, one is refused and takes the number after. The claim is stored before anything is
published under it, so a reader that has met it ignores what an earlier watcher still has on its way.

resourceVersions can be compared within one history, which ends when etcd is restored, another cluster takes the place,
or the cluster is retired: `history` is the epoch in which the present one began.
"""

import asyncio
import logging
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from summit_models.cluster import ClusterHealth, ConnectionState
from summit_models.contract import ClusterName, DatacenterId, Revision
from summit_models.event import (
    STREAM,
    ClusterEvent,
    cluster_event_type,
    cluster_subject,
    source_of,
)
from summit_runtime.append import Basis, ConflictError, NotStoredError, append
from summit_runtime.backoff import Backoff
from summit_runtime.consumer import snapshot
from summit_watcher.connection_errors import HistoryEndedError, ReplacedError

logger = logging.getLogger("summit.watcher")


class Fence(NamedTuple):
    """What comes after `revision` under an epoch below `epoch` is void: its watcher had lost the cluster by then."""

    epoch: int
    revision: int


class Epoch(NamedTuple):
    datacenter: DatacenterId
    cluster: ClusterName
    number: int
    history: int
    identity: str | None = None
    """Of the cluster, as the log remembers it."""
    began: int = 0
    """Revision of its first event."""
    former: Fence = Fence(0, 0)
    """Of the epoch before."""

    @property
    def fences(self) -> tuple[Fence, Fence]:
        return self.former, Fence(self.number, self.began)


class _LastHealth(msgspec.Struct):
    identity: str | None = None


class _Last(msgspec.Struct):
    """Of the newest event of a cluster, what the next epoch follows from."""

    type: str = ""
    epoch: int = 0
    history: int = 0
    began: int = 0
    data: _LastHealth = msgspec.field(default_factory=_LastHealth)


_RETIRED = cluster_event_type(ConnectionState.RETIRED)
_decode = msgspec.json.Decoder(_Last).decode


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
    backoff = Backoff(initial_seconds=0.1, max_seconds=5.0)
    while True:
        try:
            return await _claim(client, datacenter, cluster, above, ended)
        except ConflictError:
            continue  # another watcher has claimed at the same time
        except (NotStoredError, NatsError, TimeoutError) as error:
            if not backoff.attempt:
                logger.info("cluster %s: cannot begin a new epoch yet: %s", cluster, error or "no answer from NATS")
            await asyncio.sleep(backoff.next_seconds())


async def _claim(
    client: Client, datacenter: DatacenterId, cluster: ClusterName, above: int, ended: HistoryEndedError | None
) -> Epoch:
    subject = cluster_subject(datacenter, cluster)
    last, revision = await _last(client, subject)
    elsewhere = await newest_epochs(client, cluster)
    number = max(last.epoch, above, *elsewhere.values()) + 1
    begins = ended is not None or last.type == _RETIRED or not last.history
    history = number if begins else last.history
    identity = ended.identity if isinstance(ended, ReplacedError) else last.data.identity
    epoch = Epoch(datacenter, cluster, number, history, identity, former=Fence(last.epoch, last.began or revision))
    health = ClusterHealth(
        name=cluster,
        datacenter=datacenter,
        state=ConnectionState.STARTING,
        since=datetime.now(UTC),
        identity=identity,
    )
    return epoch._replace(began=await append(client, [cluster_event(health, epoch)], Basis(subject, revision)))


async def newest_epochs(client: Client, cluster: ClusterName) -> dict[DatacenterId, int]:
    """By datacenter: a cluster that has moved takes its VMs along, whose epochs must rise."""
    found: dict[DatacenterId, int] = {}
    async for message in snapshot(client, f"summit.clusters.*.{cluster}"):
        datacenter = DatacenterId(message.subject.split(".")[2])
        found[datacenter] = _read(message.body).epoch
    return found


def _read(body: bytes) -> _Last:
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Last()  # somebody else's words: the events of the VMs know the epoch as well


async def _last(client: Client, subject: str) -> tuple[_Last, Revision]:
    """What the newest event of the subject says, and its revision: 0 where there is none."""
    try:
        message = await client.jetstream().get_last_msg(STREAM, subject, direct=True)
    except NotFoundError:
        return _Last(), Revision(0)
    return _read(message.data or b"{}"), Revision(message.seq or 0)
