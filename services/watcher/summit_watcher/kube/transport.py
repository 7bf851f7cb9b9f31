"""One HTTP client, made from one kubeconfig and one set of credentials. A new one replaces it when either changes.

The official package does the work: its loader reads the user section, its async ApiClient sends requests. This module
adds what it leaves out: TCP keepalive, timeouts with names, and errors with a sentence.
"""

import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.config import ConfigException, load_kube_config_from_dict

from summit_watcher.kube.access.certificates import Certificate, certificates, described
from summit_watcher.kube.access.credentials import Credentials
from summit_watcher.kube.access.kubeconfig import Kubeconfig
from summit_watcher.kube.errors import AuthError, CertificateError, KubeconfigError, StatusError
from summit_watcher.kube.failure import http_error
from summit_watcher.kube.reply import Reply, transport_errors

USER_AGENT = f"summit-connect/{version('summit-connect')}"
"""A name of its own, so that operators can write a FlowSchema for it."""

READ_BUFFER_BYTES = 256 * 1024
"""aiohttp stops reading the socket at twice this. It fits into the processor's cache; a longer line is joined later."""

TCP_OPTIONS = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 30_000}
"""They notice a dead peer: aiohttp sets no keepalive, and firewalls forget idle connections. The first two are seconds,
the last is milliseconds. By name, since TCP_USER_TIMEOUT is Linux only."""

_LOADER_DEFECTS = (AttributeError, KeyError, TypeError, ValueError)
"""The official loader raises these for an `auth-provider` that it does not understand. Their texts may have tokens."""


class Timeouts(NamedTuple):
    """Limits of one request. A watch has no `total_seconds`, since it ends by itself."""

    idle_seconds: float
    total_seconds: float | None = None


class Request(NamedTuple):
    method: str
    path: str
    timeouts: Timeouts
    params: Mapping[str, str | int] = {}
    body: Mapping[str, Any] | None = None


class Transport:
    """An HTTP client. After `retire` it closes when its last request is over."""

    def __init__(self, kubeconfig: Kubeconfig, credentials: Credentials, client: ApiClient) -> None:
        self.kubeconfig = kubeconfig
        self.credentials = credentials
        self.certificates: list[Certificate] = certificates(kubeconfig.authority(), credentials.certificate_pem)
        ends = (credentials.ends_at, *(c.not_after for c in self.certificates if c.kind == "client"))
        self.credentials_expire_at = min((end for end in ends if end), default=None)
        self._client = client
        self._authorization = client.configuration.api_key.get("BearerToken")
        self._connector = aiohttp.TCPConnector(ssl=client.rest_client.ssl_context, socket_factory=keepalive_socket)
        client.configuration.client_session_kwargs = {
            "connector": self._connector,
            "read_bufsize": READ_BUFFER_BYTES,
            "auto_decompress": False,
        }
        self._users = 0
        self._open: set[aiohttp.ClientResponse] = set()
        self._retired = False

    def refused(self, refusal: StatusError) -> AuthError:
        """The error for credentials that the server refuses with 401, as it does those that have ended."""
        said = f" ({refusal.message})" if refusal.message else ""
        return AuthError(
            f"the API server refuses the credentials of kubeconfig {self.kubeconfig.path}{said}: replace them; "
            f"{self._ends or 'a token or certificate may have expired'}"
        )

    @property
    def _ends(self) -> str:
        """When our credentials end, in words; "" where that is not known."""
        for certificate in self.certificates:
            if certificate.kind == "client":
                return str(certificate)
        ends_at = self.credentials.ends_at
        return f"the token ends at {ends_at:%Y-%m-%d %H:%M} UTC" if ends_at else ""

    @asynccontextmanager
    async def request(self, request: Request, connect_seconds: float) -> AsyncIterator[Reply]:
        """Send a request and hold its answer open. Raises WatcherErrors: StatusError if it is not 2xx."""
        self._users += 1
        try:
            response = await self._send(request, connect_seconds)
            self._open.add(response)
            try:
                yield await self._accepted(response)
            finally:
                self._open.discard(response)
                response.close()
        finally:
            self._users -= 1
            await self._close_if_unused()

    async def retire(self) -> None:
        """Close when the running requests are over. No new ones may follow."""
        self._retired = True
        await self._close_if_unused()

    async def close(self) -> None:
        """Close at once. Readers of an answer get a LostError; closing the session alone would leave them waiting."""
        for response in self._open:
            response.close()
        await self._client.close()  # type: ignore[no-untyped-call]  # the official client has no types
        await self._connector.close()

    async def _send(self, request: Request, connect_seconds: float) -> aiohttp.ClientResponse:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if self._authorization:
            headers["Authorization"] = self._authorization
        serialized = await self._client.param_serialize(
            request.method, request.path, query_params=dict(request.params), header_params=headers, body=request.body
        )
        timeout = aiohttp.ClientTimeout(
            total=request.timeouts.total_seconds, sock_connect=connect_seconds, sock_read=request.timeouts.idle_seconds
        )
        try:
            with transport_errors(self.kubeconfig.endpoint):
                rest = await self._client.call_api(*serialized, _request_timeout=timeout)
        except CertificateError as error:
            seen = await described(self.kubeconfig.cluster, connect_seconds)
            raise CertificateError(f"{error}; {seen}") if seen else error from error
        response: aiohttp.ClientResponse = rest.response
        return response

    async def _accepted(self, response: aiohttp.ClientResponse) -> Reply:
        reply = Reply(response, self.kubeconfig.endpoint)
        if not response.ok:
            raise http_error(response.status, response.headers, await reply.beginning())
        reply.check_content()
        return reply

    async def _close_if_unused(self) -> None:
        if self._retired and not self._users:
            await self.close()


