"""The way to the API server: TLS, sockets, and servers that do not behave like one."""

import asyncio
import contextlib
import gc
import socket
import ssl
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import trustme
from aiohttp import web
from cryptography.x509 import load_pem_x509_certificate
from support.waiting import until

from summit_models.cluster import ConnectionState as State
from summit_models.contract import ClusterName
from summit_simulator.access import kubeconfig
from summit_simulator.access.tls import CertificateAuthority, server_context
from summit_simulator.cluster import SimulatedCluster
from summit_watcher.kube.access.tls import ClientContext
from summit_watcher.kube.connection import ClusterConnection
from summit_watcher.kube.errors import (
    CertificateError,
    IdleError,
    StatusError,
    UnreachableError,
    WatcherError,
)
from summit_watcher.kube.failure import classify
from summit_watcher.kube.transport import TCP_OPTIONS, Timeouts, keepalive_socket
from summit_watcher.settings import WatcherTimes

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

AUTHORITY = CertificateAuthority("test-ca")
IMPATIENT = WatcherTimes(connect_seconds=1)


async def version(_: web.BaseRequest) -> web.StreamResponse:
    return web.json_response({"gitVersion": "v1.36.0"})


@asynccontextmanager
async def served(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """An HTTP server of a few lines, for faults that the simulator does not have."""
    runner = web.ServerRunner(web.Server(handler))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def connect(path: Path, server: str, times: WatcherTimes = IMPATIENT, **cluster: object) -> ClusterConnection:
    ca_pem = AUTHORITY.certificate_pem if "certificate-authority" not in cluster else None
    config = kubeconfig.render(name="c", server=server, user={"token": "t"}, ca_pem=ca_pem)
    config["clusters"][0]["cluster"] |= {key.replace("_", "-"): value for key, value in cluster.items()}
    return ClusterConnection(kubeconfig.write(path, config), name=ClusterName("c"), times=times)


async def failure(connection: ClusterConnection) -> WatcherError:
    async with connection:
        with pytest.raises(WatcherError) as raised:
            await connection.server_version()
    return raised.value


ELSEWHERE = CertificateAuthority("elsewhere")
REFUSED = [
    pytest.param(AUTHORITY, ["127.0.0.1"], "certificate has expired", "to {until} UTC", id="expired"),
    pytest.param(AUTHORITY, ["api.fra.example", "10.0.0.1"], "IP address mismatch",
                 ", for api.fra.example, 10.0.0.1, ", id="for other names"),
    pytest.param(ELSEWHERE, ["127.0.0.1"], "was not accepted: self", "issued by OU=elsewhere,O=kubernetes, ",
                 id="of an unknown authority"),
]  # fmt: skip


@pytest.mark.parametrize(("issuer", "names", "verdict", "words"), REFUSED)
async def test_a_refused_certificate_is_described_with_openssls_verdict(
    tmp_path: Path, issuer: CertificateAuthority, names: list[str], verdict: str, words: str
) -> None:
    """The sentence has subject, names, issuer and end: each is another person's task."""
    pair = issuer.issue_server(names, valid_for=timedelta(days=-1 if "expired" in verdict else 1))
    async with served(version, server_context(issuer, pair)) as port:
        error = await failure(connect(tmp_path / "kc", f"https://127.0.0.1:{port}"))
    assert classify(error).state is State.TLS_ERROR
    assert verdict in str(error)
    assert "; it shows CN=kube-apiserver,OU=simulator,O=kubernetes, for " in str(error)
    until_when = load_pem_x509_certificate(pair.certificate_pem).not_valid_after_utc
    assert words.format(until=f"{until_when:%Y-%m-%d %H:%M}") in str(error)


async def test_a_server_that_is_not_trusted_gets_nothing_but_handshakes(tmp_path: Path) -> None:
    """A second handshake reads its certificate, without a request, a token, or a certificate of ours."""
    greeted: list[tuple[object, bytes]] = []

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        shown = writer.get_extra_info("ssl_object").getpeercert()
        with contextlib.suppress(OSError):
            greeted.append((shown, await reader.read()))
        writer.close()

    tls = server_context(AUTHORITY, AUTHORITY.issue_server(["127.0.0.1"], valid_for=timedelta(days=-1)))
    tls.maximum_version = ssl.TLSVersion.TLSv1_2  # there the server is done before the client
    server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=tls)
    client = AUTHORITY.issue_client("admin")
    user = {"token": "t", "client-certificate-data": kubeconfig.embedded(client.certificate_pem),
            "client-key-data": kubeconfig.embedded(client.key_pem)}  # fmt: skip
    address = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    config = kubeconfig.render(name="c", server=address, user=user, ca_pem=AUTHORITY.certificate_pem)
    path = kubeconfig.write(tmp_path / "kc", config)
    async with server:
        error = await failure(ClusterConnection(path, name=ClusterName("c"), times=IMPATIENT))
        await until(lambda: greeted)
    assert "it shows CN=kube-apiserver" in str(error)
    assert greeted == [(None, b"")]


