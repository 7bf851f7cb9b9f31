"""One cluster, for ever: one epoch after another. Each begins with what the log has of the epochs before.

An epoch ends when the watcher stops or another one gets the cluster, when the resourceVersions of the cluster cannot be
compared with earlier ones any more, or when somebody else begins an epoch.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from nats.errors import Error as NatsError

from summit_models.cluster import Heartbeat
from summit_runtime.backoff import Backoff
from summit_runtime.nats.connection.bus import EventClient
from summit_runtime.nats.publishing.append import NotStoredError
from summit_runtime.nats.publishing.publisher import Publisher
from summit_runtime.nats.streams import heartbeats
from summit_watcher.activity import ActivityLog
from summit_watcher.cluster_log import ClusterLog
from summit_watcher.config.datacenters import ClusterConfig
from summit_watcher.inventory.published import Published
from summit_watcher.kube.bounds import one_line
from summit_watcher.kube.connection import ClusterConnection
from summit_watcher.kube.errors import HistoryEndedError, RegressedError, WatcherError
from summit_watcher.kube.identity import Identities
from summit_watcher.kube.resources import WATCHED
from summit_watcher.listwatch.page_slots import PageSlots
from summit_watcher.listwatch.state import Listing, ListReason
from summit_watcher.log.epoch import WATCHER, ClusterEvents, Epoch, EpochLostError, SupersededError
from summit_watcher.log.positions import Start, last_heartbeat, start
from summit_watcher.log.recovery import begin
from summit_watcher.operations.feed import OperationFeed
from summit_watcher.session import Session
from summit_watcher.settings import WatcherTimes

logger = logging.getLogger("summit.watcher")

SENTENCE_CHARACTERS = 200
"""Of an error of a library: its first words are enough to report it, and the traceback is at DEBUG."""

HasLease = Callable[[], Awaitable[bool]]
"""Whether the lease of the cluster is still ours, asked of NATS now."""

EndT = TypeVar("EndT", HistoryEndedError, SupersededError)


@dataclass(eq=False)
class ClusterWatcher:
    """Watches one cluster while `run` runs."""

    cluster: ClusterConfig
    client: EventClient
    publisher: Publisher
    times: WatcherTimes
    page_slots: PageSlots
    identities: Identities
    operations: OperationFeed
    has_lease: HasLease

    def __post_init__(self) -> None:
        self._activity = ActivityLog(self.cluster)
        self._log = ClusterLog(self.cluster, self.client.clock.now)
        self._events: ClusterEvents | None = None
        """Those of the newest epoch that began here."""
        self._session: Session | None = None
        """While it runs: it has the whole cache."""
        self._has_ended_epoch = False

    @property
    def tried(self) -> bool:
        """The cluster has answered or has failed to: a process is ready when it has tried all of its clusters."""
        return self._has_ended_epoch or (self._session is not None and self._session.status.tried)

    async def run(self) -> None:
        """Watch the cluster until another watcher has it."""
        cluster = self.cluster
        ended: HistoryEndedError | None = None
        backoff = Backoff()  # or two servers behind one address, one of which lags, would be listed without end
        while True:
            superseded: SupersededError | None = None
            try:
                await self._watch(ended)
            except* HistoryEndedError as errors:
                ended = _first(errors)
                context = {"cluster": cluster.name, "reason": str(ended)}
                message = "cluster %s: %s; a new epoch begins, with complete lists"
                logger.error(message, cluster.name, ended, extra=context)  # noqa: TRY400  the sentence is the message
            except* SupersededError as errors:
                ended, superseded = None, _first(errors)
            finally:
                self._has_ended_epoch, self._session = True, None
            if superseded and not await self._keeps(superseded):
                return
            await asyncio.sleep(backoff.next_seconds())

    async def failed(self, error: Exception, retry_in: float) -> None:
        """Make what has ended `run` the state of the cluster. The others go on."""
        first = _first_of(error)
        reason = str(first) if isinstance(first, WatcherError) else f"unforeseen, please report it: {_sentence(first)}"
        if self._log.last is None or self._log.last.reason != reason:
            logger.debug("cluster %s: its watcher failed", self.cluster.name, exc_info=error)
        health = self._log.failed(reason, retry_in)
        if self._events is None:
            return
        with contextlib.suppress(EpochLostError, SupersededError, NotStoredError, NatsError, TimeoutError):
            heartbeat = Heartbeat(**dict(health), epoch=self._events.epoch.number)
            await heartbeats.write(self.client, heartbeat)
            await self._events.publish(health)

    async def _watch(self, ended: HistoryEndedError | None) -> None:
        """Watch under one epoch, until its history has ended or another watcher has begun an epoch."""
        cluster = self.cluster
        if self._events:
            with contextlib.suppress(EpochLostError, NatsError, TimeoutError):
                await self._events.confirm()
        epoch, published = await begin(self.client, self.publisher, cluster.datacenter, cluster.name, ended=ended)
        self._events = ClusterEvents(self.client, epoch)
        if not published.has_stale_events:
            self._events.drop_earlier_starts()
        starts = await self._starts(epoch, published, ended)
        async with ClusterConnection(
            cluster.kubeconfig, cluster.context, name=cluster.name, times=self.times
        ) as connection:
            self._session = Session(
                cluster=cluster,
                connection=connection,
                client=self.client,
                publisher=self.publisher,
                activity=self._activity,
                log=self._log,
                times=self.times,
                page_slots=self.page_slots,
                identities=self.identities,
                operations=self.operations,
                events=self._events,
                published=published,
                starts=starts,
            )
            await self._session.run()

    async def _keeps(self, error: SupersededError) -> bool:
        """Whether the cluster is ours all the same, since somebody without the lease has begun the epoch."""
        self._events = None
        self._log.leave()
        if not await self.has_lease():
            return False
        context = {"cluster": self.cluster.name, "datacenter": self.cluster.datacenter}
        message = "cluster %s: %s, without its lease; this watcher (%s) has the lease and begins a new epoch"
        logger.warning(message, self.cluster.name, error, WATCHER, extra=context)
        return True

    async def _starts(self, epoch: Epoch, published: Published, ended: HistoryEndedError | None) -> Mapping[str, Start]:
        """How to begin with each resource."""
        heartbeat = await last_heartbeat(self.client, epoch)
        not_before = self.client.clock.now() - self.times.resume_within
        starts = {}
        for plural in (resource.plural for resource in WATCHED):
            how = start(plural, heartbeat, published.reached.get(plural, 0), not_before)
            if published.has_stale_events:  # as of the position, what is true of them may not have been so yet
                how = how._replace(listing=Listing(seen=how.listing.seen))
            if isinstance(ended, RegressedError):
                how = how._replace(listing=replace(how.listing, reason=ListReason.REGRESSED))
            starts[plural] = how
        return starts


def _first(errors: BaseExceptionGroup[EndT]) -> EndT:
    """One of the errors, of which several list-watches may have one each; without its frames, which have the cache."""
    error = errors.exceptions[0]
    if isinstance(error, BaseExceptionGroup):
        return _first(error)
    error.__context__ = None
    return error.with_traceback(None)


def _first_of(error: BaseException) -> BaseException:
    """The error, or the first one in a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _sentence(error: BaseException) -> str:
    """The kind and the first words of an unforeseen error."""
    return one_line(f"{type(error).__name__}: {error}", SENTENCE_CHARACTERS)
