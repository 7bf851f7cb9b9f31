"""How a cluster's connection is: told as an event when it changes, and to the KV bucket as a sign of life.

The bucket says when a cluster was last heard of; fifty clusters a day would fill the log with that. The log keeps the
changes of state, so that one can read later when a cluster was away and why.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from nats.aio.client import Client
from nats.errors import Error as NatsError

from summit_models.cluster import ClusterHealth, ConnectionState, Heartbeat, ResourceHealth
from summit_runtime.nats import heartbeats
from summit_runtime.nats.append import NotStoredError
from summit_runtime.waiting import wait
from summit_watcher import metrics
from summit_watcher.kube.connection import ClusterConnection
from summit_watcher.kube.failure import Failure
from summit_watcher.kube.resources import CLUSTER_INSTANCETYPES, INSTANCETYPES, VIRTUAL_MACHINES
from summit_watcher.log.cluster_events import ClusterEvents
from summit_watcher.log.epoch import Epoch
from summit_watcher.log.positions import Checkpoint
from summit_watcher.settings import WatcherTimes

logger = logging.getLogger("summit.watcher")

_OPTIONAL = frozenset({INSTANCETYPES.plural, CLUSTER_INSTANCETYPES.plural})
"""Older KubeVirt has no instancetypes: their absence is no defect."""


def overall(resources: Sequence[ResourceHealth], trouble: Failure | None = None) -> tuple[ConnectionState, str | None]:
    """State of a cluster from those of its list-watches, with the reason of the one that explains it.

    `trouble` is ahead: all is well with the list-watches, but new files cannot be used.
    """
    needed = [r for r in resources if not (r.resource in _OPTIONAL and r.state is ConnectionState.CRD_MISSING)]
    wrong = [r for r in needed if r.state is not ConnectionState.SYNCED]
    if not wrong:
        return (trouble.state, trouble.reason) if trouble else (ConnectionState.SYNCED, None)
    coming = {ConnectionState.STARTING, ConnectionState.LISTING}
    first = next((r for r in wrong if r.state not in coming), wrong[0])
    if len(wrong) == len(needed) or first.state in coming:
        return first.state, first.reason
    return ConnectionState.DEGRADED, f"{first.resource}: {first.reason or first.state}"


class Vitals(NamedTuple):
    """What a list-watch has seen. Times in UTC."""

    last_contact: datetime | None = None
    last_event: datetime | None = None
    last_sync: datetime | None = None
    known_objects: int | None = None


class HealthReporter:
    """Keeps the health of one cluster and tells it while `run` runs."""

    def __init__(
        self,
        epoch: Epoch,
        *,
        events: ClusterEvents,
        checkpoint: Checkpoint,
        resources: Sequence[str],
        vitals: Callable[[str], Vitals],
        connection: ClusterConnection,
        waiting: Callable[[], int],
        times: WatcherTimes,
    ) -> None:
        now = datetime.now(UTC)
        self._epoch = epoch
        self._events = events
        self._checkpoint = checkpoint
        self._vitals = vitals
        self._connection = connection
        self._waiting = waiting
        self._times = times
        self._changed = asyncio.Event()
        self._resources = {
            name: ResourceHealth(resource=name, state=ConnectionState.STARTING, since=now) for name in resources
        }
        self._health = ClusterHealth(
            name=epoch.cluster,
            datacenter=epoch.datacenter,
            state=ConnectionState.STARTING,
            since=now,
            identity=epoch.identity,
        )

    def set_state(self, resource: str, state: ConnectionState, reason: str | None = None) -> None:
        """Note the state of one list-watch; one that is not new is no news."""
        before = self._resources[resource]
        if (before.state, before.reason) == (state, reason):
            return
        since = before.since if before.state is state else datetime.now(UTC)
        self._resources[resource] = ResourceHealth(resource=resource, state=state, since=since, reason=reason)
        self._changed.set()

    def set_identity(self, identity: str | None) -> None:
        if identity != self._health.identity:
            self._health = self._health.model_copy(update={"identity": identity})
            self._changed.set()

    def set_versions(self, *, server: str, kubevirt: str | None) -> None:
        versions = {"server_version": server, "kubevirt_version": kubevirt}
        if (server, kubevirt) != (self._health.server_version, self._health.kubevirt_version):
            self._health = self._health.model_copy(update=versions)
            self._changed.set()

    def snapshot(self) -> ClusterHealth:
        """The health now, with the last contact of each list-watch, and how far the log is complete."""
        resources = [
            r.model_copy(
                update={
                    **self._vitals(r.resource)._asdict(),
                    "resource_version": self._checkpoint.stored.get(r.resource),
                }
            )
            for r in self._resources.values()
        ]
        state, reason = overall(resources, self._connection.trouble)
        since = self._health.since if state is self._health.state else datetime.now(UTC)
        self._health = self._health.model_copy(
            update={
                "state": state,
                "since": since,
                "reason": reason,
                "resources": resources,
                # Of the VMs alone: a cluster that only tells of its instances tells nothing new of its VMs.
                "last_contact": self._vitals(VIRTUAL_MACHINES.plural).last_contact,
                "credentials_expire_at": self._connection.credentials_expire_at,
                "waiting_events": self._waiting(),
            }
        )
        metrics.set_cluster(self._health)
        return self._health

    async def run(self, client: Client) -> None:
        """Tell changes as they come and signs of life in between, for ever.

        Raises SupersededError when another watcher has the cluster: what we say is not heard then, nor should it be.
        """
        told, told_at = _news(self.snapshot()), datetime.now(UTC)
        while True:
            if self._changed.is_set():
                await asyncio.sleep(self._times.settle_states_seconds)
                self._changed.clear()
            health, now = self.snapshot(), datetime.now(UTC)
            news, pause_seconds = _news(health), self._times.heartbeat_seconds
            try:
                is_last_word = await self._events.confirm()
                await self.beat(client)
                if news != told or not is_last_word or now - told_at > self._times.observed_after:
                    await self._events.publish(health)
                    told, told_at = news, now
            except (NotStoredError, NatsError, TimeoutError):
                pause_seconds = self._times.retry_health_seconds
            await wait(self._changed, pause_seconds)

    async def beat(self, client: Client) -> None:
        """Give a sign of life. A lost one is nothing: the next one is ten seconds away."""
        heartbeat = Heartbeat(**dict(self.snapshot()), epoch=self._epoch.number)
        await heartbeats.write(client, heartbeat)


def _news(health: ClusterHealth) -> tuple[object, ...]:
    """What the log is told of when it changes; contacts are a matter of every second."""
    resources = [(r.resource, r.state, r.since, r.reason) for r in health.resources]
    return (
        health.state,
        health.since,
        health.reason,
        health.server_version,
        health.kubevirt_version,
        health.identity,
        resources,
    )
