"""Services as processes, and processes that stand still."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager


@asynccontextmanager
async def program(module: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A service, killed at the end unless it has ended."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, env=os.environ | environment, stderr=asyncio.subprocess.PIPE
    )
    reading = asyncio.create_task(_drain(child))
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()
        await reading


async def _drain(child: asyncio.subprocess.Process) -> None:
    assert child.stderr
    while await child.stderr.readline():
        pass


@contextmanager
def frozen(pids: Sequence[int]) -> Iterator[None]:
    """These processes stand still while the block runs."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
