"""`summit-connect demo` as a newcomer meets it."""

import re
import shlex
import signal
import subprocess
from pathlib import Path

import httpx2

from standalone_command import DEADLINE_SECONDS, command, free_port, is_running, running, until


def test_demo_shows_virtual_machines_and_lines_that_work(tmp_path: Path) -> None:
    """The curl lines answer, the subscribe line prints an event, and Ctrl-C ends it all."""
    with running(tmp_path / "demo", "demo") as demo:
        until(lambda: "Ctrl-C stops everything" in demo.log.read_text())
        screen = demo.log.read_text()
        addresses = re.findall(r"^  curl -s '?(http[^\s']+)'?$", screen, re.MULTILINE)
        assert len(addresses) == 3
        for address in addresses:
            assert httpx2.get(address).status_code == 200
        assert httpx2.get(f"{demo.api}/api/v1/status").json()["datacenters"] == 3
        (subscribe,) = re.findall(r"^  (\S*summit-connect sub .*)$", screen, re.MULTILINE)
        event = subprocess.run(
            [*shlex.split(subscribe), "--count", "1", "--raw"], capture_output=True, text=True, check=True,
            timeout=DEADLINE_SECONDS,
        )  # fmt: skip
        assert '"source":"/datacenters/dc-solna/clusters/' in event.stdout.replace(" ", "")
        pids = demo.pids()
        assert demo.stop(signal.SIGINT) == 0
    assert [pid for pid in pids.values() if is_running(pid)] == []


def test_demo_refuses_a_directory_with_other_data(tmp_path: Path) -> None:
    """It would remove what is there: only what an earlier demo left may go."""
    (tmp_path / "postgres").mkdir()
    answer = command("demo", "--data-dir", tmp_path, "--port", str(free_port()))
    assert answer.returncode == 1
    assert "holds more than a demo" in answer.stderr
    assert (tmp_path / "postgres").exists()
