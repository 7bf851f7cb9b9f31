"""Services as processes: what they need, whether they run, and how they stand still."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from support.waiting import DEADLINE_SECONDS, POLL_SECONDS

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
    """These processes stand still while the block runs: on a busy machine a signal to stop takes a while to arrive."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    give_up_at = time.monotonic() + DEADLINE_SECONDS
    try:
        while not all(map(_stands_still, pids)):
            assert time.monotonic() < give_up_at, "a process does not stop"
            time.sleep(POLL_SECONDS)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _stands_still(pid: int) -> bool:
    """Whether each thread has stopped; the state stands after the name, which is in brackets (proc_pid_stat(5))."""
    threads = Path(f"/proc/{pid}/task").glob("*/stat")
    return all(thread.read_text().rpartition(") ")[2].startswith("T") for thread in threads)
