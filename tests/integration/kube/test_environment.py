"""The environment of the process: what it may change of a connection, and what not."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from summit_models.contract import ClusterName
from summit_simulator.access import kubeconfig
from summit_simulator.cluster import SimulatedCluster
from summit_watcher.check import check_clusters
from summit_watcher.config.datacenters import ClusterConfig
from summit_watcher.kube.connection import ClusterConnection
from summit_watcher.kube.errors import KubeconfigError, UnreachableError
from summit_watcher.kube.rights.reviews import who_am_i

NETRC = [
    pytest.param("machine 127.0.0.1 login alice password s3cr3t\n", id="netrc-machine"),
    pytest.param("default login anonymous password me@example.com\n", id="netrc-default"),
    pytest.param("machine 127.0.0.1 login\n", id="a broken one"),
]


@pytest.fixture
async def cluster() -> AsyncIterator[SimulatedCluster]:
    async with SimulatedCluster("vulcan") as simulated:
        yield simulated


def connect(path: Path) -> ClusterConnection:
    return ClusterConnection(path, name=ClusterName("vulcan"))


@pytest.mark.parametrize("netrc", NETRC)
@pytest.mark.parametrize("credential", ["token", "certificate"])
async def test_netrc_changes_nothing(
    cluster: SimulatedCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, netrc: str, credential: str
) -> None:
    """With a token no request was sent at all; beside a certificate its password went to the API server."""
    (tmp_path / ".netrc").write_text(netrc)
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    path = cluster.write_kubeconfig(tmp_path / "kc", credential="token" if credential == "token" else "certificate")
    async with connect(path) as connection:
        assert await who_am_i(connection) == "admin"
    (report,) = await check_clusters([ClusterConfig("vulcan", "dc-solna", path)])
    assert report.problems == []


@asynccontextmanager
async def proxying() -> AsyncIterator[tuple[str, list[str]]]:
    """An HTTP proxy for CONNECT: its URL, and the addresses that were asked for."""
    asked: list[str] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked.append(head.split()[1])
        port = int(asked[-1].rpartition(":")[2])
        upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(pump(reader, upstream), pump(upstream_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        server.close()


def with_server(cluster: SimulatedCluster, path: Path, server: str, **members: object) -> Path:
    """A kubeconfig for a made-up address, which only the proxy knows."""
    config = yaml.safe_load(cluster.write_kubeconfig(path).read_text())
    config["clusters"][0]["cluster"] |= {"server": server, "tls-server-name": "127.0.0.1"} | members
    return kubeconfig.write(path, config)


async def test_a_proxy_of_the_environment_is_used_as_go_uses_it(
    cluster: SimulatedCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets CONNECT for the server's address, and the loopback is never proxied."""
    address = f"192.0.2.10:{cluster.port}"  # RFC 5737: nobody is there
    path = with_server(cluster, tmp_path / "kc", f"https://{address}")
    async with proxying() as (proxy, asked):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        async with connect(path) as connection:
            assert await connection.identity() == cluster.uid
            (server,) = [c for c in await connection.certificates() if c.kind == "server"]
            assert "kube-apiserver" in server.subject
        assert asked == [address]
        async with connect(cluster.write_kubeconfig(tmp_path / "local")) as connection:
            assert await connection.identity() == cluster.uid
        assert asked == [address]


async def test_a_proxy_of_the_kubeconfig_wins_over_the_environment(
    cluster: SimulatedCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also over NO_PROXY and for the loopback: it belongs to this cluster."""
    monkeypatch.setenv("HTTPS_PROXY", "http://nowhere.invalid:3128")
    monkeypatch.setenv("NO_PROXY", "*")
    async with proxying() as (proxy, asked):
        path = with_server(cluster, tmp_path / "kc", cluster.url, **{"proxy-url": proxy})
        async with connect(path) as connection:
            assert await connection.identity() == cluster.uid
        assert asked == [f"127.0.0.1:{cluster.port}"]


async def test_a_proxy_that_is_away_or_cannot_be_used_is_a_reason(
    cluster: SimulatedCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection does not go another way."""
    path = with_server(cluster, tmp_path / "kc", f"https://192.0.2.10:{cluster.port}")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    async with connect(path) as connection:
        with pytest.raises(UnreachableError, match=r"the proxy to 192\.0\.2\.10"):
            await connection.identity()
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1")
    async with connect(path) as connection:
        with pytest.raises(KubeconfigError, match="HTTPS_PROXY in the environment has socks5 scheme"):
            await connection.identity()
