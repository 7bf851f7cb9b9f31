"""A process before its service starts."""

import asyncio
import os
import pty
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from summit_runtime.process import main
from summit_runtime.settings import ProcessSettings


@pytest.fixture
def few_files() -> Iterator[int]:
    """The limit of open files that a shell sets, and which it lets each program raise to the one that is returned."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_process_may_open_more_files_than_a_shell_allows(few_files: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 1024, a watcher of 170 clusters could neither connect to the last ones nor read any kubeconfig again."""
    seen: list[int] = []

    async def service(_: ProcessSettings, __: asyncio.Event) -> None:
        seen.append(resource.getrlimit(resource.RLIMIT_NOFILE)[0])

    monkeypatch.setattr("sys.argv", ["watcher"])
    monkeypatch.setenv("NATS_URL", "nats://127.0.0.1:4222")
    with pytest.raises(SystemExit):
        main("watcher", ProcessSettings, service)
    assert seen == [min(few_files, 65_536)]


def test_a_process_takes_no_arguments(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A command for a service's container would otherwise be ignored, and a second service would start."""
    monkeypatch.setattr("sys.argv", ["projector", "python", "-m", "summit_projector.rebuild"])
    with pytest.raises(SystemExit) as end:
        main("projector", ProcessSettings, pytest.fail)
    assert end.value.code == 2
    assert capsys.readouterr().err == (
        "projector takes no arguments, only environment variables: docs/operations.md has them\n"
    )


IN_A_TERMINAL = """
import sys
from summit_runtime.process import main
from summit_runtime.settings import ProcessSettings

async def service(_, stop):
    sys.stderr.write("ready\\n")
    await stop.wait()

main("watcher", ProcessSettings, service)
"""


def test_a_terminal_that_is_closed_stops_a_process_in_order() -> None:
    """It would go on without one, where nobody sees it."""
    ours, its = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", IN_A_TERMINAL], stderr=its) as process:
        os.close(its)
        log = b""
        while b"ready" not in log:
            log += os.read(ours, 1000)
        process.send_signal(signal.SIGHUP)
        while b"watcher stopped" not in log:
            log += os.read(ours, 1000)
        assert process.wait(10) == 0
    os.close(ours)
    assert b"watcher stops on SIGHUP" in log
