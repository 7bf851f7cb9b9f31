"""The watcher as a process: what it does when its surroundings change."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import httpx2

from summit_standalone.embedded.server_process import free_port


async def test_a_watcher_stops_on_sigterm_also_while_nats_was_never_there(tmp_path: Path) -> None:
    """It waits for NATS for ever, and for its own end not at all."""
    port = free_port()
    environment = os.environ | {
        "NATS_URL": "nats://127.0.0.1:1",
        "WATCHER_CONFIG": str(tmp_path / "none.yaml"),
        "WATCHER_PROBE_PORT": str(port),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "summit_watcher", env=environment, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    async with asyncio.timeout(20):
        while b"cannot be reached" not in await process.stderr.readline():
            pass
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as probes:
            assert (await probes.get("/livez")).status_code == 200
            ready = await probes.get("/readyz")
            assert (ready.status_code, ready.text) == (503, "[-]nats failed: not connected\n")
        process.send_signal(signal.SIGTERM)
        await process.stderr.read()
        assert await process.wait() == 0


async def test_a_watcher_stops_on_sigterm_also_while_a_kubeconfig_cannot_be_read_to_its_end(tmp_path: Path) -> None:
    """A pipe without a writer hangs like a file system that is away."""
    os.mkfifo(tmp_path / "hangs")
    script = (
        "import asyncio, sys; from pathlib import Path\n"
        "from summit_watcher.kube.connection import ClusterConnection\n"
        "from summit_watcher.kube.errors import KubeconfigError\n"
        "from summit_watcher.settings import WatcherTimes\n"
        "async def main():\n"
        "    times = WatcherTimes(credentials_seconds=0.2)\n"
        "    async with ClusterConnection(Path(sys.argv[1]), name='c', times=times) as connection:\n"
        "        try: await connection.server_version()\n"
        "        except KubeconfigError as error: print(error)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(tmp_path / "hangs"), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(20):
        output, _ = await process.communicate()
    assert "hangs took longer than 0.2 s" in output.decode()
    assert process.returncode == 0
