"""The simulator as a process: configured by the environment, one line per cluster, gone at SIGTERM."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import aiohttp
import yaml
from support.paths import ROOT

SIMULATOR = ROOT / "libs" / "simulator"


async def test_it_writes_kubeconfigs_serves_and_stops_quickly(tmp_path: Path) -> None:
    """A line and a kubeconfig for each cluster; SIGTERM ends it in under two seconds, open watches or not."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(SIMULATOR),
        "SIMULATOR_CLUSTERS": "fra-1:5,sto-1:3",
        "SIMULATOR_KUBECONFIG_DIR": str(tmp_path),
        "SIMULATOR_ADVERTISE_HOST": "localhost",
        "SIMULATOR_RATE": "600",
        "SIMULATOR_TLS": "false",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "summit_simulator"), env=environment, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        lines = [(await process.stdout.readline()).decode() for _ in range(2)]
    assert [line.split(" at ")[0] for line in lines] == ["cluster fra-1: 5 VMs", "cluster sto-1: 3 VMs"]
    assert (tmp_path / "sto-1.kubeconfig").exists()
    kubeconfig = yaml.safe_load((tmp_path / "fra-1.kubeconfig").read_text())
    server, token = kubeconfig["clusters"][0]["cluster"]["server"], kubeconfig["users"][0]["user"]["token"]
    assert server.startswith("http://localhost:")
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
        session.get(f"{server}/apis/kubevirt.io/v1/virtualmachines", params={"watch": "1"}) as response,
    ):
        assert (await response.content.readline()).startswith(b'{"type":"ADDED"')
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(2):
            assert await process.wait() == 0


async def test_a_wrong_variable_stops_it_with_a_sentence(tmp_path: Path) -> None:
    """Exit code 1, and the variable's name on stderr."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SIMULATOR), "SIMULATOR_RATE": "fast"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "summit_simulator"), env=environment, stderr=asyncio.subprocess.PIPE
    )
    _, printed = await process.communicate()
    assert process.returncode == 1
    assert printed.decode() == "SIMULATOR_RATE: 'fast' is not a number\n"
