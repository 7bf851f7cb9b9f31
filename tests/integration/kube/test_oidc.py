"""An `auth-provider` oidc: its id-token ends, and its issuer is asked for another one, or is away."""

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from support.paths import SAMPLES

from summit_models.cluster import ConnectionState as State
from summit_models.contract import ClusterName
from summit_simulator.access import kubeconfig
from summit_simulator.access.tls import CertificateAuthority, server_context
from summit_simulator.cluster import SimulatedCluster
from summit_watcher.check import check_clusters
from summit_watcher.config.datacenters import ClusterConfig
from summit_watcher.kube.connection import ClusterConnection
from summit_watcher.kube.errors import AuthError
from summit_watcher.kube.failure import classify

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

AUTHORITY = CertificateAuthority("issuer")


def jwt(name: str, ends_in: timedelta) -> str:
    def part(content: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")

    ends = (datetime.now(UTC) + ends_in).timestamp()
    return f"{part({'alg': 'RS256'})}.{part({'sub': name, 'exp': int(ends)})}.c2ln"


OLD = jwt("alice", timedelta(hours=-1))


class Issuer:
    """An identity provider of two documents; `refusal` is what it answers to the refresh token instead."""

    def __init__(self) -> None:
        self.url = ""
        self.token = jwt("alice", timedelta(hours=1))
        self.refusal: web.Response | None = None
        self.discovery: dict[str, Any] | None = None
        self.asked: list[tuple[str, str | None, dict[str, Any]]] = []

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        form = dict(await request.post())
        self.asked.append((request.path, request.headers.get("Authorization"), form))
        if request.path.endswith("/.well-known/openid-configuration"):
            return web.json_response(self.discovery or {"token_endpoint": f"{self.url}/token"})
        return self.refusal or web.json_response({"id_token": self.token, "refresh_token": "r2"})


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    made = Issuer()
    async with served(made.answer) as made.url:
        yield made


@asynccontextmanager
async def served(handler: Answer) -> AsyncIterator[str]:
    runner = web.ServerRunner(web.Server(handler))
    await runner.setup()
    tls = server_context(AUTHORITY, AUTHORITY.issue_server(["127.0.0.1"]))
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def cluster() -> AsyncIterator[SimulatedCluster]:
    async with SimulatedCluster("vulcan") as simulated:
        yield simulated


def write(path: Path, cluster: SimulatedCluster, issuer: str, **config: str) -> Path:
    provider = {
        "client-id": "kubernetes",
        "client-secret": "s",
        "refresh-token": "r",
        "id-token": OLD,
        "idp-issuer-url": issuer,
        "idp-certificate-authority-data": kubeconfig.embedded(AUTHORITY.certificate_pem),
    }
    user = {"auth-provider": {"name": "oidc", "config": provider | config}}
    assert cluster.authority is not None
    ca_pem = cluster.authority.certificate_pem
    return kubeconfig.write(path, kubeconfig.render(name="vulcan", server=cluster.url, user=user, ca_pem=ca_pem))


def connect(path: Path) -> ClusterConnection:
    return ClusterConnection(path, name=ClusterName("vulcan"))


async def failure(path: Path) -> str:
    """The reason why there is no connection, which is a state of the cluster."""
    async with connect(path) as connection:
        with pytest.raises(AuthError) as raised:
            await connection.identity()
    assert classify(raised.value).state is State.AUTH_FAILED
    return str(raised.value)


async def test_a_token_that_has_ended_is_refreshed(cluster: SimulatedCluster, issuer: Issuer, tmp_path: Path) -> None:
    """One request for the issuer's addresses, one for the token; its end is known."""
    cluster.access.add_token("alice", issuer.token)
    async with connect(write(tmp_path / "kc", cluster, issuer.url)) as connection:
        assert await connection.identity() == cluster.uid
        assert connection.credentials_expire_at
        assert connection.credentials_expire_at > datetime.now(UTC)
    assert [path for path, _, _ in issuer.asked] == ["/.well-known/openid-configuration", "/token"]
    _, authorization, form = issuer.asked[1]
    assert authorization == f"Basic {base64.b64encode(b'kubernetes:s').decode()}"
    assert form == {"grant_type": "refresh_token", "refresh_token": "r"}


async def test_a_public_client_names_itself_in_the_form(
    cluster: SimulatedCluster, issuer: Issuer, tmp_path: Path
) -> None:
    """It has no secret."""
    cluster.access.add_token("alice", issuer.token)
    async with connect(write(tmp_path / "kc", cluster, issuer.url, **{"client-secret": ""})) as connection:
        assert await connection.identity() == cluster.uid
    _, authorization, form = issuer.asked[1]
    assert (authorization, form["client_id"]) == (None, "kubernetes")


async def test_a_token_that_is_valid_asks_nobody(cluster: SimulatedCluster, issuer: Issuer, tmp_path: Path) -> None:
    """The issuer may be away meanwhile."""
    cluster.access.add_token("alice", issuer.token)
    async with connect(write(tmp_path / "kc", cluster, issuer.url, **{"id-token": issuer.token})) as connection:
        assert await connection.identity() == cluster.uid
    assert issuer.asked == []


REFUSALS = [
    pytest.param(400, b'{"error": "invalid_grant", "error_description": "s3cret"}', "answered 400 (invalid_grant)",
                 id="invalid_grant"),
    pytest.param(500, b"s3cret", "answered 500", id="an error of its own"),
    pytest.param(200, b"<html>s3cret", "answered something else than OpenID Connect says", id="a web page"),
    pytest.param(200, b"[" * 100_000, "answered something else than OpenID Connect says", id="deep JSON"),
    pytest.param(200, b'{"id_token": 5}', "answered something else than OpenID Connect says", id="no token"),
    pytest.param(200, b" " * 2**21, "has more than 1 MiB", id="a large answer"),
    pytest.param(200, b'{"id_token": "a\\nb"}', "holds line breaks", id="a token of two lines"),
    pytest.param(302, b"", "answered 302", id="a redirect"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "sentence"), REFUSALS)
async def test_an_issuer_that_gives_no_token_is_a_reason(
    cluster: SimulatedCluster, issuer: Issuer, tmp_path: Path, *, status: int, body: bytes, sentence: str
) -> None:
    """The exception of a library would end the cluster's task. Nothing is sent to the cluster, nothing is quoted."""
    issuer.refusal = web.Response(status=status, body=body, headers={"Location": f"{issuer.url}/elsewhere"})
    reason = await failure(write(tmp_path / "kc", cluster, issuer.url))
    assert sentence in reason
    assert "s3cret" not in reason
    assert len(issuer.asked) == 2
    assert list(cluster.requests) == []


async def test_an_issuer_that_is_away_is_a_reason_and_check_goes_on(cluster: SimulatedCluster, tmp_path: Path) -> None:
    """`check` ended with a traceback for all clusters."""
    path = tmp_path / "oidc.json"
    case = (SAMPLES / "kubeconfigs" / "oidc-expired-issuer-away.json").read_text()
    path.write_text(case.replace("{{SERVER}}", "127.0.0.1:1"))
    assert "auth-provider oidc got no other id-token: connection refused by 127.0.0.1:1" in await failure(path)
    good = ClusterConfig("vulcan", "dc-solna", cluster.write_kubeconfig(tmp_path / "kc"))
    reports = await check_clusters([ClusterConfig("oidc", "dc-solna", path), good])
    assert [bool(report.problems) for report in reports] == [True, False]


async def test_an_issuer_of_another_authority_gets_no_secret(
    cluster: SimulatedCluster, issuer: Issuer, tmp_path: Path
) -> None:
    """Without an authority of its own, the system's count."""
    for config in ({"idp-certificate-authority-data": ""}, {"idp-certificate-authority-data": "!"}):
        await failure(write(tmp_path / "kc", cluster, issuer.url, **config))
    assert issuer.asked == []


async def test_a_token_endpoint_without_tls_gets_no_secret(
    cluster: SimulatedCluster, issuer: Issuer, tmp_path: Path
) -> None:
    """The issuer names it, and a client secret goes there."""
    issuer.discovery = {"token_endpoint": f"http://{issuer.url.partition('://')[2]}/token"}
    assert "another scheme" in await failure(write(tmp_path / "kc", cluster, issuer.url))
    assert len(issuer.asked) == 1


async def test_a_provider_without_what_a_refresh_needs_is_a_reason(cluster: SimulatedCluster, tmp_path: Path) -> None:
    """A person must log in again."""
    reason = await failure(write(tmp_path / "kc", cluster, "https://127.0.0.1:1", **{"refresh-token": ""}))
    assert "log in again" in reason


@pytest.mark.parametrize("address", ["https://[", "https://[::1/token", "https://issuer:99999/token", "https:///token"])
async def test_an_address_that_is_none_is_a_reason(
    cluster: SimulatedCluster, issuer: Issuer, tmp_path: Path, address: str
) -> None:
    """The exception of the library ended the cluster's task, and came with each attempt."""
    issuer.discovery = {"token_endpoint": address}
    for url in (issuer.url, address):
        assert "got no other id-token" in await failure(write(tmp_path / "kc", cluster, url))
    reason = await failure(write(tmp_path / "kc", cluster, issuer.url, **{"idp-certificate-authority-data": "é"}))
    assert "is not base64" in reason
