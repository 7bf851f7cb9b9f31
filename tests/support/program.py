"""Services as processes: what they need, whether they run, and how they stand still."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

UNLIMITED = {"API_ANONYMOUS_ROLE": "admin", "API_CLIENT_REQUESTS_PER_SECOND": "0", "API_CLIENT_REQUESTS": "0"}
"""Settings of an api whose clients, all of one address, may do everything, as often as they want."""


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


def is_running(pid: int) -> bool:
    """Whether the process still runs. A zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


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
