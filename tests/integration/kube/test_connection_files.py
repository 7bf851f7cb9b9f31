"""Files that change under a running watcher are used without a restart, and no watch is lost.

The server's own log shows who sent which request.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import yaml
from support.mirror import following, mirrored
from support.waiting import until
from support.watched import QUICK, lists

from summit_models.cluster import ConnectionState as State
from summit_models.contract import ClusterName
from summit_runtime.watched_files import FileTimes
from summit_simulator.access.kubeconfig import write, write_private
from summit_simulator.access.tls import CertificateAuthority
from summit_simulator.cluster import SimulatedCluster
from summit_watcher.kube.connection import ClusterConnection
from summit_watcher.kube.errors import WatcherError
from summit_watcher.settings import Retry, WatcherTimes

PATIENT = WatcherTimes(retries=dict.fromkeys(State, Retry(60, 60)))
"""Heals within a test only if a change of the files ends the pause."""
EAGER = WatcherTimes(files=FileTimes(look_seconds=0.02, settle_seconds=0.05))


@pytest.fixture
async def cluster() -> AsyncIterator[SimulatedCluster]:
    async with SimulatedCluster("vulcan") as simulated:
        simulated.create_vm("vm-0")
        yield simulated


def connect(path: Path, times: WatcherTimes = EAGER) -> ClusterConnection:
    return ClusterConnection(path, name=ClusterName("vulcan"), times=times)


async def user_of(connection: ClusterConnection, cluster: SimulatedCluster) -> str | None:
    """The user of a new request."""
    await connection.server_version()
    return cluster.requests[-1].user


async def becomes(connection: ClusterConnection, cluster: SimulatedCluster, user: str) -> None:
    async with asyncio.timeout(10):
        while await user_of(connection, cluster) != user:  # noqa: ASYNC110  a server is asked
            await asyncio.sleep(0.02)


async def test_a_replaced_kubeconfig_is_used_and_watches_go_on(cluster: SimulatedCluster, tmp_path: Path) -> None:
    """New requests come from the new user, the running watch is not disturbed, and no request gets a 401."""
    path = cluster.write_kubeconfig(tmp_path / "kc")
    async with following(connect(path)) as connection, mirrored(connection, QUICK) as mirror:
        await until(lambda: mirror.state is State.SYNCED)
        cluster.access.add_token("other")
        cluster.write_kubeconfig(path, user="other")
        await becomes(connection, cluster, "other")
        cluster.create_vm("vm-1")
        await until(lambda: len(mirror.objects) == 2)
    assert all(request.user is not None for request in cluster.requests)
    assert len(cluster.requests_for("virtualmachines")) == 1


async def test_a_token_file_that_is_swapped_by_a_symlink_is_used(cluster: SimulatedCluster, tmp_path: Path) -> None:
    """The kubelet updates a mounted secret like this."""
    for user in ("admin", "other"):
        (tmp_path / user).mkdir()
        write_private(tmp_path / user / "token", cluster.access.add_token(user) + "\n")
    (tmp_path / "..data").symlink_to("admin")
    path = cluster.write_kubeconfig(tmp_path / "kc")
    config = yaml.safe_load(path.read_text())
    config["users"][0]["user"] = {"tokenFile": "..data/token"}
    write(path, config)
    async with following(connect(path)) as connection:
        assert await user_of(connection, cluster) == "admin"
        (tmp_path / "..data_tmp").symlink_to("other")
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")
        await becomes(connection, cluster, "other")


async def test_a_broken_new_kubeconfig_leaves_the_old_in_use(
    cluster: SimulatedCluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The connection reports it once, and again when the file can be used."""
    path = cluster.write_kubeconfig(tmp_path / "kc")
    whole = path.read_text()
    async with following(connect(path)) as connection, mirrored(connection, QUICK) as mirror:
        await until(lambda: mirror.state is State.SYNCED)
        path.write_text("clusters: [")
        await until(lambda: connection.trouble)
        assert connection.trouble is not None
        assert connection.trouble.state is State.CONFIG_ERROR
        assert "is not YAML" in connection.trouble.reason
        assert await user_of(connection, cluster) == "admin"
        cluster.create_vm("vm-1")
        await until(lambda: len(mirror.objects) == 2)
        path.write_text(whole)
        await until(lambda: connection.trouble is None)
    assert len([message for message in caplog.messages if "stays in use" in message]) == 1
    assert mirror.states == [State.LISTING, State.SYNCED]
    assert lists(cluster) == 1


async def test_a_client_certificate_is_replaced_file_by_file(cluster: SimulatedCluster, tmp_path: Path) -> None:
    """In between, certificate and key do not fit each other: the connection waits for both."""
    assert cluster.authority is not None
    path = cluster.write_kubeconfig(tmp_path / "kc")
    config = yaml.safe_load(path.read_text())
    config["users"][0]["user"] = {"client-certificate": "tls.crt", "client-key": "tls.key"}
    first, second = (cluster.authority.issue_client(user) for user in ("first", "second"))
    write_private(tmp_path / "tls.crt", first.certificate_pem.decode())
    write_private(tmp_path / "tls.key", first.key_pem.decode())
    write(path, config)
    async with following(connect(path)) as connection:
        assert await user_of(connection, cluster) == "first"
        write_private(tmp_path / "tls.crt", second.certificate_pem.decode())
        await until(lambda: connection.trouble)
        assert await user_of(connection, cluster) == "first"
        write_private(tmp_path / "tls.key", second.key_pem.decode())
        await becomes(connection, cluster, "second")
        assert connection.trouble is None


