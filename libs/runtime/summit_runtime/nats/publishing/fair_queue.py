"""A fair queue of events on their way to the log: one queue per cluster, and the clusters take turns.

Events of one cluster leave in the order they came. A busy cluster fills its own queue only, and the event of a quiet
one is among the next that are sent.
"""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from summit_runtime.nats.publishing.fast_batch import Message

WINDOW_EVENTS = 2048
"""Bounds the memory of a queue: 3 MB of events of 1.3 KB. Twice the events that may be unanswered: while those are on
their way, as many wait."""


@dataclass(eq=False, slots=True)
class Entry:
    """One event, from its place in a queue until it is stored."""

    message: Message
    queue: "ClusterQueue"
    in_window: bool = True
    """False: it has left the window before, and was lost after that."""
    settled: bool = False
    queued_at: float = field(default_factory=time.monotonic)


class ClusterQueue:
    def __init__(self) -> None:
        self._room = asyncio.Semaphore(WINDOW_EVENTS)
        self.waiting: deque[Entry] = deque()
        self._unsettled: deque[Entry] = deque()
        """All events that have not left, in order; one that was overtaken leaves when it is the oldest."""
        self.dropped: list[str] = []
        """Ids of events that can never be stored, since the last look at them."""
        self._flushes: deque[tuple[Entry, asyncio.Future[None]]] = deque()
        """Each is done when its event, and all before it, are settled."""

    @property
    def waited_seconds(self) -> float:
        """How long the oldest event has waited to be stored; 0 when none waits."""
        return time.monotonic() - self._unsettled[0].queued_at if self._unsettled else 0.0

    async def add(self, message: Message) -> Entry:
        await self._room.acquire()
        entry = Entry(message, self)
        self.waiting.append(entry)
        self._unsettled.append(entry)
        return entry

    def restore(self, message: Message) -> Entry:
        """Add an event that had left already, before all others."""
        entry = Entry(message, self, in_window=False)
        self._unsettled.appendleft(entry)
        return entry

    def settle(self, entry: Entry) -> None:
        """Note that the event is stored, or never can be."""
        entry.settled = True
        if entry.in_window:
            self._room.release()
        while self._unsettled and self._unsettled[0].settled:
            oldest = self._unsettled.popleft()
            while self._flushes and self._flushes[0][0] is oldest:
                _, stored = self._flushes.popleft()
                if not stored.done():
                    stored.set_result(None)

    async def flush(self) -> None:
        """Wait until all present events are settled, whatever comes meanwhile."""
        if self._unsettled:
            stored = asyncio.get_running_loop().create_future()
            self._flushes.append((self._unsettled[-1], stored))
            await stored


class FairQueue:
    """The queues of all clusters of one publisher."""

    def __init__(self) -> None:
        self._queues: defaultdict[str, ClusterQueue] = defaultdict(ClusterQueue)
        self._turns: deque[ClusterQueue] = deque()
        """The queues with a waiting event."""
        self.unsettled = 0
        """How many events of all clusters have not left."""

    def of(self, datacenter: str, cluster: str) -> ClusterQueue:
        return self._queues[f"{datacenter}.{cluster}"]

    async def add(self, message: Message) -> Entry:
        """Queue an event; waits while the queue of its cluster is full."""
        queue = self._of_subject(message.subject)
        entry = await queue.add(message)
        self.unsettled += 1
        if len(queue.waiting) == 1:
            self._turns.append(queue)
        return entry

    def take(self) -> Entry | None:
        """The next event to send, from the cluster whose turn it is."""
        if not self._turns:
            return None
        queue = self._turns.popleft()
        entry = queue.waiting.popleft()
        if queue.waiting:
            self._turns.append(queue)
        return entry

    def restore(self, messages: Sequence[Message]) -> Iterable[Entry]:
        """Add events that had left already, in their order, before all others."""
        self.unsettled += len(messages)
        return reversed([self._of_subject(m.subject).restore(m) for m in reversed(messages)])

    def settle(self, entry: Entry) -> None:
        self.unsettled -= 1
        entry.queue.settle(entry)

    async def flush(self) -> None:
        await asyncio.gather(*(queue.flush() for queue in list(self._queues.values())))

    def _of_subject(self, subject: str) -> ClusterQueue:
        """`ingest.summit.<collection>.<datacenter>.<cluster>…`"""
        _, _, _, datacenter, cluster, *_ = [*subject.split(".", 5), "", ""]
        return self.of(datacenter, cluster)
