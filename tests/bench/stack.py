"""The measured stack: real processes on embedded servers, beside simulated clusters."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from support.waiting import until
from support.watched import configure

from summit_runtime.postgres.database import REVISION_CHANNEL
from summit_standalone.embedded.nats import embedded_nats
from summit_standalone.embedded.postgres import embedded_postgres

DEADLINE_SECONDS = 120.0


@dataclass
class Stack:
    """Servers and environment; services are started one by one, since their start is part of what is measured."""

    directory: Path
    environment: dict[str, str]
    database: asyncpg.Connection
    committed: asyncio.Event

    @asynccontextmanager
    async def service(self, name: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run a service while the block runs; its log goes to a file beside the data."""
        with (self.directory / f"{name}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", f"summit_{name}", env=self.environment | environment, stdout=log, stderr=log
            )
        try:
            yield process
        finally:
            await _end(process)

    async def committed_at(self, query: str, wanted: int) -> float:
        """Wait until a query answers with `wanted` or more, and return the time of that. It runs after each commit."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                self.committed.clear()
                if (await self.database.fetchval(query) or 0) >= wanted:
                    return asyncio.get_running_loop().time()
                await self.committed.wait()

    async def until_schema(self) -> None:
        await until(lambda: self.database.fetchval("SELECT to_regclass('checkpoint')"), seconds=DEADLINE_SECONDS)


@asynccontextmanager
async def stack(directory: Path, kubeconfigs: Mapping[str, Path]) -> AsyncIterator[Stack]:
    """`kubeconfigs`: of the clusters to watch, by name."""
    config = configure(directory, kubeconfigs)
    async with embedded_nats(directory / "nats") as nats_url, embedded_postgres(directory / "postgres") as database_url:
        environment = os.environ | {
            "NATS_URL": nats_url,
            "DATABASE_URL": database_url,
            "WATCHER_CONFIG": str(config),
        }
        # A new partition has no statistics: starting parallel workers would take longer than what is measured.
        database = await asyncpg.connect(database_url, server_settings={"max_parallel_workers_per_gather": "0"})
        committed = asyncio.Event()
        await database.add_listener(REVISION_CHANNEL, lambda *_: committed.set())
        try:
            yield Stack(directory, environment, database, committed)
        finally:
            await database.close()


@asynccontextmanager
async def simulator(directory: Path, clusters: Mapping[str, int], **environment: str) -> AsyncIterator[dict[str, Path]]:
    """Clusters, by name how many VMs each has, in which nothing happens by itself: a process of their own.

    Gives the kubeconfig of each.
    """
    kubeconfigs = {name: directory / f"{name}.kubeconfig" for name in clusters}
    settings = {
        "SIMULATOR_CLUSTERS": ",".join(f"{name}:{vms}" for name, vms in clusters.items()),
        "SIMULATOR_KUBECONFIG_DIR": str(directory),
        "SIMULATOR_RATE": "0",
    }
    with directory.with_suffix(".log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "summit_simulator", env=os.environ | settings | environment, stdout=log, stderr=log
        )
    try:
        await until(lambda: all(path.exists() for path in kubeconfigs.values()), seconds=DEADLINE_SECONDS)
        yield kubeconfigs
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a process that may have ended already."""
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    await process.wait()
