"""`summit-connect demo` as a newcomer meets it."""

import re
import shlex
import signal
from pathlib import Path

import httpx2
import pytest
from support.program import is_running
from support.standalone_command import command, run, running
from support.waiting import until

from summit_standalone.directory import has_instance
from summit_standalone.embedded.server_process import free_port

OURS = ("simulator", "projector", "api", "watcher")


async def test_demo_shows_virtual_machines_and_lines_that_work(tmp_path: Path) -> None:
    """The curl lines answer, the subscribe line prints an event, and Ctrl-C ends it all."""
    with running(tmp_path / "demo", "demo") as demo:
        await until(lambda: "Ctrl-C stops everything" in demo.log.read_text())
        screen = demo.log.read_text()
        addresses = re.findall(r"^  curl -s '?(http[^\s']+)'?$", screen, re.MULTILINE)
        assert len(addresses) == 3
        assert "nats sub --server nats://feed:" in screen
        for address in addresses:
            assert httpx2.get(address).status_code == 200
        assert httpx2.get(f"{demo.api}/api/v1/status").json()["datacenters"] == 3
        (subscribe,) = re.findall(r"^  (\S*summit-connect sub .*)$", screen, re.MULTILINE)
        event = run(*shlex.split(subscribe), "--count", "1", "--raw")
        assert '"source":"/datacenters/dc-solna/clusters/' in event.stdout.replace(" ", "")
        pids = demo.pids()
        assert demo.stop(signal.SIGINT) == 0
    assert [pid for pid in pids.values() if is_running(pid)] == []


@pytest.mark.parametrize("kept", ["postgres", "datacenters.yaml"])
def test_demo_refuses_a_directory_with_other_data(tmp_path: Path, kept: str) -> None:
    """It removes only the data of an earlier demo. `--data-dir config` is a slip; the message names the file there."""
    (tmp_path / kept).write_text("datacenters: []\n")
    answer = command("demo", "--data-dir", tmp_path, "--port", str(free_port()))
    assert answer.returncode == 1
    assert answer.stderr == (
        f"summit-connect: data directory {tmp_path} is not that of a demo, which would overwrite what is there "
        f"({kept}): name a new or an empty one with --data-dir\n"
    )
    assert (tmp_path / kept).read_text() == "datacenters: []\n"


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


async def test_demo_writes_nothing_into_servers_that_the_environment_names(tmp_path: Path) -> None:
    """NATS_URL and DATABASE_URL may be real: the demo starts its own, and no service gets the other addresses.

    The watcher gets no datacenters that are real: it would watch none of the demo's.
    """
    real = {
        "NATS_URL": "nats://real.invalid:4222",
        "DATABASE_URL": "postgresql://real.invalid/summit",
        "WATCHER_DATACENTERS": "dc-real.invalid",
    }
    with running(tmp_path / "demo", "demo", variables=real) as demo:
        await until(lambda: (tmp_path / "demo/state.json").exists() and has_instance(tmp_path / "demo"))
        await until(lambda: demo.process.poll() is not None or "watcher" in demo.children())
        state, pids = demo.state(), demo.pids()
        environments = {name: environment_of(pids[name]) for name in OURS}
        assert demo.stop(signal.SIGINT) == 0
    assert "@127.0.0.1:" in state["natsUrl"]
    assert "@127.0.0.1:" in state["databaseUrl"]
    assert not [name for name, environment in environments.items() if b"//real.invalid" in environment]
    assert b"WATCHER_DATACENTERS=\0" in environments["watcher"]
