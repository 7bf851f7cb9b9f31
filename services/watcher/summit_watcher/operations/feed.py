"""The steps of all operations, as the log has them: one reader for all clusters of this process.

Fifty idle clusters with a reader each would cost a percent of a core.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from summit_models.contract import ClusterName, Uid
from summit_models.subject import OPERATIONS
from summit_runtime.nats.connection.bus import EventClient
from summit_runtime.nats.streams.consumer import consume
from summit_watcher.operations.steps import Step, read_message


class OperationFeed:
    def __init__(self, client: EventClient) -> None:
        self.running: dict[Uid, Step] = {}
        """The newest step of each operation that has not ended."""
        self._client = client
        self._is_read = asyncio.Event()
        self._followers: dict[ClusterName, asyncio.Queue[Step]] = {}

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
    def follow(self, cluster: ClusterName) -> Iterator[asyncio.Queue[Step]]:
        """The operations of a cluster that have not ended, and all their steps from now on. One follower at a time.

        A cluster that was declared in another datacenter when they were asked for is the same one.
        """
        queue = asyncio.Queue[Step]()
        for step in self.running.values():
            if step.operation.cluster == cluster:
                queue.put_nowait(step)
        self._followers[cluster] = queue
        try:
            yield queue
        finally:
            if self._followers.get(cluster) is queue:
                del self._followers[cluster]

    def _receive(self, step: Step) -> None:
        operation = step.operation
        if operation.has_ended:
            self.running.pop(operation.id, None)
        else:
            self.running[operation.id] = step
        if follower := self._followers.get(operation.cluster):
            follower.put_nowait(step)
