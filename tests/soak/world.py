"""All that lives in a soak: simulated clusters with their fleets, NATS, Postgres, three watchers, projector and api."""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from soak.part import Part
from support.oracle import Json, expected_vms, phases_of_migrations
from support.program import UNLIMITED

from summit_models.contract import ClusterName, DatacenterId
from summit_models.event import source_of
from summit_runtime.nats.rights import Role
from summit_simulator.cluster import SimulatedCluster
from summit_simulator.fleet.seed import seed_fleet
from summit_simulator.objects.resources import VIRTUALMACHINEINSTANCES, VIRTUALMACHINES
from summit_standalone.backend import service
from summit_standalone.directory import prepare_directory
from summit_standalone.embedded.nats import nats_program, role_url
from summit_standalone.embedded.nats import nats_url as embedded_nats_url
from summit_standalone.embedded.postgres import postgres_program, postgres_url
from summit_standalone.embedded.server_process import free_port

NAMES = ("vulcan", "romulus", "andoria", "betazed", "qonos", "risa", "trill")
DATACENTERS = ("dc-solna", "dc-uppsala")
WATCHERS = 3
"""They share the clusters: one that ends or stands still loses its clusters to the others."""
SPEED = 10.0
"""A boot that takes KubeVirt 16 s is done in 1.6: many states in little time."""
BOOKMARK_SECONDS = 10.0
"""Instead of 60, so that a short soak has watches that resume from one."""
START_SECONDS = 90.0
"""Four seconds on an idle machine."""
LOOK_SECONDS = 0.5
"""Between two looks at processes, which send no event."""


@dataclass
class Site:
    """One cluster, and its place in the configuration."""

    cluster: SimulatedCluster
    datacenter: str
    config: "ConfigFile"
    kubeconfigs: int = 1

    @property
    def name(self) -> str:
        return self.cluster.name

    @property
    def source(self) -> str:
        return source_of(DatacenterId(self.datacenter), ClusterName(self.name))

    @property
    def kubeconfig(self) -> Path:
        return self.config.path.with_name(f"{self.name}-{self.kubeconfigs}.yaml")

    def write_kubeconfig(self) -> None:
        self.cluster.write_kubeconfig(self.kubeconfig)

    def expected_vms(self) -> dict[str, Json]:
        return expected_vms(self.cluster.truth(), cluster=self.name, datacenter=self.datacenter)

    def migrations(self) -> dict[str, str]:
        """Phase by uid."""
        return phases_of_migrations(self.cluster.truth())

    def living(self) -> set[str]:
        """Uids of all VMs that exist now."""
        store = self.cluster.store
        alone = [vmi.uid for vmi in store.records(VIRTUALMACHINEINSTANCES) if b'"ownerReferences"' not in vmi.data]
        return {vm.uid for vm in store.records(VIRTUALMACHINES)} | set(alone)


