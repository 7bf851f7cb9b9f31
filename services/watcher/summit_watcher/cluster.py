"""One cluster, for ever: one epoch after another, each with all that the log remembers of those before.

An epoch ends with the watcher, or when the cluster's history turns out to be another than the one that is known.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from nats.aio.client import Client

from summit_runtime.backoff import Backoff
from summit_runtime.publisher import Publisher
from summit_watcher.activity import ActivityLog
from summit_watcher.config import ClusterConfig
from summit_watcher.connection import ClusterConnection
from summit_watcher.connection_errors import HistoryEndedError, RegressedError
from summit_watcher.epoch import Epoch
from summit_watcher.ledger import Ledger, begin
from summit_watcher.listwatch import ListWatchSettings
from summit_watcher.positions import Start, last_heartbeat, start
from summit_watcher.resources import WATCHED
from summit_watcher.session import Session
from summit_watcher.stream_state import Listing, ListReason

logger = logging.getLogger("summit.watcher")


class ClusterWatcher:
    """Watches one cluster while `run` runs."""

    def __init__(
        self,
        cluster: ClusterConfig,
        client: Client,
        publisher: Publisher,
        activity: ActivityLog,
        settings: ListWatchSettings | None = None,
    ) -> None:
        self._cluster = cluster
        self._settings = settings
        self._client = client
        self._publisher = publisher
        self._activity = activity
        self.tried = False
        """The cluster has answered or has failed to: a process is ready when it has tried all of its clusters."""

    async def run(self) -> None:
        cluster = self._cluster
        logger.info("Starting watcher for cluster %s (datacenter: %s)", cluster.name, cluster.datacenter)
        ended: HistoryEndedError | None = None
        backoff = Backoff()  # two servers behind one address, of which one lags, would else be listed without end
        while True:
            try:
                await self._watch(ended)
            except* HistoryEndedError as errors:
                ended = _first(errors)
                logger.error(  # noqa: TRY400  the sentence is the message
                    "cluster %s: %s; a new epoch begins, with complete lists",
                    cluster.name,
                    ended,
                    extra={"cluster": cluster.name, "reason": str(ended)},
                )
            await asyncio.sleep(backoff.next_seconds())

    async def _watch(self, ended: HistoryEndedError | None) -> None:
        """Watch under one epoch, until its history has ended."""
        cluster = self._cluster
        epoch, ledger = await begin(self._client, self._publisher, cluster.datacenter, cluster.name, ended=ended)
        starts = await self._starts(epoch, ledger, ended)
        async with ClusterConnection(cluster.kubeconfig, cluster.context, name=cluster.name) as connection:
            await Session(
                cluster=cluster,
                connection=connection,
                client=self._client,
                publisher=self._publisher,
                activity=self._activity,
                settings=self._settings,
                epoch=epoch,
                ledger=ledger,
                starts=starts,
                on_tried=self._has_tried,
            ).run()

    async def _starts(self, epoch: Epoch, ledger: Ledger, ended: HistoryEndedError | None) -> Mapping[str, Start]:
        """How to begin with each resource."""
        heartbeat, now = await last_heartbeat(self._client, epoch), datetime.now(UTC)
        starts = {r.plural: start(r.plural, heartbeat, ledger.reached.get(r.plural, 0), now) for r in WATCHED}
        if ledger.has_doubts:  # as of the position, what is true of them may not have been so yet
            starts = {plural: begin._replace(listing=Listing()) for plural, begin in starts.items()}
        if isinstance(ended, RegressedError):
            return {
                plural: begin._replace(listing=replace(begin.listing, reason=ListReason.REGRESSED))
                for plural, begin in starts.items()
            }
        return starts

    def _has_tried(self) -> None:
        self.tried = True


def _first(errors: BaseExceptionGroup[HistoryEndedError]) -> HistoryEndedError:
    """One of the errors; several list-watches may have found out at once."""
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
