"""One program as a child process that is kept running: started again when it crashes, stopped in order.

Each child has a session of its own: a Ctrl-C on the terminal must reach the parent only, which knows the order.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from summit_runtime.backoff import Backoff
from summit_runtime.printable import printable
from summit_runtime.waiting import wait
from summit_standalone.embedded.before_exec import before_exec

logger = logging.getLogger("summit.standalone")

LAST_LINES_SECONDS = 1.0
"""How long to wait for the last log lines of an ended child: a grandchild may hold its end of the pipe open."""
CHUNK_BYTES = 64 * 1024
LONGEST_LINE_BYTES = 1024 * 1024
"""A longer line is cut: a child must not fill our memory by never ending one."""
LAST_WORDS_CHARACTERS = 300
NAME_WIDTH = 9
"""The length of `simulator` and `projector`, so that the lines of all children are aligned."""


@dataclass(frozen=True)
class Program:
    """A program, and how to end it."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] | None = None
    """None: ours."""
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 8.0
    """After that it is killed. Below the ten seconds within which the whole of `summit-connect` ends."""
    death_signal: signal.Signals = signal.SIGKILL
    """Sent by the kernel when we are killed ourselves."""
    user: int | None = None
    """None: ours; only root may name another."""
    log: Path | None = None
    """Its output is appended to this file; None: relayed to our stderr under its name."""
    inherits: Sequence[int] = ()
    """Open files it holds as well, such as a lock."""


class ChildState(StrEnum):
    STARTING = "starting"
    RUNNING = "running"
    BACKOFF = "backoff"
    STOPPING = "stopping"
    STOPPED = "stopped"


class Child:
    """A running program; `report` is called with it whenever its state changes."""

    def __init__(self, program: Program, report: "Report") -> None:
        self.program = program
        self.state = ChildState.STARTING
        self.restarts = 0
        self._report = report
        self._process: asyncio.subprocess.Process | None = None
        self._relay: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.returncode is None else None

    @property
    def exit_code(self) -> int | None:
        """How it ended, None while it runs; negative: the number of the signal that ended it."""
        return self._process.returncode if self._process else None

    async def spawn(self) -> None:
        """Start the program. Raises OSError when it cannot be executed."""
        program = self.program
        output = program.log.open("ab") if program.log else None
        try:
            self._process = await asyncio.create_subprocess_exec(
                *program.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output or asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env=program.environment,
                cwd="/",  # nothing may depend on where we were started, nor keep that directory busy
                pass_fds=program.inherits,
                start_new_session=True,
                # Two system calls between fork and exec: no thread of ours holds a lock that they need.
                preexec_fn=before_exec(program.death_signal, program.user),
            )
        finally:
            if output:
                output.close()
        if self._process.stdout:
            self._relay = asyncio.create_task(_relay(self._process.stdout, program.name))
        self._change(ChildState.RUNNING)

    async def keep_running(self) -> None:
        """Wait for its end and start it again, until `stop` is called."""
        backoff = Backoff()
        while True:
            await self.ended()
            if self._stop.is_set():
                return
            delay = backoff.next_seconds()
            end = self.describe_end() + self._last_words()
            logger.error("%s %s; it starts again in %.1f s", self.program.name, end, delay)
            self._change(ChildState.BACKOFF)
            if await wait(self._stop, delay):
                return
            self.restarts += 1
            try:
                await self.spawn()
            except OSError as error:
                logger.error("%s cannot be started: %s", self.program.name, error)  # noqa: TRY400
            if self._stop.is_set():
                self._signal(self.program.stop_signal)

    async def stop(self, keeper: asyncio.Task[None]) -> None:
        """End it: with its stop signal, or with SIGKILL when it takes longer than `stop_seconds`."""
        self._stop.set()
        if self.pid:
            self._signal(self.program.stop_signal)  # first: whatever a report may meet
            self._change(ChildState.STOPPING)
        done, _ = await asyncio.wait({keeper}, timeout=self.program.stop_seconds)
        if not done:
            logger.warning("%s did not stop within %.1f s: killed", self.program.name, self.program.stop_seconds)
            self.kill()
        await keeper
        self._change(ChildState.STOPPED)

    async def restart(self) -> None:
        """End it as for a stop, so that `keep_running` starts it again."""
        ending = self._process
        self._signal(self.program.stop_signal)
        try:
            async with asyncio.timeout(self.program.stop_seconds):
                await self.ended()
        except TimeoutError:
            if self._process is ending:
                self.kill()

    def kill(self) -> None:
        """End it and what it started, at once."""
        if pid := self.pid:
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    def describe_end(self) -> str:
        """How it ended, for a log line."""
        code = self.exit_code
        if code is None:
            return "is not running"
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def _last_words(self) -> str:
        """Why it ended by itself, if its output is in a file that nobody sees."""
        if self.program.log is None or (self.exit_code or 0) < 0:
            return ""
        with suppress(OSError), self.program.log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - CHUNK_BYTES))
            if lines := file.read().decode(errors="replace").split("\n")[-2:-1]:
                return f" ({printable(lines[0].strip(), LAST_WORDS_CHARACTERS)})"
        return ""

    async def ended(self) -> None:
        """Wait for its end and its last lines."""
        if self._process:
            await self._process.wait()
        if self._relay:
            await asyncio.wait({self._relay}, timeout=LAST_LINES_SECONDS)
            self._relay.cancel()

    def _signal(self, number: signal.Signals) -> None:
        if self._process and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    def _change(self, state: ChildState) -> None:
        self.state = state
        self._report(self)