@dataclass
class ConfigFile:
    """datacenters.yaml, written from the sites."""

    path: Path
    sites: list[Site] = field(default_factory=list)

    def write(self) -> None:
        """Replace it in one step, as editors do."""
        partial = self.path.with_suffix(".partial")
        partial.write_text(self._text())
        partial.replace(self.path)

    def save_half(self) -> None:
        text = self._text()
        self.path.write_text(text[: len(text) // 2])

    def _text(self) -> str:
        lines = ["datacenters:"]
        for datacenter in DATACENTERS:
            lines += [f"  - id: {datacenter}", "    clusters:"]
            mine = [site for site in self.sites if site.datacenter == datacenter]
            lines += [f"      - {{name: {site.name}, kubeconfig: {site.kubeconfig.name}}}" for site in mine]
        return "\n".join(lines) + "\n"


@dataclass
class World:
    """The parts by name, the clusters, and a client of the api."""

    config: ConfigFile
    nats_url: str
    database_url: str
    http: httpx2.AsyncClient
    parts: dict[str, Part]
    probes: dict[str, str] = field(default_factory=dict)
    """URL of each service's readiness."""

    @property
    def sites(self) -> Sequence[Site]:
        return self.config.sites

    @property
    def services(self) -> Sequence[str]:
        return list(self.probes)

    def complaints(self) -> list[str]:
        """The failures of all parts."""
        return [complaint for part in self.parts.values() for complaint in part.complaints]

    def parts_of(self, kind: str) -> list[Part]:
        """The processes of a kind, such as all watchers."""
        return [part for name, part in self.parts.items() if name.partition("-")[0] == kind]

    async def vms(self) -> list[Json]:
        """All VMs that the API lists, page by page. Raises httpx2.HTTPError."""
        return await self._items("/api/v1/vms", limit="100")

    async def _items(self, path: str, **parameters: str) -> list[Json]:
        items: list[Json] = []
        cursor: str | None = None
        while True:
            page = await self.get(path, **parameters, **({"cursor": cursor} if cursor else {}))
            items += page["items"]
            cursor = page["next"]
            if cursor is None:
                return items

    async def operations(self) -> list[Json]:
        """All operations that the API lists, page by page. Raises httpx2.HTTPError."""
        return await self._items("/api/v1/operations", limit="1000")

    async def migrations(self) -> list[Json]:
        """All migrations that the API lists, from one `Link` to the next. Raises httpx2.HTTPError."""
        items: list[Json] = []
        url = "/api/v1/migrations"
        while url:
            answer = await self.http.get(url)
            answer.raise_for_status()
            items += answer.json()
            url = answer.links.get("next", {}).get("url", "")
        return items

    async def get(self, path: str, **parameters: str) -> Any:
        answer = await self.http.get(path, params=parameters)
        answer.raise_for_status()
        return answer.json()

    async def unready(self) -> list[str]:
        """Services that are not ready, with their reasons."""
        found = []
        for name, url in self.probes.items():
            try:
                answer = await self.http.get(url)
            except httpx2.HTTPError as error:
                found.append(f"{name}: {type(error).__name__}")
            else:
                if answer.status_code != 200:
                    failing = [line for line in answer.text.splitlines() if line.startswith("[-]")]
                    found.append(f"{name}: {' '.join(failing)}")
        return found


@asynccontextmanager
async def living_world(directory: Path, *, clusters: int, vms: int, seed: int) -> AsyncIterator[World]:
    """Start everything, and end it afterwards; the first list may still be under way."""
    async with AsyncExitStack() as stack:
        config = ConfigFile(directory / "datacenters.yaml")
        for number in range(clusters):
            config.sites.append(await stack.enter_async_context(_site(config, number, vms, seed)))
        config.write()
        http = await stack.enter_async_context(httpx2.AsyncClient(timeout=10))
        world = await _composed(directory, config, http)
        async with asyncio.TaskGroup() as keepers:
            keeping = [keepers.create_task(part.keep_running()) for part in world.parts.values()]
            try:
                await _start(world)
                yield world
            finally:
                for task in keeping:
                    task.cancel()
                await _end(world)


@asynccontextmanager
async def _site(config: ConfigFile, number: int, vms: int, seed: int) -> AsyncIterator[Site]:
    cluster = SimulatedCluster(NAMES[number], seed=seed, speed=SPEED, bookmark_seconds=BOOKMARK_SECONDS)
    seed_fleet(cluster, vms=vms, seed=seed)
    async with cluster:
        site = Site(cluster, DATACENTERS[number % len(DATACENTERS)], config)
        site.write_kubeconfig()
        yield site


async def _composed(directory: Path, config: ConfigFile, http: httpx2.AsyncClient) -> World:
    nats_port, postgres_port, api_port, projector_port = (free_port() for _ in range(4))
    watchers = {f"watcher-{number}": free_port() for number in range(1, WATCHERS + 1)}
    nats_dir, postgres_dir = prepare_directory(directory / "nats"), prepare_directory(directory / "postgres")
    nats_url = embedded_nats_url(nats_dir, nats_port)
    servers = {
        "nats": nats_program(nats_dir, nats_port),
        "postgres": await postgres_program(postgres_dir, postgres_port),
    }
    database_url = postgres_url(postgres_dir, postgres_port)
    nats = {role: {"NATS_URL": role_url(nats_url, role), "HOME": str(directory)} for role in Role}
    database = {"DATABASE_URL": database_url}
    watching = nats[Role.WATCHER] | {"WATCHER_CONFIG": str(config.path)}
    services = {
        "projector": service(
            "projector", nats[Role.PROJECTOR] | database | {"PROJECTOR_PROBE_PORT": str(projector_port)}
        ),
        "api": service(
            "api", nats[Role.API] | database | {"API_PORT": str(api_port), "API_FEED_BUFFER_MIB": "4", **UNLIMITED}
        ),
        **{name: service("watcher", watching | {"WATCHER_PROBE_PORT": str(port)}) for name, port in watchers.items()},
    }
    parts = {name: Part(program, directory / f"{name}.log") for name, program in (servers | services).items()}
    http.base_url = httpx2.URL(f"http://127.0.0.1:{api_port}")
    ports = {"projector": projector_port, "api": api_port, **watchers}
    return World(
        config,
        nats_url,
        database_url,
        http,
        parts=parts,
        probes={name: f"http://127.0.0.1:{port}/readyz" for name, port in ports.items()},
    )


async def _start(world: World) -> None:
    """Start all, and wait until every service is ready and the API lists every VM."""
    for part in world.parts.values():
        await part.start()
    wanted = sum(len(site.living()) for site in world.sites)
    async with asyncio.timeout(START_SECONDS):
        while await world.unready() or len(await world.vms()) < wanted:  # noqa: ASYNC110  processes are asked
            await asyncio.sleep(LOOK_SECONDS)


async def _end(world: World) -> None:
    """Producers and readers first, stores last."""
    for kind in ("watcher", "api", "projector", "nats", "postgres"):
        for part in world.parts_of(kind):
            if part.size():
                await part.end(signal.SIGINT if kind == "postgres" else signal.SIGTERM)
