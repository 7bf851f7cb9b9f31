"""The event queue: in order and bounded, and a list-watch waits only where it must."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from support.waiting import until

from summit_watcher.kube.errors import BackpressureError, FirstListsError
from summit_watcher.kube.resources import MIGRATIONS, VIRTUAL_MACHINES
from summit_watcher.listwatch.events import Bookmark, Init
from summit_watcher.listwatch.queue import EventQueue


class Consumer:
    """Takes parts of the queue while `works` is set."""

    def __init__(self, queue: EventQueue) -> None:
        self.queue = queue
        self.works = asyncio.Event()
        self.works.set()
        self.taken: list[str] = []

    async def run(self) -> None:
        while True:
            async with self.queue.take() as part:
                await self.works.wait()
                versions = [getattr(event, "resource_version", "list") for event in part.events]
                self.taken += [f"{part.resource.plural} {version}" for version in versions]


@asynccontextmanager
async def consuming(*, patience_seconds: float = 0.05) -> AsyncIterator[tuple[EventQueue, Consumer]]:
    """A queue that watches may fill, and its consumer at work."""
    queue = EventQueue(patience_seconds, limit=4)
    queue.open_for_watches()
    consumer = Consumer(queue)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(consumer.run())
        yield queue, consumer
        task.cancel()


def bookmarks(*versions: int) -> list[Bookmark]:
    return [Bookmark(str(version)) for version in versions]


async def test_changes_are_taken_in_order_and_no_watch_waits_for_it() -> None:
    """Those of all list-watches of a cluster, one after the other."""
    async with consuming() as (queue, consumer):
        consumer.works.clear()
        await queue.put(VIRTUAL_MACHINES, bookmarks(1, 2))
        await queue.put(MIGRATIONS, bookmarks(7))
        assert (consumer.taken, queue.waiting) == ([], 3)
        consumer.works.set()
        await until(lambda: queue.waiting == 0)
    vms, migrations = VIRTUAL_MACHINES.plural, MIGRATIONS.plural
    assert consumer.taken == [f"{vms} 1", f"{vms} 2", f"{migrations} 7"]


async def test_a_part_of_a_list_is_awaited() -> None:
    """A list is compared with what is known, so all parts before must be in there."""
    async with consuming() as (queue, consumer), asyncio.TaskGroup() as tasks:
        consumer.works.clear()
        putting = tasks.create_task(queue.put(VIRTUAL_MACHINES, [Init()]))
        await until(lambda: queue.waiting == 1)
        assert not putting.done()
        consumer.works.set()
        await putting
        assert consumer.taken == ["virtualmachines list"]


async def test_watches_wait_until_the_first_lists_are_complete() -> None:
    """Lists do not."""
    queue = EventQueue(0.05, limit=4)
    consumer = Consumer(queue)
    async with asyncio.TaskGroup() as tasks:
        consuming = tasks.create_task(consumer.run())
        early = tasks.create_task(queue.put(MIGRATIONS, bookmarks(7)))
        await queue.put(VIRTUAL_MACHINES, [Init()])
        assert (early.done(), consumer.taken) == (False, ["virtualmachines list"])
        queue.open_for_watches()
        await until(lambda: len(consumer.taken) == 2)
        consuming.cancel()


async def test_a_watch_does_not_wait_for_a_first_list_that_hangs() -> None:
    """The server would cut it off. It is closed on purpose, and goes on where it was when the lists are complete."""
    queue = EventQueue(0.05, limit=4)
    with pytest.raises(FirstListsError, match="wait for the first lists of the other resources") as raised:
        await queue.put(MIGRATIONS, bookmarks(7))
    async with asyncio.TaskGroup() as tasks:
        room = tasks.create_task(asyncio.wait_for(raised.value.room(), None))
        queue.open_for_watches()
        await room


async def test_a_queue_that_stays_full_ends_the_watch_until_it_is_half_empty() -> None:
    """Events that did not fit are not taken; the watch resumes before them."""
    async with consuming() as (queue, consumer), asyncio.TaskGroup() as tasks:
        consumer.works.clear()
        for version in (1, 2, 3, 4):
            await queue.put(VIRTUAL_MACHINES, bookmarks(version))
        with pytest.raises(BackpressureError, match="4 changes wait for NATS") as raised:
            await queue.put(VIRTUAL_MACHINES, bookmarks(5))
        room = tasks.create_task(raised.value.room())
        await asyncio.sleep(0)
        assert not room.done()
        consumer.works.set()
        await room
        await queue.put(VIRTUAL_MACHINES, bookmarks(5))
        await until(lambda: queue.waiting == 0)
    assert consumer.taken == [f"virtualmachines {version}" for version in (1, 2, 3, 4, 5)]


async def test_a_storm_is_waited_out_while_there_is_progress() -> None:
    """The server notices a busy watcher by its socket; its watch is left open."""
    async with consuming(patience_seconds=10) as (queue, consumer):
        for version in range(100):
            await queue.put(VIRTUAL_MACHINES, bookmarks(version))
        await until(lambda: queue.waiting == 0)
    assert len(consumer.taken) == 100


async def test_a_part_that_is_larger_than_the_queue_passes_alone() -> None:
    """It would be put again for ever otherwise."""
    async with consuming() as (queue, consumer):
        await queue.put(VIRTUAL_MACHINES, bookmarks(*range(10)))
        await until(lambda: queue.waiting == 0)
    assert len(consumer.taken) == 10