def build_client(kubeconfig: Kubeconfig, credentials: Credentials) -> ApiClient:
    """Build the official client. Raises KubeconfigError, and AuthError if an auth-provider gives no token.

    Blocks (files, TLS setup, a token refresh of `auth-provider`): run it in a thread.
    """
    configuration = Configuration()
    with tempfile.TemporaryDirectory(prefix="summit-connect-") as directory:
        # The ssl module needs certificates in files. They leave the disk at once: the official loader would keep
        # every client key until the process ends.
        document = _loader_input(kubeconfig, credentials, Path(directory))
        try:
            load_kube_config_from_dict(  # type: ignore[no-untyped-call]
                document, kubeconfig.context, configuration, persist_config=False
            )
        except ConfigException as error:
            raise KubeconfigError(f"kubeconfig {kubeconfig.path}: {error}") from error
        except _LOADER_DEFECTS as error:
            raise KubeconfigError(
                f"kubeconfig {kubeconfig.path}: the official client cannot read its user section "
                f"({type(error).__name__})"
            ) from None
        configuration.refresh_api_key_hook = None  # a new client has the new credentials
        # Python 3.13 rejects certificate authorities without key identifiers. Older EKS and microk8s have them, and
        # kubectl accepts them.
        configuration.disable_strict_ssl_verification = True
        if kubeconfig.user.auth_provider and "BearerToken" not in configuration.api_key:
            provider = kubeconfig.user.auth_provider.get("name")
            raise AuthError(f"kubeconfig {kubeconfig.path}: auth-provider {provider!r} gave no token")
        try:
            client = ApiClient(configuration)
        except (ssl.SSLError, OSError) as error:
            raise KubeconfigError(
                f"kubeconfig {kubeconfig.path}: a certificate or key is not readable: {error}"
            ) from error
    client.user_agent = USER_AGENT
    return client


def _loader_input(kubeconfig: Kubeconfig, credentials: Credentials, directory: Path) -> dict[str, Any]:
    """The one context with its credentials: the loader finds nothing to run, to read again or to ignore."""
    cluster = {
        "server": kubeconfig.cluster.server,
        "tls-server-name": kubeconfig.cluster.tls_server_name,
        "insecure-skip-tls-verify": kubeconfig.cluster.insecure_skip_tls_verify,
        "proxy-url": kubeconfig.cluster.proxy_url,
        "certificate-authority": _file(directory / "ca.crt", kubeconfig.authority()),
    }
    user = {
        "token": credentials.token,
        "client-certificate": _file(directory / "tls.crt", credentials.certificate_pem),
        "client-key": _file(directory / "tls.key", credentials.key_pem),
        "username": kubeconfig.user.username,
        "password": kubeconfig.user.password,
        "auth-provider": None if credentials.token else _verified(kubeconfig.user.auth_provider),
    }
    return {
        "contexts": [{"name": kubeconfig.context, "context": {"cluster": "cluster", "user": "user"}}],
        "clusters": [{"name": "cluster", "cluster": _present(cluster)}],
        "users": [{"name": "user", "user": _present(user)}],
    }


def _verified(provider: dict[str, Any] | None) -> dict[str, Any] | None:
    """An OIDC provider that names an authority: the loader verifies no certificate where there is none."""
    authorities = ("idp-certificate-authority", "idp-certificate-authority-data")
    config = (provider or {}).get("config") or {}
    if provider is None or any(key in config for key in authorities):
        return provider
    system = ssl.get_default_verify_paths()
    return provider | {"config": config | {"idp-certificate-authority": system.cafile or system.openssl_cafile}}


def _file(path: Path, content: bytes | None) -> str | None:
    if content is None:
        return None
    path.touch(mode=0o600)
    path.write_bytes(content)
    return str(path)


def _present(section: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in section.items() if value}


def keepalive_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket for one result of getaddrinfo, with keepalive on."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in TCP_OPTIONS.items():
        if (option := getattr(socket, name, None)) is not None:
            made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made
