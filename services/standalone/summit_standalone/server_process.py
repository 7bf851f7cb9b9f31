"""A server as a child process with a directory of its own: lock, port, log, ready line, orderly end.

The child inherits a file lock, so a server that outlives a killed parent is found at the next start by the lock it
still holds, and is stopped before a second one touches the same data. Whoever starts it owns the directory.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
POLL_SECONDS = 0.01
START_SECONDS = 60.0
"""Both servers are ready within a second; recovery after a power failure reads their logs first."""
STOP_SECONDS = 8.0
"""Below the ten seconds within which the whole of `summit-connect` ends."""
LOG_TAIL_BYTES = 1500


class ServerError(Exception):
    """An embedded server did not start; the sentence says which, why, and where its log is."""


@dataclass(frozen=True)
class ServerProcess:
    """What to run and how to see that it is ready. `user` is None, or whom to run it as (only root may say)."""

    name: str
    directory: Path
    command: Sequence[str]
    ready_line: bytes
    stop_signal: signal.Signals
    user: int | None = None

    @property
    def log(self) -> Path:
        return self.directory / f"{self.name}.log"


@asynccontextmanager
async def exclusive(directory: Path, stop_signal: signal.Signals) -> AsyncIterator[int]:
    """Hold the directory's lock while the block runs, and end with `stop_signal` a server that outlived its parent.

    Raises ServerError when that server does not end.
    """
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _try_lock(lock):
            await _stop_leftover(directory, lock, stop_signal)
        yield lock
    finally:
        os.close(lock)


@asynccontextmanager
async def running(server: ServerProcess, lock: int) -> AsyncIterator[None]:
    """Run the server while the block runs; it inherits `lock`. Raises ServerError when it does not become ready."""
    log_start = server.log.stat().st_size if server.log.exists() else 0
    process = await _spawn(server, lock)
    try:
        os.pwrite(lock, f"{process.pid:<20}".encode(), 0)
        await _until_ready(server, process, log_start)
        yield
    finally:
        await _stop(process, server.stop_signal)


def prepare_directory(directory: Path) -> Path:
    """Make the directory if need be and give its absolute path: servers are started from the root directory."""
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def choose_port(directory: Path, wanted: int) -> int:
    """`wanted`, or if 0 the port of the last start if it is free, else any free one; remembered in `port`.

    A remembered port keeps the address that people copied from the screen alive.
    """
    remembered = directory / "port"
    port = wanted or (int(remembered.read_text()) if remembered.exists() else 0)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            if wanted:
                raise ServerError(
                    f"port {wanted} of {HOST} is in use: stop what listens there, or name another"
                ) from None
            probe.bind((HOST, 0))
        port = int(probe.getsockname()[1])
    remembered.write_text(f"{port}\n")
    return port


async def _stop_leftover(directory: Path, lock: int, stop_signal: signal.Signals) -> None:
    pid = os.pread(lock, 20, 0).decode().strip()
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), stop_signal)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STOP_SECONDS):
            while not _try_lock(lock):  # noqa: ASYNC110  a file lock has no event
                await asyncio.sleep(POLL_SECONDS)
            return
    raise ServerError(f"a server already runs in {directory} (process {pid or 'unknown'}): stop it first")


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _spawn(server: ServerProcess, lock: int) -> asyncio.subprocess.Process:
    """Start it in a session of its own: a Ctrl-C on the terminal must reach those who write to it first."""
    with server.log.open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *server.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            pass_fds=[lock],
            start_new_session=True,
            **as_user(server.user),
        )


def as_user(user: int | None) -> dict[str, Any]:
    """Arguments of a subprocess call that runs as `user` and nobody's groups but its own."""
    return {} if user is None else {"user": user, "group": user, "extra_groups": []}


async def _until_ready(server: ServerProcess, process: asyncio.subprocess.Process, log_start: int) -> None:
    try:
        async with asyncio.timeout(START_SECONDS):
            while server.ready_line not in (lines := _read_from(server.log, log_start)):
                if process.returncode is not None:
                    raise ServerError(f"{server.name} ended with {process.returncode}; {server.log}: {_tail(lines)}")
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise ServerError(f"{server.name} was not ready within {START_SECONDS:.0f} s; see {server.log}") from None


def _read_from(path: Path, start: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read()


def _tail(lines: bytes) -> str:
    return lines[-LOG_TAIL_BYTES:].decode(errors="replace").strip()


async def _stop(process: asyncio.subprocess.Process, stop_signal: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(stop_signal)
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
