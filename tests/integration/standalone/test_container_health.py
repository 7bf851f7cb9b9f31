"""The health check of the container of NATS, against a real server: it ends one that stores no more.

A limit on the size of the server's files makes its writes fail, as a full disk does. The image has `nc`, and not
every machine: a few lines of Python take its place.
"""

import os
import resource
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest
from support.nats_server import nats_server
from support.paths import ROOT

from summit_standalone.embedded.child import Child
from summit_standalone.embedded.server_process import free_port

NC = f"""#!{sys.executable}
import socket, sys
from summit_standalone.embedded.server_process import free_port
with socket.create_connection((sys.argv[-2], int(sys.argv[-1])), timeout=3) as connection:
    connection.sendall(sys.stdin.buffer.read())
    while chunk := connection.recv(65536):
        sys.stdout.buffer.write(chunk)
"""


class Health:
    """The check as docker runs it."""

    def __init__(self, directory: Path, port: int, server: Child) -> None:
        self.stuck = directory / "stuck"
        (directory / "bin").mkdir()
        netcat = directory / "bin" / "nc"
        netcat.write_text(NC)
        netcat.chmod(0o755)
        self._environment = {
            "PATH": f"{netcat.parent}:{os.environ['PATH']}",
            "DATA": str(directory),
            "PORT": str(port),
            "SERVER": str(server.pid),
            "STUCK": str(self.stuck),
        }

    def check(self, **environment: str) -> tuple[int, str]:
        command = ["sh", ROOT / "config" / "nats-health.sh"]
        done = subprocess.run(
            command,
            env=self._environment | {n.upper(): v for n, v in environment.items()},
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
        return done.returncode, done.stdout


@asynccontextmanager
async def checked(directory: Path) -> AsyncIterator[tuple[Health, Child]]:
    """A server that has failed to write a message."""
    port = free_port()
    async with nats_server(directory / "nats", more=f'http: "127.0.0.1:{port}"') as (address, server):
        health = Health(directory, port, server)
        assert health.check() == (0, "")
        client = await nats.connect(f"nats://{address}")
        await client.jetstream().add_stream(name="LOG", subjects=["log"])
        assert server.pid
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        with pytest.raises(nats.errors.TimeoutError):
            await client.jetstream().publish("log", os.urandom(5000), timeout=1)
        await client.close()
        yield health, server


async def test_a_server_that_has_not_stored_for_a_minute_is_ended(tmp_path: Path) -> None:
    """Docker starts it again. Until a minute has passed the check only reports it."""
    async with checked(tmp_path) as (health, server):
        for _ in range(2):
            code, text = health.check()
            assert (code, "though its volume has room. " in text, server.pid is None) == (1, True, False)
        health.stuck.write_text(f"{time.time() - 61:.0f}")
        code, text = health.check()
        assert (code, "it is restarted. " in text) == (1, True)
        await server.ended()
        assert not health.stuck.exists()


async def test_a_server_whose_volume_is_full_is_left_alone(tmp_path: Path) -> None:
    """A restart would help nobody, and while it runs it can be read. Nothing fits into /proc."""
    async with checked(tmp_path) as (health, server):
        health.stuck.write_text(f"{time.time() - 61:.0f}")
        code, text = health.check(data="/proc")
        assert (code, "its volume is full or read-only; until then changes wait" in text) == (1, True)
        assert server.pid
        assert not health.stuck.exists()


async def test_a_server_that_is_not_there_is_unhealthy(tmp_path: Path) -> None:
    """While it starts there is nothing to report and nobody to end."""
    async with checked(tmp_path) as (health, server):
        server.kill()
        await server.ended()
        assert health.check()[0] == 1
        assert not health.stuck.exists()
