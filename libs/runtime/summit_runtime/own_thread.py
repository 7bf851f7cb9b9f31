"""A thread of one's own for work that may hang, such as reading from a file system that is away.

It does one piece of work after the other, so at most one thread hangs. Unlike the threads of a ThreadPoolExecutor it is
a daemon: a process that stops does not wait for it.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


class OwnThread:
    """The thread starts with the first work, and ends after `end`, when its present work is done."""

    def __init__(self, name: str) -> None:
        self._work: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name=name, daemon=True)

    async def run(self, work: Callable[[], T], seconds: float) -> T:
        """Do the work and wait for its result. Raises TimeoutError after `seconds`, and leaves the work behind."""
        if self._thread.ident is None:
            self._thread.start()
        result: Future[T] = Future()
        self._work.put((result, work))
        async with asyncio.timeout(seconds):
            return await asyncio.wrap_future(result)

    def end(self) -> None:
        """Take no new work. The present work may go on; nobody waits for it."""
        self._work.put(None)

    def _run(self) -> None:
        while item := self._work.get():
            result, work = item
            if not result.set_running_or_notify_cancel():
                continue
            try:
                result.set_result(work())
            except BaseException as error:  # noqa: BLE001  raised where the result is awaited
                result.set_exception(error)