def _missing(cluster: SimulatedCluster, path: Path) -> Callable[[], object]:
    return lambda: cluster.write_kubeconfig(path)


def _wrong_authority(cluster: SimulatedCluster, path: Path) -> Callable[[], object]:
    assert cluster.authority is not None
    right = cluster.authority.certificate_pem
    cluster.write_kubeconfig(path)
    config = yaml.safe_load(path.read_text())
    del config["clusters"][0]["cluster"]["certificate-authority-data"]
    config["clusters"][0]["cluster"]["certificate-authority"] = "ca.crt"
    write(path, config)
    (path.parent / "ca.crt").write_bytes(CertificateAuthority("other").certificate_pem)
    return lambda: (path.parent / "ca.crt").write_bytes(right)


def _revoked_token(cluster: SimulatedCluster, path: Path) -> Callable[[], object]:
    cluster.write_kubeconfig(path, credential="token-file")
    cluster.access.revoke("admin")
    return lambda: path.with_suffix(".token").write_text(cluster.access.add_token("admin"))


def _expired_certificate(cluster: SimulatedCluster, path: Path) -> Callable[[], object]:
    cluster.write_kubeconfig(path, credential="certificate")
    cluster.access.expire_certificates("admin")
    return lambda: cluster.write_kubeconfig(path, user="successor", credential="certificate")


@pytest.mark.parametrize(
    ("broken", "state"),
    [
        pytest.param(_missing, State.CONFIG_ERROR, id="kubeconfig missing"),
        pytest.param(_wrong_authority, State.TLS_ERROR, id="unknown authority"),
        pytest.param(_revoked_token, State.AUTH_FAILED, id="token revoked"),
        pytest.param(_expired_certificate, State.AUTH_FAILED, id="client certificate expired: a 401"),
    ],
)
async def test_a_corrected_file_heals_at_once(
    cluster: SimulatedCluster,
    tmp_path: Path,
    broken: Callable[[SimulatedCluster, Path], Callable[[], object]],
    state: State,
) -> None:
    """The long pause after such failures ends at once. No request is sent without TLS or credentials."""
    correct = broken(cluster, tmp_path / "kc")
    async with following(connect(tmp_path / "kc")) as connection, mirrored(connection, PATIENT) as mirror:
        await until(lambda: mirror.state is state)
        correct()
        await until(lambda: mirror.state is State.SYNCED)
    assert not [request for request in cluster.requests if request.user == "system:anonymous"]


async def test_watches_leave_a_server_that_has_moved(cluster: SimulatedCluster, tmp_path: Path) -> None:
    """They end at once, or they would stay at the old address for minutes, and resume where they were."""
    path = cluster.write_kubeconfig(tmp_path / "kc")
    async with following(connect(path)) as connection, mirrored(connection, QUICK) as mirror:
        await until(lambda: mirror.state is State.SYNCED)
        cluster.write_kubeconfig(path, server=cluster.url.replace("127.0.0.1", "localhost"))
        await until(lambda: len(cluster.requests_for("virtualmachines", verb="watch")) == 2)
        cluster.create_vm("vm-1")
        await until(lambda: len(mirror.objects) == 2)
    assert lists(cluster) == 1


async def test_request_that_waits_when_the_server_moves_ends_with_the_reason(
    cluster: SimulatedCluster, tmp_path: Path
) -> None:
    """The old server does not answer any more, which is why it moves. aiohttp asked again over the closed session, and
    its AssertionError began the whole cluster again, to be reported.
    """
    path = cluster.write_kubeconfig(tmp_path / "kc")
    async with following(connect(path)) as connection:
        await asyncio.gather(*(connection.server_version() for _ in range(2)))
        cluster.faults.withhold("/version")
        waiting = [asyncio.create_task(connection.server_version()) for _ in range(2)]
        cluster.write_kubeconfig(path, server=cluster.url.replace("127.0.0.1", "localhost"))
        for task in waiting:
            with pytest.raises(WatcherError, match=r"the connection to 127\.0\.0\.1:"):
                await task


async def test_a_kubeconfig_that_others_may_read_is_logged_once(
    cluster: SimulatedCluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is used: secrets that Kubernetes mounts have mode 0644."""
    path = cluster.write_kubeconfig(tmp_path / "kc")
    path.chmod(0o644)
    caplog.set_level(logging.INFO, "summit.watcher")
    async with following(connect(path)) as connection:
        await connection.server_version()
        path.write_text(path.read_text().replace(cluster.token, cluster.access.add_token("admin")))
        await until(lambda: [message for message in caplog.messages if "has changed" in message])
    assert len([message for message in caplog.messages if "is readable by everyone" in message]) == 1
