"""Epochs: each run of watching a cluster is one. The cluster's own event in the log records the newest one.

A watcher begins an epoch by claiming the next number, with an event that must be the next one of the cluster's subject:
of two claims at once, one is refused and takes the number after. The claim is stored before anything is published
under it, so a reader that has read the claim ignores what an earlier watcher still has on its way.

resourceVersions can be compared within one history. It ends when etcd is restored, when another cluster takes the
place, or when the cluster is retired: `history` is the epoch in which the present one began.
"""

import logging
import os
import socket
from datetime import datetime
from typing import NamedTuple

from summit_models.cluster import ClusterHealth, ConnectionState
from summit_models.codec import decode_leniently
from summit_models.contract import ClusterName, DatacenterId, Revision
from summit_models.event import ClusterEvent, EpochStart, cluster_event_type, is_possible_epoch, source_of
from summit_models.subject import ANY, cluster_subject, cluster_subjects
from summit_models.watcher import Place
from summit_runtime.nats.connection.bus import EventClient
from summit_runtime.nats.publishing.append import Basis, ConflictError, append, append_until_stored
from summit_runtime.nats.streams.consumer import last_per_subject, replay
from summit_runtime.nats.streams.stored import last_message
from summit_watcher.kube.errors import HistoryEndedError, ReplacedError, WatcherError

EPOCH_STARTS_KEPT = 128
"""Five kilobytes in each event of a cluster. More epochs start only where none lasts until the log is read back."""

RETIRED = cluster_event_type(ConnectionState.RETIRED)

NO_EVENT = decode_leniently(ClusterEvent, b"")
"""Stands for the newest event of a cluster that has none."""


WATCHER = f"{socket.gethostname()}/{os.getpid()}"
"""This process, by which people recognize it."""


class SupersededError(WatcherError):
    """Another watcher has begun to watch the cluster. Readers ignore what is published under our epoch from then on."""

    def __init__(self, ours: int, newest: int, watcher: str | None = None) -> None:
        other = f"watcher {watcher}" if watcher else "another watcher"
        super().__init__(f"{other} has begun to watch it, with epoch {newest} after our {ours}")


class EpochLostError(HistoryEndedError):
    """The log has lost the beginning of this epoch, and readers reject what it published since. Another one begins."""

    def __init__(self, epoch: int) -> None:
        super().__init__(f"NATS has lost the first event of epoch {epoch}")


class Epoch(NamedTuple):
    datacenter: DatacenterId
    cluster: ClusterName
    number: int
    history: int
    identity: str | None = None
    """Identity of the cluster, by the log."""
    began: int = 0
    """Revision of its first event."""
    earlier: tuple[EpochStart, ...] = ()
    """Starts of earlier epochs, while events that are stale by them may be the last ones of their subjects."""

    @property
    def starts(self) -> tuple[EpochStart, ...]:
        return *self.earlier, EpochStart(epoch=self.number, revision=self.began)


def cluster_event(health: ClusterHealth, epoch: Epoch, now: datetime) -> ClusterEvent:
    """The event that carries the present health of a cluster."""
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
    client: EventClient,
    datacenter: DatacenterId,
    cluster: ClusterName,
    *,
    above: int = 0,
    ended: HistoryEndedError | None = None,
) -> Epoch:
    """Begin the next epoch, which is also above `above`. Waits for NATS, and returns when the claim is stored.

    `ended`: why the history so far is over, so that another one begins.
    """
    return await append_until_stored(
        lambda: _claim(client, datacenter, cluster, above, ended),
        what=f"a new epoch of cluster {cluster}",
        level=logging.INFO,
    )


async def _claim(
    client: EventClient, datacenter: DatacenterId, cluster: ClusterName, above: int, ended: HistoryEndedError | None
) -> Epoch:
    subject = cluster_subject(datacenter, cluster)
    last, revision = await newest_event(client, subject)
    everywhere = await newest_events(client, cluster=cluster)
    number = max(last.epoch, above, *(newest.epoch for newest in everywhere.values())) + 1
    begins = ended is not None or last.type == RETIRED or not last.history
    history = number if begins else last.history
    identity = ended.identity if isinstance(ended, ReplacedError) else last.data.identity
    epoch = Epoch(datacenter, cluster, number, history, identity, earlier=_starts_before(last, revision))
    now, state = client.clock.now(), ConnectionState.STARTING
    health = ClusterHealth(
        name=cluster, datacenter=datacenter, state=state, since=now, identity=identity, watcher=WATCHER
    )
    return epoch._replace(began=await append(client, [cluster_event(health, epoch, now)], Basis(subject, revision)))