Report = Callable[[Child], None]


def ignore(_: Child) -> None:
    """A report that does nothing."""


@asynccontextmanager
async def kept_running(
    program: Program, report: Report = ignore, until_ready: Callable[[Child], Awaitable[None]] | None = None
) -> AsyncIterator[Child]:
    """Keep the program running while the block runs.

    Raises OSError when it cannot be executed, and what `until_ready` raises when its first start fails.
    """
    child = Child(program, report)
    try:
        await child.spawn()
        if until_ready:
            await until_ready(child)
    except BaseException:
        child.kill()
        await child.ended()
        raise
    keeper = asyncio.create_task(child.keep_running(), name=f"keeper of {program.name}")
    try:
        yield child
    finally:
        await child.stop(keeper)


@asynccontextmanager
async def all_kept_running(programs: Sequence[Program], report: Report = ignore) -> AsyncIterator[None]:
    """Keep several programs running while the block runs: started one after the other, stopped at the same time.

    Raises OSError when one cannot be executed.
    """
    stacks = [AsyncExitStack() for _ in programs]
    try:
        for stack, program in zip(stacks, programs, strict=True):
            await stack.enter_async_context(kept_running(program, report))
        yield
    finally:
        async with asyncio.TaskGroup() as tasks:
            for stack in stacks:
                tasks.create_task(stack.aclose())


async def _relay(stream: asyncio.StreamReader, name: str) -> None:
    """Write the log lines of a child to our stderr, under its name. A stderr without a reader stops nothing."""
    # Lines for machines stay as they are: they carry the name of their logger.
    prefix = b"" if os.environ.get("LOG_FORMAT") == "json" else f"{name:<{NAME_WIDTH}} | ".encode()
    rest = b""
    while chunk := await stream.read(CHUNK_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        _write(prefix, lines)
        if len(rest) > LONGEST_LINE_BYTES:
            _write(prefix, [rest])
            rest = b""
    if rest:
        _write(prefix, [rest])


def _write(prefix: bytes, lines: list[bytes]) -> None:
    try:
        sys.stderr.write(b"".join(prefix + line + b"\n" for line in lines).decode(errors="replace"))
        sys.stderr.flush()
    except OSError:  # `summit-connect … 2>&1 | head`: the reader is gone, the services go on
        return
