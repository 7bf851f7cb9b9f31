"""The cluster's own events of one epoch: each is stored only onto the one before it.

So none of ours enters the cluster's subject after another watcher has begun, and the newest event of a cluster is
always one of its newest epoch. A watcher that has lost the cluster learns it when its next event is refused. Otherwise
two watchers would go on side by side, and readers would ignore one of them.
"""

from nats.aio.client import Client

from summit_models.cluster import ClusterHealth
from summit_models.contract import Revision
from summit_models.subject import cluster_subject
from summit_runtime.nats.append import Basis, ConflictError, append
from summit_watcher.kube.errors import WatcherError
from summit_watcher.log.epoch import Epoch, cluster_event, newest_event


class SupersededError(WatcherError):
    """Another watcher has begun to watch the cluster. Readers ignore what this one publishes from then on."""

    def __init__(self, ours: int, newest: int) -> None:
        super().__init__(f"another watcher has begun to watch it, with epoch {newest} after our {ours}")


class ClusterEvents:
    def __init__(self, client: Client, epoch: Epoch) -> None:
        self._client = client
        self._epoch = epoch
        self._subject = cluster_subject(epoch.datacenter, epoch.cluster)
        self._last = Revision(epoch.began)
        self._is_due = False
        """Something else than the health has changed."""

    async def publish(self, health: ClusterHealth) -> None:
        """Store the present health of the cluster.

        Raises SupersededError, and NotStoredError or what NATS raises when it is away.
        """
        while True:
            try:
                event = cluster_event(health, self._epoch)
                self._last = await append(self._client, [event], Basis(self._subject, self._last))
                break
            except ConflictError:
                await self.confirm()
        self._is_due = False
        if not self._epoch.began:
            self._epoch = self._epoch._replace(began=self._last)

    async def confirm(self) -> bool:
        """Make sure that this epoch is the newest; False if the newest event is not ours, or is out of date.

        Raises SupersededError, and what NATS raises when it is away.
        """
        newest, revision = await newest_event(self._client, self._subject)
        ours = self._epoch
        if newest.epoch > ours.number or (newest.epoch == ours.number and newest.began != ours.began):
            raise SupersededError(ours.number, newest.epoch)
        if revision < ours.began:
            self._epoch = ours._replace(began=0)  # the log has lost its end: our next event begins the epoch again
        before, self._last = self._last, revision
        return revision == before and not self._is_due

    def drop_earlier_starts(self) -> None:
        """Note that no last event of an object is of a stale epoch any more: later watchers need not look for one."""
        if self._epoch.earlier:
            self._epoch = self._epoch._replace(earlier=())
            self._is_due = True
