"""A watcher as a process of its own, with the short times of `operating`: to be killed, or suspended.

python -m support.watcher_process <datacenters.yaml> <NATS_URL>
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import SecretStr
from support.operating import TIMES
from support.roles import as_role
from support.waiting import until

from summit_runtime.nats.rights import Role
from summit_watcher.main import watch
from summit_watcher.settings import WatcherSettings

TESTS = Path(__file__).parent.parent


class WatcherProcess:
    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self._log = log

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def logs(self, text: str) -> None:
        """Wait until a line of its log has this text."""
        await until(self._log.read_text, lambda lines: text in lines)


@asynccontextmanager
async def watcher_process(config: Path, nats_url: str) -> AsyncIterator[WatcherProcess]:
    """Run a watcher for the length of the block; it is killed at the end, also while it is suspended."""
    command = (sys.executable, "-m", "support.watcher_process", str(config), nats_url)
    path = config.parent / "watcher.log"
    with path.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command, env=os.environ | {"PYTHONPATH": str(TESTS)}, stderr=log
        )
    try:
        yield WatcherProcess(process, path)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    url = SecretStr(as_role(sys.argv[2], Role.WATCHER))
    chosen = WatcherSettings.model_validate({"NATS_URL": url, "config": Path(sys.argv[1])})
    asyncio.run(watch(chosen, asyncio.Event(), TIMES))
