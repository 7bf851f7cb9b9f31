"""A child process is kept running, its lines are relayed, and it is stopped in order."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from support.program import is_running
from support.waiting import until

from summit_standalone.embedded.child import Child, ChildState, Program, all_kept_running, kept_running
from summit_standalone.instance import Instance


def program(code: str, *, stop_seconds: float = 8.0) -> Program:
    return Program("sample", (sys.executable, "-c", code), stop_seconds=stop_seconds)


async def test_a_crashed_child_is_started_again(caplog: pytest.LogCaptureFixture) -> None:
    """One line has its exit code and the time of the next start; the new process has another pid."""
    async with kept_running(program("import time; time.sleep(60)")) as child:
        first = child.pid
        assert first
        os.kill(first, signal.SIGKILL)
        await until(lambda: child.restarts == 1 and child.state is ChildState.RUNNING)
        assert child.pid not in (None, first)
    assert [record.getMessage().rsplit(" in ", 1)[0] for record in caplog.records] == [
        "sample was ended by SIGKILL; it starts again"
    ]


async def test_a_child_that_fails_at_once_is_tried_again_with_pauses(caplog: pytest.LogCaptureFixture) -> None:
    """The exit code is logged, and stopping does not wait for the pause to end."""
    async with kept_running(program("import sys; sys.exit(3)")) as child:
        await until(lambda: child.state is ChildState.BACKOFF)
    assert child.state is ChildState.STOPPED
    assert "sample ended with exit code 3; it starts again in" in caplog.text


async def test_the_line_about_a_server_that_ended_has_the_last_line_of_its_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The line with the exit code came again and again, and the taken port stood in a file."""
    code = "import sys; print('starting'); print('bind: address already in use', flush=True); sys.exit(1)"
    server = Program("sample", (sys.executable, "-c", code), log=tmp_path / "sample.log")
    async with kept_running(server) as child:
        await until(lambda: child.state is ChildState.BACKOFF)
    assert "sample ended with exit code 1 (bind: address already in use); it starts again in" in caplog.text


async def test_stopping_lets_a_child_finish() -> None:
    """It gets SIGTERM and ends by itself."""
    code = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\ntime.sleep(60)"
    states: list[str] = []
    async with kept_running(program(code), lambda child: states.append(child.state)) as child:
        await until_it_handles_sigterm(child)
    assert child.exit_code == 7
    assert states == ["running", "stopping", "stopped"]


async def test_a_child_that_will_not_stop_is_killed(caplog: pytest.LogCaptureFixture) -> None:
    """After its time is up it is killed, with what it has started, and that is logged."""
    code = (
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready', flush=True)\ntime.sleep(60)"
    )
    async with kept_running(program(code, stop_seconds=0.1)) as child:
        await until_it_handles_sigterm(child)
    assert child.exit_code == -signal.SIGKILL
    assert "sample did not stop within 0.1 s: killed" in caplog.text


@pytest.mark.parametrize(
    ("log_format", "lines"), [("text", "sample    | one\nsample    | two\n"), ("json", "one\ntwo\n")]
)
async def test_lines_of_a_child_carry_its_name(
    log_format: str, lines: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So does the last line of a child that has ended, even without an end. Lines for machines stay as they are."""
    monkeypatch.setenv("LOG_FORMAT", log_format)
    async with kept_running(program("import sys; sys.stderr.write('one\\ntwo')")) as child:
        await until(lambda: child.state is ChildState.BACKOFF)
    assert capsys.readouterr().err.startswith(lines)


async def test_a_program_that_is_not_there_is_an_error_at_once() -> None:
    """The first start raises; only a crash after it is tried again."""
    with pytest.raises(FileNotFoundError):
        async with kept_running(Program("sample", ("/does/not/exist",))):
            pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full stands for a full disk")
async def test_a_full_disk_does_not_end_supervision(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A state.json that cannot be written is logged once, crashes are still mended, and the child is stopped."""
    (tmp_path / ".state.json.partial").symlink_to("/dev/full")
    instance = Instance(tmp_path)
    async with kept_running(program("import time; time.sleep(60)"), instance.report) as child:
        assert child.pid
        os.kill(child.pid, signal.SIGKILL)
        await until(lambda: child.restarts == 1 and child.state is ChildState.RUNNING)
    assert child.exit_code == -signal.SIGTERM
    assert caplog.text.count("state.json cannot be written (No space left on device)") == 1


async def test_a_child_gets_its_stop_signal_though_the_report_fails() -> None:
    """A failing report does not keep it from stopping."""

    def report(child: Child) -> None:
        if child.state is ChildState.STOPPING:
            raise OSError

    with pytest.raises(OSError):  # noqa: PT011  any would do
        async with kept_running(program("import time; time.sleep(60)"), report) as child:
            pass
    await child.ended()
    assert child.exit_code == -signal.SIGTERM


async def test_programs_that_are_kept_together_stop_at_the_same_time(tmp_path: Path) -> None:
    """Each waits until the other stops as well: stopped one after the other, they would be killed."""
    marks = [tmp_path / "one", tmp_path / "other"]
    states: list[Child] = []
    codes = [_STOPS_WITH.format(mine=str(mine), other=str(other)) for mine, other in (marks, marks[::-1])]
    async with all_kept_running([program(code) for code in codes], states.append):
        for child in states:
            await until_it_handles_sigterm(child)
    assert {child.exit_code for child in states} == {7}


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux's")
async def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    """The kernel ends it, since a parent that was killed cannot."""
    pid_file = tmp_path / "pid"
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", _PARENT, str(pid_file))
    await until(lambda: pid_file.exists() and pid_file.read_text())
    child = int(pid_file.read_text())
    parent.kill()
    await parent.wait()
    await until(lambda: not is_running(child))


async def until_it_handles_sigterm(child: Child) -> None:
    """A signal that comes before the child has installed its handler would just end it."""
    await until(lambda: handles_sigterm(child.pid))


def handles_sigterm(pid: int | None) -> bool:
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    mask = int(status["SigCgt"], 16) | int(status["SigIgn"], 16)
    return bool(mask >> (signal.SIGTERM - 1) & 1)


_STOPS_WITH = """
import pathlib, signal, sys, time

def stop(*_):
    pathlib.Path({mine!r}).touch()
    while not pathlib.Path({other!r}).exists():
        time.sleep(0.01)
    sys.exit(7)

signal.signal(signal.SIGTERM, stop)
time.sleep(60)
"""

_PARENT = """
import asyncio, sys
from pathlib import Path
from summit_standalone.embedded.child import Program, kept_running

async def main():
    async with kept_running(Program("sleeper", ("sleep", "60"))) as child:
        Path(sys.argv[1]).write_text(str(child.pid))
        await asyncio.sleep(60)

asyncio.run(main())
"""
