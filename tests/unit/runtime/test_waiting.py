"""Waiting for a limited time, and ending a task that does not end at the first cancellation."""

import asyncio

import pytest

from summit_runtime.waiting import completed, done_or_set, end, run_until, uncancelled, wait


async def test_waiting_returns_whether_the_event_is_set() -> None:
    """It returns at once when the event is set, and after the time when it is not."""
    event = asyncio.Event()
    assert not await wait(event, 0.01)
    event.set()
    assert await wait(event, 60)


@pytest.mark.parametrize("by", ["task", "event"])
async def test_waiting_for_a_task_or_an_event_ends_with_either(by: str) -> None:
    """The task is left as it is."""
    event, other = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(other.wait())
    (other if by == "task" else event).set()
    async with asyncio.timeout(5):
        await done_or_set(task, event)
    assert task.done() is (by == "task")
    await end(task)


async def test_work_that_does_not_end_in_its_time_is_ended() -> None:
    """It may wait for a server that is away."""
    stop = asyncio.Event()
    stop.set()
    async with asyncio.timeout(5):
        await run_until(stop, asyncio.sleep(60), lambda: 0.01)


async def test_work_that_fails_fails_its_caller() -> None:
    """This holds even if nobody has asked it to stop."""

    async def fails() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await run_until(asyncio.Event(), fails(), lambda: 60)


async def test_a_task_that_loses_a_cancellation_ends_all_the_same() -> None:
    """asyncio.wait_for drops a cancellation for an error of the same moment; the task is cancelled again."""
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


async def test_a_task_that_works_when_it_ends_has_the_time_that_it_needs() -> None:
    """A session stores its last positions then; a second cancellation would end that too."""
    began, goes_on, stored = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def stores_at_its_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            began.set()
            await goes_on.wait()
            stored.set()

    task = asyncio.create_task(stores_at_its_end())
    await asyncio.sleep(0)
    ending = asyncio.create_task(end(task, again_seconds=60))
    await began.wait()
    assert not await wait(stored, 0.3)
    goes_on.set()
    async with asyncio.timeout(5):
        await ending
    assert (stored.is_set(), task.cancelled()) == (True, True)


async def test_a_cancellation_that_nobody_asked_for_is_a_failure() -> None:
    """A library that cancels its own future would end a task of a group in silence."""
    waiting = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(uncancelled(waiting))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(RuntimeError, match="a library has cancelled"):
        await task
    task = asyncio.create_task(uncancelled(asyncio.sleep(60)))
    await asyncio.sleep(0)
    await end(task)
    assert task.cancelled()


@pytest.mark.parametrize("seconds", [0.01, 60])
async def test_work_under_way_may_be_completed_by_a_caller_that_is_cancelled(seconds: float) -> None:
    """In its time; the caller is cancelled all the same."""
    begun, done = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await asyncio.sleep(seconds)
        done.set()

    caller = asyncio.create_task(completed(work(), 0.5))
    await begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert done.is_set() is (seconds < 1)


async def test_what_completed_work_raises_reaches_its_caller() -> None:
    """As if it had been awaited."""

    async def work() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await completed(work(), 1)
