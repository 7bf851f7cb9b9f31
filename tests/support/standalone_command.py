"""A running `summit-connect` and the processes below it, for the end-to-end tests."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from summit_standalone.embedded.server_process import free_port
from summit_standalone.instance import read_state

DEADLINE_SECONDS = 40.0
STOP_SECONDS = 10.0
COMMAND = Path(sys.executable).with_name("summit-connect")


@dataclass
class Standalone:
    """The command while it runs."""

    process: subprocess.Popen[bytes]
    data_dir: Path
    api: str
    log: Path

    def state(self) -> dict[str, Any]:
        """What `status` prints, without the second that a command takes."""
        return read_state(self.data_dir)

    def children(self) -> dict[str, dict[str, Any]]:
        return {process["name"]: process for process in self.state()["processes"]}

    def pids(self) -> dict[str, int]:
        return {name: process["pid"] for name, process in self.children().items()}

    def answers(self) -> bool:
        """The api and what it needs are ready."""
        try:
            return httpx2.get(f"{self.api}/readyz").status_code == 200
        except httpx2.TransportError:
            return False

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(STOP_SECONDS)


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, from a directory that is not the checkout."""
    return run(COMMAND, *arguments)


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=DEADLINE_SECONDS, cwd="/")


@contextmanager
def running(data_dir: Path, *arguments: str | Path, variables: Mapping[str, str] | None = None) -> Iterator[Standalone]:
    """The command with a data directory and a port of its own; `variables` are added to the environment."""
    port = free_port()
    log = data_dir.with_suffix(".log")
    embedded = {name: value for name, value in os.environ.items() if name not in ("NATS_URL", "DATABASE_URL")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [COMMAND, *arguments, "--data-dir", data_dir, "--port", str(port)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env=embedded | dict(variables or {}),
        )
    try:
        yield Standalone(process, data_dir, f"http://127.0.0.1:{port}", log)
    finally:
        process.kill()
        process.wait()
