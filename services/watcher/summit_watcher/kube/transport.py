"""One HTTP client, made from one kubeconfig and one set of credentials. A new one replaces it when either changes.

The official async ApiClient sends the requests. What it presents - token, certificates, proxy - belongs to the
configured address and to no other, so its session follows no redirect, and reads neither `.netrc` nor the proxies of
the environment by itself. It sends what changes a cluster once.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any, NamedTuple

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration

from summit_watcher.kube.access.certificates import Certificate, certificates, described, server_certificate
from summit_watcher.kube.access.credentials import Credentials
from summit_watcher.kube.access.kubeconfig import Kubeconfig
from summit_watcher.kube.access.proxy import proxy_of
from summit_watcher.kube.access.tls import ClientContext, client_context
from summit_watcher.kube.errors import AuthError, CertificateError, NotConnectedError, StatusError
from summit_watcher.kube.failure import http_error
from summit_watcher.kube.reply import Reply, transport_errors

USER_AGENT = f"summit-connect/{version('summit-connect')}"
"""A name of its own, so that operators can write a FlowSchema for it."""

READ_BUFFER_BYTES = 256 * 1024
"""aiohttp stops reading the socket at twice this. It fits into the processor's cache; a longer line is joined later."""

TCP_OPTIONS = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 30_000}
"""They notice a dead peer: aiohttp sets no keepalive, and firewalls forget idle connections. The first two are seconds,
the last is milliseconds. By name, since TCP_USER_TIMEOUT is Linux only."""


class Timeouts(NamedTuple):
    """Limits of one request. A watch has no `total_seconds`, since it ends by itself."""

    idle_seconds: float
    total_seconds: float | None = None

    def begin_seconds(self, connect_seconds: float) -> float | None:
        """How long an answer may take to begin. Headers that drip, and 1xx answers without end, are never idle."""
        return connect_seconds + self.idle_seconds if self.total_seconds is None else None


class Request(NamedTuple):
    method: str
    path: str
    timeouts: Timeouts
    params: Mapping[str, str | int] = {}
    body: Mapping[str, Any] | None = None
    content_type: str = "application/json"
    """The media type of the body."""
    reads_answer: bool = True
    """False: the code says all, and the answer may have no content."""


