"""Three NATS servers that are one cluster: each can be killed and started again, and what keeps killing the leader."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from nats.errors import Error as NatsError
from nats.js.api import StreamInfo
from nats.js.errors import NotFoundError
from pydantic import SecretStr
from support.waiting import DEADLINE_SECONDS, until

from summit_models.subject import STREAM
from summit_runtime.nats.connection import bus
from summit_runtime.nats.connection.bus import EventClient
from summit_standalone.embedded import nats as embedded_nats
from summit_standalone.embedded.before_exec import before_exec
from summit_standalone.embedded.server_process import HOST, free_port

ASK_SECONDS = 2
CALM_SECONDS = 20.0
"""From one loss of the leader to the next, at least."""
FOR_EVER = 24 * 3600.0

_CONFIG = """\
server_name: {name}
listen: "{host}:{port}"
authorization {{ users: [ {{ user: summit, password: s3cret }} ] }}
jetstream {{ store_dir: "{directory}", sync_interval: "100ms" }}
cluster {{ name: summit, listen: "{host}:{cluster_port}", routes: [ {routes} ], no_advertise: true }}
"""


@dataclass
class ClusterServer:
    """One of the servers. It keeps its port and its streams."""

    name: str
    port: int
    directory: Path
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with (self.directory / "nats.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                embedded_nats._binary(),
                *("--config", str(self.directory / "nats.conf")),
                stdout=log,
                stderr=log,
                preexec_fn=before_exec(signal.SIGKILL, None),
            )

    @property
    def url(self) -> str:
        return f"nats://summit:s3cret@{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        return self.process.pid if self.process else 0

    async def kill(self) -> None:
        """End it as a power failure would."""
        if self.process and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


@dataclass
class NatsCluster:
    servers: Mapping[str, ClusterServer]
    lost_leaders: int = 0

    @property
    def url(self) -> str:
        """All servers, as NATS_URL names them."""
        return ",".join(server.url for server in self.servers.values())

    async def leader(
        self, client: EventClient, stream: str = STREAM, *, seconds: float = DEADLINE_SECONDS
    ) -> ClusterServer:
        """The server that leads a stream, once all others follow it."""
        return self.servers[await until(lambda: _leader_of_all(client, stream), seconds=seconds)]

    async def lose_leaders(self) -> None:
        """For ever, kill the leader of the log and start it again: once in a while, when the cluster is whole."""
        async with bus.connected(SecretStr(self.url), name="storm") as client:
            while True:
                await asyncio.sleep(CALM_SECONDS)
                leader = await self.leader(client, seconds=FOR_EVER)
                self.lost_leaders += 1
                await leader.kill()
                await asyncio.sleep(1)
                await leader.start()

    async def remove_streams(self) -> None:
        """Make it as it was at first."""
        async with bus.connected(SecretStr(self.url), name="cleaner") as client:
            await until(lambda: _removed_all(client))


async def _leader_of_all(client: EventClient, stream: str) -> str:
    found = await _info(client, stream)
    cluster = found.cluster if found else None
    replicas = (cluster and cluster.replicas) or []
    whole = len(replicas) == 2 and all(replica.current and not replica.offline for replica in replicas)
    return (cluster.leader or "") if cluster and whole else ""


async def _info(client: EventClient, stream: str) -> StreamInfo | None:
    with contextlib.suppress(NatsError, TimeoutError):
        return await client.jetstream(timeout=ASK_SECONDS).stream_info(stream)
    return None


async def _removed_all(client: EventClient) -> bool:
    jetstream = client.jetstream(timeout=ASK_SECONDS)
    try:
        streams = [found.config.name or "" for found in await jetstream.streams_info()]
        for stream in streams:
            with contextlib.suppress(NotFoundError):
                await jetstream.delete_stream(stream)
    except (NatsError, TimeoutError):
        return False
    return not streams


@asynccontextmanager
async def nats_cluster(directory: Path) -> AsyncIterator[NatsCluster]:
    """Run the servers for the length of the block, which begins when they can keep streams."""
    ports = [(free_port(), free_port()) for _ in range(3)]
    routes = ", ".join(f'"nats-route://{HOST}:{port}"' for _, port in ports)
    servers = {}
    for number, (port, cluster_port) in enumerate(ports, 1):
        place = directory / f"n{number}"
        place.mkdir()
        values = {"name": place.name, "host": HOST, "port": port, "cluster_port": cluster_port, "routes": routes}
        (place / "nats.conf").write_text(_CONFIG.format(directory=place, **values))
        servers[place.name] = ClusterServer(place.name, port, place)
    cluster = NatsCluster(servers)
    try:
        for server in servers.values():
            await server.start()
        async with bus.connected(SecretStr(cluster.url), name="cluster") as client:
            await until(lambda: _removed_all(client))
        yield cluster
    finally:
        for server in servers.values():
            await server.kill()
