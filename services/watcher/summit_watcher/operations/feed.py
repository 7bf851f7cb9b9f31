"""The steps of all operations, as the log has them: one reader for all clusters of this process.

Fifty idle clusters with a reader each would cost a percent of a core.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from summit_models.contract import ClusterName, DatacenterId, Uid
from summit_models.operation import Operation
from summit_models.subject import OPERATIONS
from summit_runtime.nats.bus import EventClient
from summit_runtime.nats.consumer import consume
from summit_watcher.operations.steps import Step, read_message

Place = tuple[DatacenterId, ClusterName]


class OperationFeed:
    def __init__(self, client: EventClient) -> None:
        self.running: dict[Uid, Step] = {}
        """The newest step of each operation that has not ended."""
        self._client = client
        self._is_read = asyncio.Event()
        self._followers: dict[Place, asyncio.Queue[Step]] = {}

    async def run(self) -> None:
        """Read the log for ever."""
        async with consume(self._client, after=None, filter_subject=OPERATIONS) as consumer:
            if not (await consumer.open()).initial_pending:
                self._is_read.set()
            while True:
                for message in await consumer.next_batch():
                    if step := read_message(message):
                        self._receive(step)
                    if not message.pending:
                        self._is_read.set()

    async def is_read(self) -> None:
        """Wait until the log was read to its end once."""
        await self._is_read.wait()

    @contextmanager
    def follow(self, datacenter: DatacenterId, cluster: ClusterName) -> Iterator[asyncio.Queue[Step]]:
        """The operations of a cluster that have not ended, and all their steps from now on. One follower at a time."""
        place, queue = (datacenter, cluster), asyncio.Queue[Step]()
        for step in self.running.values():
            if _place_of(step.operation) == place:
                queue.put_nowait(step)
        self._followers[place] = queue
        try:
            yield queue
        finally:
            if self._followers.get(place) is queue:
                del self._followers[place]

    def _receive(self, step: Step) -> None:
        operation = step.operation
        if operation.has_ended:
            self.running.pop(operation.id, None)
        else:
            self.running[operation.id] = step
        if follower := self._followers.get(_place_of(operation)):
            follower.put_nowait(step)


def _place_of(operation: Operation) -> Place:
    return operation.datacenter, operation.cluster
