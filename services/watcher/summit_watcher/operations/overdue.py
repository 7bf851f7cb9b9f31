"""Ends operations that nobody has ended: their cluster is not watched, or their watcher is gone.

Any watcher does this for all clusters of its datacenters. Each end is stored only onto the newest step, so several at
once make one end, and none makes a second.
"""

import asyncio
import logging
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta

from summit_models.event import operation_event
from summit_models.operation import overdue
from summit_models.subject import subject_of_operation
from summit_runtime.nats.connection.bus import EventClient
from summit_runtime.nats.publishing.append import Basis, ConflictError, NotStoredError, append
from summit_runtime.operation_metrics import count_end
from summit_watcher.log.epoch import WATCHER
from summit_watcher.operations.feed import OperationFeed
from summit_watcher.operations.steps import Step
from summit_watcher.settings import WatcherTimes

logger = logging.getLogger("summit.watcher")


class Overdue:
    def __init__(
        self, client: EventClient, feed: OperationFeed, datacenters: AbstractSet[str], times: WatcherTimes
    ) -> None:
        """`datacenters`: those that this process watches; empty: all."""
        self._client, self._feed, self._datacenters, self._times = client, feed, datacenters, times

    async def run(self) -> None:
        """End what is overdue, for ever."""
        while True:
            await asyncio.sleep(self._times.overdue_check_seconds)
            now = self._client.clock.now()
            for step in list(self._feed.running.values()):
                if not self._datacenters or step.operation.datacenter in self._datacenters:
                    await self._end(step, now)

    async def _end(self, step: Step, now: datetime) -> None:
        """End it if it is overdue, and try again later if that cannot be stored."""
        patience = timedelta(seconds=self._times.overdue_seconds)
        end = overdue(step.operation, now, patience)
        if end is None:
            return
        event = operation_event(end, step.revision, writer=f"{WATCHER}/overdue", time=now)
        try:
            await append(self._client, [event], Basis(subject_of_operation(end), step.revision))
        except ConflictError:
            return  # its next step is on its way to us
        except NotStoredError as error:
            logger.debug("operation %s is overdue, and its end is not stored yet: %s", end.id, error)
            return
        count_end(end)
        logger.info("operation %s: %s: %s", end.id, end.state, end.message)