class Change(NamedTuple):
    """A request that changes a cluster."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    params: Mapping[str, str | int] = {}
    content_type: str = "application/json"


class Source(NamedTuple):
    """All that the files say of a connection."""

    kubeconfig: Kubeconfig
    credentials: Credentials
    authority_pem: bytes | None


class Connecting(NamedTuple):
    """What a transport is made of, prepared outside the event loop."""

    source: Source
    credentials: Credentials
    tls: ClientContext
    client: ApiClient


def prepare(source: Source, credentials: Credentials) -> Connecting:
    """Read certificates and keys, and choose the proxy. Blocks. Raises KubeconfigError."""
    kubeconfig = source.kubeconfig
    tls = client_context(
        f"kubeconfig {kubeconfig.path}",
        authority=source.authority_pem,
        certificate=credentials.certificate_pem,
        key=credentials.key_pem,
        insecure=kubeconfig.cluster.insecure_skip_tls_verify or kubeconfig.url.startswith("http://"),
    )
    configuration = Configuration(host=kubeconfig.url, proxy=kubeconfig.cluster.proxy_url or proxy_of(kubeconfig.url))
    configuration.tls_server_name = kubeconfig.cluster.tls_server_name
    if source.authority_pem is not None:  # its own context is not used, and would load all authorities of the system
        configuration.ca_cert_data = source.authority_pem.decode("ascii", errors="ignore")
    client = ApiClient(configuration)
    client.user_agent = USER_AGENT
    return Connecting(source, credentials, tls, client)


class Transport:
    """An HTTP client. After `retire` it closes when its last request is over."""

    def __init__(self, connecting: Connecting) -> None:
        self.source, self.credentials, self._tls, self._client = connecting
        self.kubeconfig = self.source.kubeconfig
        self.certificates: list[Certificate] = certificates(self.source.authority_pem, self.credentials.certificate_pem)
        ends = (self.credentials.ends_at, *(c.not_after for c in self.certificates if c.kind == "client"))
        self.credentials_expire_at = min((end for end in ends if end), default=None)
        self._connector = aiohttp.TCPConnector(ssl=self._tls, socket_factory=keepalive_socket)
        self._client.configuration.client_session_kwargs = {
            "connector": self._connector,
            "cookie_jar": aiohttp.DummyCookieJar(),
            "auto_decompress": False,  # nothing compressed is asked for
            "read_bufsize": READ_BUFFER_BYTES,
            "trust_env": False,
            "middlewares": (refuse_redirect, once),
        }
        self._users = 0
        self._open: set[aiohttp.ClientResponse] = set()
        self._retired = False
        self._closed = False

    @property
    def server_certificate(self) -> Certificate | None:
        """The certificate that the server has shown; None without TLS, or before the first answer."""
        return server_certificate(self._tls.shown_certificate())

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
                yield await self._accepted(response, request)
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
        self._closed = True
        for response in self._open:
            response.close()
        await self._client.close()  # type: ignore[no-untyped-call]  # the official client has no types
        await self._connector.close()

    async def _send(self, request: Request, connect_seconds: float) -> aiohttp.ClientResponse:
        timeout = aiohttp.ClientTimeout(
            total=request.timeouts.total_seconds, sock_connect=connect_seconds, sock_read=request.timeouts.idle_seconds
        )
        serialized = await self._client.param_serialize(
            request.method,
            request.path,
            query_params=dict(request.params),
            header_params=_headers(self.credentials) | {"Content-Type": request.content_type},
            body=request.body,
        )
        try:
            with transport_errors(self.kubeconfig.endpoint):
                async with asyncio.timeout(request.timeouts.begin_seconds(connect_seconds)):
                    rest = await self._client.call_api(*serialized, _request_timeout=timeout)
        except CertificateError as error:
            seen = None if self._client.configuration.proxy else await described(self.kubeconfig, connect_seconds)
            raise CertificateError(f"{error}; {seen}") if seen else error from error
        except (AssertionError, RuntimeError) as error:  # aiohttp, over a session that was closed; it has sent nothing
            if not self._closed:
                raise
            raise NotConnectedError(
                f"the connection to {self.kubeconfig.endpoint} was closed for another one"
            ) from error
        response: aiohttp.ClientResponse = rest.response
        return response

    async def _accepted(self, response: aiohttp.ClientResponse, request: Request) -> Reply:
        reply = Reply(response, self.kubeconfig.endpoint)
        if not response.ok:
            raise http_error(response.status, response.headers, await reply.beginning())
        if request.reads_answer:
            reply.check_content()
        return reply

    async def _close_if_unused(self) -> None:
        if self._retired and not self._users:
            await self.close()


async def refuse_redirect(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Raise StatusError for a redirect: where it leads gets neither the request nor what it presents."""
    response = await send(request)
    if 300 <= response.status < 400:
        response.close()
        raise http_error(response.status, response.headers, b"")
    return response


class UnansweredError(aiohttp.ClientConnectionError):
    """The connection broke after a request, and before its answer: the server may have executed it."""


async def once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Send what changes a cluster once. A GET may be repeated, since it changes nothing.

    aiohttp (3.14) sends a PUT or DELETE again whose connection breaks before the answer, for it takes them for
    idempotent. For KubeVirt two PUTs of `restart` are two restarts.
    """
    try:
        return await send(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        if request.method == "GET" or isinstance(error, aiohttp.ClientConnectorError):
            raise
        raise UnansweredError from error


def _headers(credentials: Credentials) -> dict[str, str]:
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    if credentials.authorization:
        headers["Authorization"] = credentials.authorization
    return headers


def keepalive_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket for one result of getaddrinfo, with keepalive on."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in TCP_OPTIONS.items():
        if (option := getattr(socket, name, None)) is not None:
            made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made
