"""One process of the stack that chaos ends, freezes and starts again, and whose size is looked at."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from summit_standalone.embedded.child import Child, Program, ignore

END_SECONDS = 30.0
"""Every process promises to stop within ten seconds; a busy machine takes its time."""
IMPORT_SECONDS = 20.0
"""So long may Python take on a busy machine until it minds signals; SIGTERM just ends it before."""
RESTART_SECONDS = 0.5
"""The pause before a process that ended by itself starts again, as with docker's `restart: always`."""


TRACEBACK = "Traceback (most recent call last)"


class Size(NamedTuple):
    """The resources of a process; resident memory in bytes."""

    pid: int
    resident_bytes: int
    open_files: int


class Part:
    """A process that runs while it is wanted. Whoever ends or freezes it holds `busy`, so that two do not at once."""

    def __init__(self, program: Program, log: Path) -> None:
        self.name = log.stem
        self.busy = asyncio.Lock()
        self.starts = 0
        self.complaints: list[str] = []
        """Ends that nobody asked for, and ends that were asked for and went wrong."""
        self._log = log
        self._child = Child(replace(program, log=log), ignore)
        self._wanted = asyncio.Event()
        self._started_at = 0.0

    def unforeseen(self) -> Iterator[str]:
        """Log lines before a traceback: a service logs one line for each failure that it knows."""
        before = ""
        with self._log.open(errors="replace") as lines:
            for line in lines:
                if line.startswith(TRACEBACK):
                    yield f"{self.name}: {before.strip()}"
                before = line

    @property
    def environment(self) -> Mapping[str, str] | None:
        return self._child.program.environment

    async def start(self) -> None:
        await self._child.spawn()
        self._started_at = time.monotonic()
        self.starts += 1
        self._wanted.set()

    async def end(self, how: signal.Signals) -> None:
        """Send the signal and wait for the end; SIGTERM has to be followed by exit code 0."""
        self._wanted.clear()
        self._signal(how)
        try:
            async with asyncio.timeout(END_SECONDS):
                await self._child.ended()
        except TimeoutError:
            self.complaints.append(f"{self.name} had not ended {END_SECONDS:.0f} s after {how.name}")
            self._child.kill()
            await self._child.ended()
        is_young = time.monotonic() - self._started_at < IMPORT_SECONDS and self._child.exit_code == -signal.SIGTERM
        if how is signal.SIGTERM and self._child.exit_code and not is_young:
            self.complaints.append(f"{self.name} {self._child.describe_end()} after SIGTERM")

    @asynccontextmanager
    async def frozen(self) -> AsyncIterator[None]:
        """Let it, and all it has started, stand still while the block runs: connected and silent."""
        pids = list(self._pids())
        for pid in pids:
            _send(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                _send(pid, signal.SIGCONT)

    async def keep_running(self) -> None:
        """Start it again when it ends though it is wanted, for ever."""
        while True:
            await self._wanted.wait()
            await self._child.ended()
            if self._wanted.is_set():
                self.complaints.append(f"{self.name} {self._child.describe_end()} by itself")
                await asyncio.sleep(RESTART_SECONDS)
                await self.start()

    def size(self) -> Size | None:
        """None while it does not run. Without the processes it has started."""
        pid = self._child.pid
        if not pid:
            return None
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            return Size(pid, resident_bytes(pid), len(os.listdir(f"/proc/{pid}/fd")))  # noqa: PTH208
        return None

    def _signal(self, number: signal.Signals) -> None:
        if pid := self._child.pid:
            _send(pid, number)

    def _pids(self) -> Iterator[int]:
        if pid := self._child.pid:
            yield pid
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
            yield from map(int, children.split())


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def resident_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0  # it has just ended
