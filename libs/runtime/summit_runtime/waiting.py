"""Waiting for an event or a task, for a limited time, without losing a cancellation.

`asyncio.wait_for` of Python 3.11 may lose one that comes together with the result; `asyncio.timeout` does not.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any


async def wait(event: asyncio.Event, seconds: float) -> bool:
    """Wait until `event` is set, for at most so many seconds; return whether it is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


async def done_or_set(task: asyncio.Task[Any], event: asyncio.Event) -> None:
    """Wait until the task has ended or `event` is set, whichever is first."""
    setting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait({task, setting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end(setting)


async def run_until(stop: asyncio.Event, work: Coroutine[Any, Any, None], grace_seconds: Callable[[], float]) -> None:
    """Run `work`, which ends by itself after `stop`; end it when it takes longer than `grace_seconds` then.

    It may wait for a server that is away.
    """
    task = asyncio.create_task(work)
    try:
        await done_or_set(task, stop)
        await asyncio.wait({task}, timeout=grace_seconds())
    finally:
        await end(task)
    if not task.cancelled():
        task.result()


async def completed(work: Coroutine[Any, Any, None], grace_seconds: float) -> None:
    """Run `work`. When the caller is cancelled, give it so many seconds to end before it is cancelled as well."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=grace_seconds)
        raise
    finally:
        await end(task)
        if not task.cancelled():
            task.exception()  # the caller has it, unless it was cancelled itself


async def uncancelled(work: Awaitable[None]) -> None:
    """Run `work`. A CancelledError that nobody asked for raises RuntimeError.

    It comes from a future that a library has cancelled, and would end a task of a group in silence.
    """
    task = asyncio.current_task()
    try:
        await work
    except asyncio.CancelledError as error:
        if task is None or task.cancelling():
            raise
        raise RuntimeError("a library has cancelled what was waited for") from error


async def end(task: asyncio.Task[Any], *, again_seconds: float = 0.2) -> None:
    """Cancel a task and wait for its end; cancel it again every `again_seconds`.

    A cancellation can get lost: `asyncio.wait_for` of Python 3.11 drops it for an error of the same moment, and nats-py
    takes that error for one more failed attempt to connect (seen in a quarter of all stops while NATS was away). A task
    that still works when it ends, to store something, needs a longer `again_seconds` than that work.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=again_seconds)