def _starts_before(last: ClusterEvent, revision: Revision) -> tuple[EpochStart, ...]:
    """The starts of the epochs before the one that begins.

    Beyond the limit, merge the two oldest. This makes more events stale, never fewer, and what is stale is published
    again: an event too many does no harm.
    """
    if not revision:
        return ()
    starts = (*last.epoch_starts, EpochStart(epoch=last.epoch, revision=last.began))
    if len(starts) <= EPOCH_STARTS_KEPT:
        return starts
    oldest, second, *rest = starts
    return EpochStart(epoch=second.epoch, revision=oldest.revision), *rest


class ClusterEvents:
    """The cluster's own events of one epoch: each is stored only onto the one before it.

    So none of ours enters the cluster's subject after another watcher has begun, and the newest event of a cluster is
    always one of its newest epoch. A watcher that has lost the cluster learns it when its next event is refused.
    Otherwise two watchers would go on side by side, and readers would ignore one of them.
    """

    def __init__(self, client: EventClient, epoch: Epoch) -> None:
        self._client = client
        self.epoch = epoch
        self._subject = cluster_subject(epoch.datacenter, epoch.cluster)
        self._last = Revision(epoch.began)
        self._is_due = False
        """Something else than the health has changed."""

    async def publish(self, health: ClusterHealth) -> None:
        """Store the present health of the cluster.

        Raises what `confirm` raises, and NotStoredError.
        """
        while True:
            try:
                event = cluster_event(health, self.epoch, self._client.clock.now())
                self._last = await append(self._client, [event], Basis(self._subject, self._last))
                break
            except ConflictError:
                await self.confirm()
        self._is_due = False

    async def confirm(self) -> bool:
        """Make sure that this epoch is the newest; False if the newest event is not ours, or is out of date.

        Raises SupersededError or EpochLostError, and what NATS raises when it is away.
        """
        newest, revision = await newest_event(self._client, self._subject)
        ours = self.epoch
        if newest.epoch > ours.number or (newest.epoch == ours.number and newest.began != ours.began):
            raise SupersededError(ours.number, newest.epoch, newest.data.watcher)
        if revision < ours.began:
            raise EpochLostError(ours.number)
        before, self._last = self._last, revision
        return revision == before and not self._is_due

    def drop_earlier_starts(self) -> None:
        """Note that no last event of an object is of a stale epoch any more: later watchers need not look for one."""
        if self.epoch.earlier:
            self.epoch = self.epoch._replace(earlier=())
            self._is_due = True


async def read_epoch_starts(client: EventClient, datacenter: DatacenterId, cluster: ClusterName) -> list[EpochStart]:
    """Read the start of each epoch that the log has, oldest first."""
    starts: list[EpochStart] = []
    async for message in replay(client, cluster_subject(datacenter, cluster)):
        epoch = _read(message.body, message.sequence).epoch
        if not starts or epoch > starts[-1].epoch:
            starts.append(EpochStart(epoch=epoch, revision=message.sequence))
    return starts


async def newest_events(client: EventClient, *, datacenter: str = ANY, cluster: str = ANY) -> dict[Place, ClusterEvent]:
    """The newest event of each cluster. Epochs rise across datacenters, since a cluster moves with its VMs."""
    found: dict[Place, ClusterEvent] = {}
    async for message in last_per_subject(client, cluster_subjects(datacenter, cluster)):
        _, _, place = message.subject.split(".", 2)
        event = _read(message.body, message.sequence)
        found[Place.of(place)] = event if event.epoch else await _newest(client, message.subject)
    return found


async def newest_event(client: EventClient, subject: str) -> tuple[ClusterEvent, Revision]:
    """The newest event of a watcher under the subject, and the revision of the last one: 0 where there is none."""
    event, revision = await _last(client, subject)
    return event if event.epoch or not revision else await _newest(client, subject), revision


async def _last(client: EventClient, subject: str) -> tuple[ClusterEvent, Revision]:
    message = await last_message(client, subject)
    if message is None:
        return NO_EVENT, Revision(0)
    revision = Revision(message.seq or 0)
    return _read(message.data or b"", revision), revision


async def _newest(client: EventClient, subject: str) -> ClusterEvent:
    """The newest event of a watcher where the last event is none: readers know its epoch, and ignore those below."""
    newest = NO_EVENT
    async for message in replay(client, subject):
        event = _read(message.body, message.sequence)
        newest = event if event.epoch >= newest.epoch else newest
    return newest


def _read(body: bytes, revision: int) -> ClusterEvent:
    """The part of an event that can be read and be true. One that is no watcher's has epoch 0."""
    event = decode_leniently(ClusterEvent, body)
    epoch = event.epoch if is_possible_epoch(event.epoch, revision) else 0
    true = {
        "epoch": epoch,
        "history": event.history if 0 <= event.history <= epoch else 0,
        "began": event.began if 0 < event.began <= revision else revision,
        "epoch_starts": [s for s in event.epoch_starts if 0 <= s.epoch < epoch and 0 <= s.revision < revision],
    }
    return event.model_copy(update=true)
