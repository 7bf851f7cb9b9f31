"""The whole product in containers, as the test meets it: its settings, the API behind the proxy, and probes."""

import re
import shutil
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from compose.fleet import Cluster, Comparison, State
from compose.project import Project, address, run
from support.oracle import Json
from support.paths import ROOT
from support.waiting import until

FILES = [ROOT / "docker-compose.yml", ROOT / "compose.proxy.yaml", Path(__file__).with_name("compose.yaml")]
AUTHORITY = "/data/caddy/pki/authorities/local/root.crt"
"""Where Caddy keeps the certificate that signs those of `tls internal`."""
EQUAL_SECONDS = 60.0
"""For the API to show each object as it is, after anything. An address that is lost counts after 15 s."""


async def settings(directory: Path, *, proxy_port: int) -> Path:
    """Write .env into the directory as `make up` does, with what is the test's own; and a secret into a file."""
    shutil.copy(ROOT / ".env.example", directory)
    await run("make", "--silent", "--directory", str(directory), "--file", str(ROOT / "Makefile"), ".env")
    path = directory / ".env"
    own = {
        "PROXY_PORT": str(proxy_port),
        "SECRETS_DIRECTORY": str(directory),
        "API_CLIENT_REQUESTS_PER_SECOND": "0",  # the test asks more often than a person
        "API_CLIENT_REQUESTS": "0",
    }
    path.write_text(path.read_text() + "".join(f"{name}={value}\n" for name, value in own.items()))
    (directory / "api_admin_token").write_text(setting(path, "API_ADMIN_TOKEN") + "\n")
    return path


def setting(path: Path, name: str) -> str:
    """The value of a variable in .env."""
    return re.findall(rf"^{name}=(.*)$", path.read_text(), re.MULTILINE)[-1]


@dataclass
class Stack:
    """A project that is up."""

    project: Project
    clusters: Sequence[Cluster]
    http: httpx2.AsyncClient

    async def get(self, path: str, **parameters: str) -> Any:
        """Ask the API, through the proxy. Raises httpx2.HTTPError."""
        answer = await self.http.get(path, params=parameters)
        return answer.raise_for_status().json()

    async def owners(self) -> dict[str, Json]:
        """The clusters as the API shows them, by name."""
        return {cluster["name"]: cluster for cluster in (await self.get("/api/v1/clusters"))["items"]}

    async def shown(self, cluster: str) -> State:
        """What the API shows of a cluster."""
        vms, cursor = list[Json](), ""
        while cursor is not None:
            page = await self.get("/api/v1/vms", cluster=cluster, limit="500", **({"cursor": cursor} if cursor else {}))
            vms += page["items"]
            cursor = page["next"]
        found = await self.get("/api/v1/migrations", cluster=cluster)
        return State({vm["id"]: vm for vm in vms}, {one["id"]: one["phase"] for one in found})

    async def equals_the_truth(self) -> None:
        """Wait until the API has shown each VM and migration as it is. Raises AssertionError with what differs."""
        comparisons = {cluster.name: Comparison() for cluster in self.clusters}

        async def look() -> dict[str, object]:
            for cluster in self.clusters:
                before = await cluster.state()
                shown = await self.shown(cluster.name)
                comparisons[cluster.name].take(before, shown, await cluster.state())
            return {uid: wrong for one in comparisons.values() for uid, wrong in (one.waiting or {}).items()}

        await until(look, lambda differences: not differences, seconds=EQUAL_SECONDS)

    async def probe(self, container: str, path: str, port: int = 8080) -> httpx2.Response:
        """Ask a container itself. Raises OSError or httpx2.HTTPError while it does not answer."""
        async with httpx2.AsyncClient(timeout=2) as http:
            return await http.get(f"http://{await address(container, port)}{path}")


@asynccontextmanager
async def client(project: Project, *, port: int, token: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the API that trusts the proxy's own authority, and nobody else's."""
    text = await project.compose("exec", "-T", "proxy", "cat", AUTHORITY)
    trusted = ssl.create_default_context(cadata=text)
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(
        base_url=f"https://localhost:{port}", verify=trusted, headers=headers, timeout=30
    ) as http:
        yield http
