"""A thread of one's own for work that may hang, such as reading from a file system that is away.

It does one piece of work after the other, so at most one thread hangs. Unlike the threads of a ThreadPoolExecutor it is
a daemon: a process that stops does not wait for it.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class OwnThread(Executor):
    """The thread starts with the first work, and ends after `end`, when its present work is done."""

    def __init__(self, name: str) -> None:
        self._work: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        if self._thread.ident is None:
            self._thread.start()
        future: Future[T] = Future()
        self._work.put((future, partial(work, *args, **kwargs)))
        return future

    async def run(self, work: Callable[[], T], seconds: float) -> T:
        """Do the work and wait for its result. Raises TimeoutError after `seconds`, and leaves the work behind."""
        async with asyncio.timeout(seconds):
            return await asyncio.get_running_loop().run_in_executor(self, work)

    def end(self) -> None:
        """Take no new work. The present work may go on; nobody waits for it."""
        self._work.put(None)

    def _run(self) -> None:
        while item := self._work.get():
            future, work = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001  raised where the result is awaited
                future.set_exception(error)