@pytest.mark.parametrize("trusted", ["the root", "the intermediate", "the server's own certificate"])
async def test_an_authority_need_not_be_a_root(tmp_path: Path, trusted: str) -> None:
    """Python before 3.13 refuses all but roots, and kubectl accepts them."""
    root = trustme.CA()
    intermediate = root.create_child_ca()
    issued = intermediate.issue_cert("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    pems = {
        "the root": root.cert_pem,
        "the intermediate": intermediate.cert_pem,
        "the server's own certificate": issued.cert_chain_pems[0],
    }
    bundle = "# Autoridad de certificaci\u00f3n\n".encode() + pems[trusted].bytes()
    async with (
        served(version, context) as port,
        connect(
            tmp_path / "kc", f"https://127.0.0.1:{port}", certificate_authority_data=kubeconfig.embedded(bundle)
        ) as connection,
    ):
        assert await connection.server_version() == "v1.36.0"


async def test_the_server_name_is_verified_and_may_be_named(tmp_path: Path) -> None:
    """`tls-server-name` is for servers behind an address that their certificate does not have."""
    tls = server_context(AUTHORITY, AUTHORITY.issue_server(["api.fra.example"]))
    async with served(version, tls) as port:
        server = f"https://127.0.0.1:{port}"
        assert isinstance(await failure(connect(tmp_path / "kc", server)), CertificateError)
        async with connect(tmp_path / "kc2", server, tls_server_name="api.fra.example") as connection:
            assert await connection.server_version() == "v1.36.0"


async def test_skipping_verification_works_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The kubeconfig decides, and the log has a warning."""
    other = CertificateAuthority("other")
    async with served(version, server_context(other, other.issue_server(["x"]))) as port:
        path = tmp_path / "kc"
        config = kubeconfig.render(name="c", server=f"https://127.0.0.1:{port}", user={"token": "t"}, ca_pem=None)
        config["clusters"][0]["cluster"]["insecure-skip-tls-verify"] = True
        kubeconfig.write(path, config)
        async with ClusterConnection(path, name=ClusterName("c")) as connection:
            for _ in range(2):
                assert await connection.server_version() == "v1.36.0"
    assert len([message for message in caplog.messages if "insecure-skip-tls-verify" in message]) == 1


async def test_a_port_that_accepts_and_sends_nothing_is_given_up(tmp_path: Path) -> None:
    """The time for connecting includes the TLS handshake."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        server = f"https://127.0.0.1:{silent.getsockname()[1]}"
        error = await failure(connect(tmp_path / "kc", server, WatcherTimes(connect_seconds=0.2)))
    assert isinstance(error, UnreachableError)
    assert "did not accept a connection in time" in str(error)


async def test_a_host_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    """`.invalid` never resolves (RFC 2606)."""
    error = await failure(connect(tmp_path / "kc", "https://nowhere.invalid:6443"))
    assert str(error).startswith("the host of nowhere.invalid:6443 cannot be resolved")


