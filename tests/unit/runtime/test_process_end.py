"""Ending a task that does not end at the first cancellation."""

import asyncio

from summit_runtime.process import end


async def test_stop_hangs_when_a_cancellation_is_lost() -> None:
    """As when asyncio.wait_for drops it for an error of the same moment: it is cancelled again."""
    lost = asyncio.Event()

    async def loses_one() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            lost.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(loses_one())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await end(task)
    assert (lost.is_set(), task.cancelled()) == (True, True)
