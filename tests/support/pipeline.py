"""The whole pipeline as real processes: simulated clusters in, HTTP out. Fixtures in `e2e/conftest.py`."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx2
from support.roles import as_role
from support.waiting import until

from summit_runtime.nats.rights import Role
from summit_simulator.cluster import SimulatedCluster
from summit_standalone.embedded.server_process import free_port

DEADLINE_SECONDS = 30.0


@dataclass
class Pipeline:
    """Watcher, projector and api of one test. `api` is an HTTP client of the api."""

    environment: dict[str, str]
    config: Path
    api: httpx2.AsyncClient
    processes: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    async def start(self, name: str) -> None:
        self.processes[name] = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", f"summit_{name}"),
            env=self.environment | {"NATS_URL": as_role(self.environment["NATS_URL"], Role(name))},
            stdin=asyncio.subprocess.DEVNULL,
        )

    async def stop(self, name: str, how: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and wait for the end; the exit code."""
        process = self.processes.pop(name)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        return await asyncio.wait_for(process.wait(), DEADLINE_SECONDS)

    async def get(self, path: str) -> Any:
        answer = await self.api.get(path)
        answer.raise_for_status()
        return answer.json()

    async def vms(self, **filters: str) -> dict[str, Any]:
        """The listed VMs by name."""
        answer = await self.api.get("/api/v1/vms", params={"limit": "500", **filters})
        answer.raise_for_status()
        return {item["name"]: item for item in answer.json()["items"]}


def write_config(directory: Path, clusters: Sequence[SimulatedCluster]) -> Path:
    """Two datacenters that take the clusters in turn, with a kubeconfig each."""
    lines = ["datacenters:"]
    for n, datacenter in enumerate(("dc-solna", "dc-uppsala")):
        lines += [f"  - id: {datacenter}", "    coordinates: [59.36, 18.0]", "    clusters:"]
        mine = clusters[n::2]
        for cluster in mine:
            cluster.write_kubeconfig(directory / f"{cluster.name}.yaml")
            lines += [f"      - name: {cluster.name}", f"        kubeconfig: {cluster.name}.yaml"]
        if not mine:
            lines[-1] += " []"
    config = directory / "datacenters.yaml"
    config.write_text("\n".join(lines) + "\n")
    return config


@asynccontextmanager
async def running(
    directory: Path, nats_url: str, database_url: str, config: Path, variables: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[Pipeline]:
    """The three services in an environment with these variables as well."""
    port = free_port()
    environment = os.environ | {
        "NATS_URL": nats_url,
        "DATABASE_URL": database_url,
        "WATCHER_CONFIG": str(config),
        "API_PORT": str(port),
        "API_ANONYMOUS_ROLE": "admin",
        "HOME": str(directory),
        **variables,
    }
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
        pipeline = Pipeline(environment, config, client)
        try:
            for name in ("projector", "api", "watcher"):
                await pipeline.start(name)
            await until(lambda: client.get("/readyz"), lambda answer: answer.status_code == 200)
            yield pipeline
        finally:
            for name in list(pipeline.processes):
                await pipeline.stop(name)
