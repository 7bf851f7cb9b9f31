"""The pages that are read at one time: bounded, and no slow one takes the place of the others for long."""

import asyncio

from support.waiting import until

from summit_watcher.listwatch.page_slots import PageSlots


async def test_pages_wait_for_a_slot() -> None:
    """The next page begins when one ends."""
    slots, taken = PageSlots(60.0, pages=1), asyncio.Event()

    async def read() -> None:
        async with slots.take():
            taken.set()

    async with asyncio.TaskGroup() as tasks:
        async with slots.take():
            tasks.create_task(read())
            await asyncio.sleep(0)
            assert not taken.is_set()
        await taken.wait()


async def test_a_slow_page_gives_its_slot_back() -> None:
    """And gives it back once: the bound stays what it is."""
    slots, reading = PageSlots(0.05, pages=1), 0

    async def read(end: asyncio.Event) -> None:
        nonlocal reading
        async with slots.take():
            reading += 1
            await end.wait()
        reading -= 1

    slow, end = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(read(slow))
        tasks.create_task(read(end))
        await until(lambda: reading == 2)
        slow.set()
        end.set()
    async with asyncio.TaskGroup() as tasks, slots.take():
        waiting = tasks.create_task(read(end))
        await asyncio.sleep(0)
        assert not waiting.done()
