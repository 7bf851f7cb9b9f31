"""Between the list-watches and the inventory: in order, bounded, and nobody waits who must not."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.waiting import until

from summit_watcher.kube.errors import BackpressureError
from summit_watcher.kube.resources import MIGRATIONS, VIRTUAL_MACHINES, Resource
from summit_watcher.listwatch.events import Bookmark, Init
from summit_watcher.listwatch.queue import EventQueue


class Diff:
    """Takes in what it is given while `open` is set."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.taken: list[str] = []

    async def take(self, resource: Resource[Any], told: Sequence[Any]) -> None:
        await self.open.wait()
        self.taken += [f"{resource.plural} {getattr(event, 'resource_version', 'list')}" for event in told]


@asynccontextmanager
async def taking(inventory: Diff, *, patience_seconds: float = 0.05) -> AsyncIterator[EventQueue]:
    intake = EventQueue(inventory.take, limit=4, patience_seconds=patience_seconds)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(intake.run())
        yield intake
        task.cancel()


def bookmarks(*versions: int) -> list[Bookmark]:
    return [Bookmark(str(version)) for version in versions]


async def test_changes_are_taken_in_order_and_nobody_waits_for_it() -> None:
    """Of all list-watches of a cluster, one after the other."""
    inventory = Diff()
    inventory.open.clear()
    async with taking(inventory) as intake:
        await intake.offer(VIRTUAL_MACHINES, bookmarks(1, 2))
        await intake.offer(MIGRATIONS, bookmarks(7))
        assert (inventory.taken, intake.waiting) == ([], 3)
        inventory.open.set()
        await until(lambda: intake.waiting == 0)
    vms, migrations = VIRTUAL_MACHINES.plural, MIGRATIONS.plural
    assert inventory.taken == [f"{vms} 1", f"{vms} 2", f"{migrations} 7"]


async def test_a_part_of_a_list_is_awaited() -> None:
    """What is compared with what is known must have been taken in."""
    inventory = Diff()
    inventory.open.clear()
    async with taking(inventory) as intake, asyncio.TaskGroup() as tasks:
        offered = tasks.create_task(intake.offer(VIRTUAL_MACHINES, [Init()]))
        await until(lambda: intake.waiting == 1)
        assert not offered.done()
        inventory.open.set()
        await offered
        assert inventory.taken == ["virtualmachines list"]


async def test_a_queue_that_stays_full_ends_the_watch_until_it_is_half_empty() -> None:
    """The offer that did not fit is not taken; the watch resumes before it."""
    inventory = Diff()
    inventory.open.clear()
    async with taking(inventory) as intake, asyncio.TaskGroup() as tasks:
        for version in (1, 2, 3, 4):
            await intake.offer(VIRTUAL_MACHINES, bookmarks(version))
        with pytest.raises(BackpressureError, match="4 changes wait for NATS") as raised:
            await intake.offer(VIRTUAL_MACHINES, bookmarks(5))
        room = tasks.create_task(raised.value.room())
        await asyncio.sleep(0)
        assert not room.done()
        inventory.open.set()
        await room
        await intake.offer(VIRTUAL_MACHINES, bookmarks(5))
        await until(lambda: intake.waiting == 0)
    assert inventory.taken == [f"virtualmachines {version}" for version in (1, 2, 3, 4, 5)]


async def test_a_storm_is_waited_out_while_there_is_progress() -> None:
    """The server feels a busy watcher by its socket; its watch is left open."""
    inventory = Diff()
    async with taking(inventory, patience_seconds=10) as intake:
        for version in range(100):
            await intake.offer(VIRTUAL_MACHINES, bookmarks(version))
        await until(lambda: intake.waiting == 0)
    assert len(inventory.taken) == 100


async def test_what_is_larger_than_the_queue_passes_alone() -> None:
    """Or it would be offered for ever."""
    inventory = Diff()
    async with taking(inventory) as intake:
        await intake.offer(VIRTUAL_MACHINES, bookmarks(*range(10)))
        await until(lambda: intake.waiting == 0)
    assert len(inventory.taken) == 10
