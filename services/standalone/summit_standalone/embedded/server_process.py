"""A server as a child process with a directory of its own: lock, port, log, ready line, orderly end.

The child inherits a file lock, so a server that outlives a killed parent is found at the next start by the lock it
still holds, and is stopped before a second one touches the same data. The user who starts it owns the directory.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from summit_runtime.condition import Condition, duration
from summit_runtime.waiting import end
from summit_standalone.directory import holder, open_lock, sign, try_lock
from summit_standalone.embedded.child import Child, ChildState, Program, Report, kept_running
from summit_standalone.errors import StandaloneError

logger = logging.getLogger("summit.standalone")

HOST = "127.0.0.1"
POLL_SECONDS = 0.01
REPORT_SECONDS = 5.0
"""A person who waits for the start looks for a reason after so long, and again after twice that, and so on."""
START_SECONDS = 600.0
"""Both servers are ready within a second; after a power failure they first read what they had written, which takes
minutes when that is much. A server that ends is noticed at once.
"""
START_BYTES = 1024 * 1024
"""With less on its disk a server cannot even write into its log that it is ready."""
LEFTOVER_SECONDS = 8.0
LOG_TAIL_BYTES = 1500
LOG_MAX_BYTES = 10 * 1024 * 1024
"""A longer log is emptied. The servers write a few lines a day, and one for each login that fails."""
_ANY_PORT = range(20_000, 32_768)
"""Below those that Linux gives to connections (`ip_local_port_range`): a connection took the port of a server between
the look at it and the server's start."""
LOG_LOOK_SECONDS = 10.0
"""Within it, a program of this machine that cannot log in writes 60 MB at most (measured)."""


class ServerError(StandaloneError):
    """An embedded server did not start; the message names it, the reason and its log."""


@asynccontextmanager
async def exclusive(directory: Path, stop_signal: signal.Signals) -> AsyncIterator[int]:
    """Hold the directory's lock while the block runs, and end with `stop_signal` a server that outlived its parent.

    Raises ServerError when that server does not end.
    """
    lock = open_lock(directory / "lock")
    try:
        if not try_lock(lock):
            await _stop_leftover(directory, lock, stop_signal)
        yield lock
    finally:
        os.close(lock)


@asynccontextmanager
async def running(
    server: Program, ready_line: bytes, *, directory: Path, lock: int, report: Report
) -> AsyncIterator[Child]:
    """Keep the server running while the block runs; it inherits `lock` and logs to a file in `directory`.

    Raises ServerError when it does not become ready.
    """
    if free_bytes(directory) < START_BYTES:
        raise ServerError(f"{server.name} cannot start: the disk of {directory} is full or read-only")
    log = directory / f"{server.name}.log"
    log_start = _begin_log(log)
    logger.info("starting %s; its log is %s", server.name, log)

    def on_change(child: Child) -> None:
        if child.state is ChildState.RUNNING and child.pid:
            sign(lock, child.pid)
        report(child)

    async def until_ready(child: Child) -> None:
        await _until_ready(child, ready_line, log, log_start)

    async with kept_running(replace(server, log=log, inherits=(lock,)), on_change, until_ready) as child:
        shortening = asyncio.create_task(keep_short(log, LOG_MAX_BYTES, LOG_LOOK_SECONDS))
        try:
            yield child
        finally:
            await end(shortening)


async def keep_short(log: Path, most_bytes: int, look_seconds: float) -> None:
    """Empty the log of a running server whenever it is longer, for ever. The server appends, so it goes on in it."""
    emptied = Condition(logger)
    while True:
        await asyncio.sleep(look_seconds)
        with contextlib.suppress(OSError):
            if _empty_if_longer(log, most_bytes):
                emptied.holds(
                    "%s was emptied, as it grew beyond %d bytes: does a program fail to log in?", log, most_bytes
                )


async def poll(question: Callable[[], Awaitable[int]], seconds: float) -> int:
    """Wait for what has no event: ask until the answer is not 0, and return it; 0 when it still is after `seconds`."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not (answer := await question()):  # noqa: ASYNC110  there is no event to wait for
                await asyncio.sleep(POLL_SECONDS)
            return answer
    return 0


def free_bytes(directory: Path) -> int:
    """How much may be written there; 0 if the disk is read-only or does not answer."""
    with contextlib.suppress(OSError):
        found = os.statvfs(directory)
        return 0 if found.f_flag & os.ST_RDONLY else found.f_bavail * found.f_frsize
    return 0


def choose_port(directory: Path, preferred: int = 0) -> int:
    """The port of the last start, else `preferred`, else any; the first that is free, remembered in `port`.

    A remembered port keeps addresses valid that people have copied.
    """
    remembered = directory / "port"
    wishes = [wish for wish in (_read_port(remembered), preferred) if wish]
    port = next((wish for wish in wishes if _is_free(wish)), None) or free_port()
    remembered.write_text(f"{port}\n")
    return port


def _read_port(remembered: Path) -> int:
    """The number in the file, 0 when there is none or it was cut off by a full disk."""
    try:
        return int(remembered.read_text())
    except (FileNotFoundError, ValueError):
        return 0


def free_port() -> int:
    """Any port on which nobody listens. Raises ServerError if none of a hundred is free."""
    for port in secrets.SystemRandom().sample(_ANY_PORT, 100):
        if _is_free(port):
            return port
    raise ServerError(f"no port of {HOST} is free between {_ANY_PORT[0]} and {_ANY_PORT[-1]}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError):
            return False
    return True


async def _stop_leftover(directory: Path, lock: int, stop_signal: signal.Signals) -> None:
    pid = holder(lock)
    if pid:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, stop_signal)

    async def ended() -> bool:
        return try_lock(lock)

    if not await poll(ended, LEFTOVER_SECONDS):
        raise ServerError(f"a server already runs in {directory} (process {pid or 'unknown'}): stop it first")


def _begin_log(log: Path) -> int:
    """The offset at which the lines of the coming start begin."""
    if not log.exists() or _empty_if_longer(log, LOG_MAX_BYTES):
        return 0
    return log.stat().st_size


def _empty_if_longer(log: Path, most_bytes: int) -> bool:
    if log.stat().st_size <= most_bytes:
        return False
    os.truncate(log, 0)
    return True


async def _until_ready(child: Child, ready_line: bytes, log: Path, log_start: int) -> None:
    name = child.program.name

    async def ready() -> bool:
        with log.open("rb") as file:
            file.seek(log_start)
            lines = file.read()
        if ready_line not in lines and child.exit_code is not None:
            tail = lines[-LOG_TAIL_BYTES:].decode(errors="replace").strip()
            raise ServerError(f"{name} {child.describe_end()}; {log}: {tail}")
        return ready_line in lines

    reporting = asyncio.create_task(_report_waiting(name, log))
    try:
        if not await poll(ready, START_SECONDS):
            raise ServerError(f"{name} was not ready within {duration(START_SECONDS)}; see {log}")
    finally:
        await end(reporting)


async def _report_waiting(name: str, log: Path) -> None:
    """Log from time to time what the start waits for."""
    began_at, seconds = time.monotonic(), REPORT_SECONDS
    while True:
        await asyncio.sleep(seconds)
        waited, seconds = time.monotonic() - began_at, 2 * seconds
        logger.info("%s is not ready after %s: it may be recovering its data; see %s", name, duration(waited), log)