async def test_an_answer_that_stalls_is_given_up(tmp_path: Path) -> None:
    """Timeouts are ours: the official client waits five minutes, or for ever."""

    async def stall(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(b"{")
        await until(lambda: request.transport is None)
        return response

    async with (
        served(stall) as port,
        connect(tmp_path / "kc", f"http://127.0.0.1:{port}") as connection,
        connection.get("/version", timeouts=Timeouts(idle_seconds=0.2)) as reply,
    ):
        with pytest.raises(IdleError, match="stopped sending"):
            await reply.body()


async def test_an_error_with_an_endless_body_is_an_error(tmp_path: Path) -> None:
    """The body of a watch has no limit, but the body of its refusal has. The pause that it asks for has one, too."""

    async def refuse(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(status=503, headers={"Retry-After": "99999999999"})
        await response.prepare(request)
        while request.transport is not None:
            await response.write(b"x" * 65536)
        return response

    async with (
        served(refuse) as port,
        connect(tmp_path / "kc", f"http://127.0.0.1:{port}") as connection,
    ):
        with pytest.raises(StatusError) as raised:
            async with connection.get("/watch", timeouts=Timeouts(idle_seconds=70)):
                pass
    assert raised.value.retry_after_seconds == 3600
    assert len(str(raised.value)) < 1000


async def test_json_that_is_not_a_namespace_is_not_from_kubernetes(tmp_path: Path) -> None:
    """Another API answers at that address, as after a mistake in a load balancer."""
    async with served(version) as port, connect(tmp_path / "kc", f"http://127.0.0.1:{port}") as connection:
        with pytest.raises(UnreachableError, match=f"127.0.0.1:{port} answers JSON, but not as a Kubernetes API does"):
            await connection.identity()


async def test_requests_carry_our_name_and_accept_no_compression(tmp_path: Path) -> None:
    """Operators write FlowSchemas by our name. Nothing is compressed, which costs the API server time."""
    seen: list[tuple[str, str, str]] = []

    async def note(request: web.BaseRequest) -> web.StreamResponse:
        headers = request.headers
        seen.append((headers["User-Agent"], headers["Accept-Encoding"], headers["Authorization"]))
        return await version(request)

    async with served(note) as port, connect(tmp_path / "kc", f"http://127.0.0.1:{port}") as connection:
        await connection.server_version()
    ((agent, encoding, authorization),) = seen
    assert agent.startswith("summit-connect/")
    assert (encoding, authorization) == ("identity", "Bearer t")


async def test_nothing_of_a_client_key_stays_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The official loader would keep every key in the temporary directory."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    async with SimulatedCluster("vulcan") as cluster:
        path = cluster.write_kubeconfig(tmp_path / "kc", credential="certificate")
        async with ClusterConnection(path, name=ClusterName("vulcan")) as connection:
            await connection.server_version()
            assert list((tmp_path / "tmp").iterdir()) == []


async def test_a_connection_that_is_closed_leaves_no_tls_context(tmp_path: Path) -> None:
    """Each renewal of a token left one, which may have all authorities of the system, for ever."""
    tls = server_context(AUTHORITY, AUTHORITY.issue_server(["127.0.0.1"]))
    async with served(version, tls) as port:
        async with connect(tmp_path / "kc", f"https://127.0.0.1:{port}") as connection:
            await connection.server_version()
            contexts = weakref.WeakSet(found for found in gc.get_objects() if isinstance(found, ClientContext))
            assert contexts
        del connection
    gc.collect()
    assert not contexts


def test_sockets_notice_a_dead_peer() -> None:
    """Aiohttp sets no keepalive by itself."""
    with keepalive_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", None)) as made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        if hasattr(socket, "TCP_KEEPIDLE"):
            assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == TCP_OPTIONS["TCP_KEEPIDLE"]
