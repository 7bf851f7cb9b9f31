"""The connection to one cluster, shared by all its list-watches: one transport at a time, made anew when it must be.

One mechanism serves every cause: the kubeconfig or a file it names changed, the credentials end soon, or the server
refused them (401). Whoever notices makes the new transport, the others wait for that one. New files are read whole
before anything is swapped; broken ones leave the old connection in use, and are told. Running watches stay on the old
transport until they end, so nothing is relisted; only when the server's address is another do they end at once.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import msgspec

from summit_models.contract import ClusterName
from summit_runtime.own_thread import OwnThread
from summit_watcher.config.datacenters import readable_by_others
from summit_watcher.kube.access.certificates import WARN_BEFORE, Certificate
from summit_watcher.kube.access.credentials import obtain, written
from summit_watcher.kube.access.kubeconfig_files import KubeconfigFiles
from summit_watcher.kube.errors import AuthError, KubeconfigError, StatusError, UnreachableError
from summit_watcher.kube.failure import Failure, classify
from summit_watcher.kube.reply import Reply
from summit_watcher.kube.transport import Request, Timeouts, Transport, build_client

logger = logging.getLogger("summit.watcher")

T = TypeVar("T")

SHORT = Timeouts(idle_seconds=10, total_seconds=30)
"""For single objects and reviews."""


@dataclass(frozen=True)
class ConnectionSettings:
    """How a connection behaves. Times in seconds."""

    connect_seconds: float = 5
    credentials_seconds: float = 30
    """Limit for reading the kubeconfig and for a credential plugin."""
    look_at_files_seconds: float = 5
    settle_seconds: float = 2
    """A change is taken up when it has stood for so long: files are written bit by bit, and one after the other."""
    reload_seconds: float = 10
    """Refused or failing credentials are loaded again at most this often: five streams must not run a plugin each."""
    list_encoding: Literal["identity", "gzip"] = "identity"
    """gzip makes lists 6 to 10 times smaller for slow links and costs the API server a quarter of a second per 10 000
    VMs. Watches are never compressed by the server."""


class ClusterConnection:
    """Requests to one cluster. Connects with the first one, and again whenever needed.

    All requests raise KubeconfigError, AuthError, TlsError, UnreachableError, LostError or StatusError.
    """

    def __init__(
        self,
        kubeconfig: Path,
        context: str | None = None,
        *,
        name: ClusterName,
        settings: ConnectionSettings | None = None,
    ) -> None:
        self.name = name
        self.settings = settings or ConnectionSettings()
        self.list_slot = asyncio.Semaphore(1)
        """One list at a time: big lists cost several seats of the API server's priority level."""
        self.has_streaming_lists = True
        """Until the server refuses one. A new transport asks again: the server may have been upgraded."""
        self.logged: dict[str, float] = {}
        """When a trouble was last put into the log, so that five list-watches say it once."""
        self.trouble: Failure | None = None
        """What is wrong with new files or credentials while the earlier ones still serve."""
        self._path = kubeconfig
        self._files = KubeconfigFiles(kubeconfig, context)
        self._transport: Transport | None = None
        self._reloaded_at = float("-inf")
        self._failure: tuple[float, AuthError] | None = None
        self._lock = asyncio.Lock()
        self._changed = asyncio.Event()
        # Its own thread: a file system or an identity provider that hangs must not take the threads of the others.
        self._thread = OwnThread(f"kubeconfig-{name}")
        self._warned: set[str] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._thread.end()
        if self._transport is not None:
            await self._transport.close()

    @asynccontextmanager
    async def get(
        self,
        path: str,
        params: Mapping[str, str | int] | None = None,
        *,
        timeouts: Timeouts = SHORT,
        encoding: str = "identity",
    ) -> AsyncIterator[Reply]:
        """Hold the answer to a GET open while the block runs."""
        async with self._request(Request("GET", path, timeouts, params or {}, encoding=encoding)) as reply:
            yield reply

    async def get_object(self, path: str) -> dict[str, Any]:
        return await self._object(Request("GET", path, SHORT))

    async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object, such as a SelfSubjectAccessReview, and return the server's answer."""
        return await self._object(Request("POST", path, SHORT, body=body))

    async def follow_files(self) -> None:
        """Look at the kubeconfig and what it names from time to time, for ever, and take up what has changed."""
        while True:
            await asyncio.sleep(self.settings.look_at_files_seconds)
            with contextlib.suppress(KubeconfigError):  # a file system that hangs: the connection needs nothing of it
                if await self._have_changed():
                    await self._take_up_files()

    async def pause(self, seconds: float) -> None:
        """Wait before another attempt, but not on when the files change meanwhile: what was wrong may be mended."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    async def server_version(self) -> str:
        """The API server's version, for example "v1.34.1"."""
        return str((await self.get_object("/version")).get("gitVersion", "unknown"))

    async def kubevirt_version(self) -> str | None:
        """KubeVirt's version, for example "v1.8.0"; None where it is not there or may not be asked."""
        try:
            version = (await self.get_object("/apis/subresources.kubevirt.io/v1/version")).get("gitVersion")
        except StatusError:
            return None
        return version if isinstance(version, str) else None

    @property
    def credentials_expire_at(self) -> datetime | None:
        """When what we show to the server ends, where that is known."""
        return self._transport.credentials_expire_at if self._transport else None

    async def identity(self) -> str:
        """Uid of the namespace kube-system: what a cluster is, whatever its address.

        Where that may not be read, a digest of the server's address and authority: all that is known then.
        """
        try:
            namespace = await self.get_object("/api/v1/namespaces/kube-system")
        except StatusError as error:
            if error.code not in (403, 404):
                raise
            return await self._in_thread((await self._connected()).kubeconfig.address_identity)
        uid = namespace["metadata"].get("uid") if isinstance(namespace.get("metadata"), dict) else None
        if not isinstance(uid, str):
            raise UnreachableError(f"{self._endpoint} answers JSON, but not as a Kubernetes API does")
        return uid

    @property
    def _endpoint(self) -> str:
        return self._transport.kubeconfig.endpoint if self._transport else str(self._path)

    async def certificates(self) -> list[Certificate]:
        """The cluster's authority and our client certificate, where the kubeconfig has them."""
        return (await self._connected()).certificates

    @property
    def list_encoding(self) -> str:
        """How lists are asked for: the kubeconfig's `disable-compression` has the last word."""
        transport = self._transport
        disabled = transport is not None and transport.kubeconfig.cluster.disable_compression
        return "identity" if disabled else self.settings.list_encoding

    async def _object(self, request: Request) -> dict[str, Any]:
        async with self._request(request) as reply:
            body = await reply.body()
        try:
            return msgspec.json.decode(body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UnreachableError(
                f"the answer to {request.method} {request.path} is not an object: {error}"
            ) from error

    @asynccontextmanager
    async def _request(self, request: Request) -> AsyncIterator[Reply]:
        async with AsyncExitStack() as stack:
            yield await self._answered(request, stack)

    async def _answered(self, request: Request, stack: AsyncExitStack) -> Reply:
        """The answer; after a 401 the credentials are loaded again once, and the request is sent once more, at once."""
        connect_seconds = self.settings.connect_seconds
        transport = await self._connected()
        try:
            return await stack.enter_async_context(transport.request(request, connect_seconds))
        except StatusError as error:
            if error.code != 401:
                raise
            refusal = error
        transport = await self._connected(refused=transport, refusal=refusal)
        try:
            return await stack.enter_async_context(transport.request(request, connect_seconds))
        except StatusError as error:
            raise self._refused(error, transport) if error.code == 401 else error from error

    def _refused(self, refusal: StatusError | None, transport: Transport) -> AuthError:
        said = f" ({refusal.message})" if refusal and refusal.message else ""
        return AuthError(
            f"the API server refuses the credentials of kubeconfig {self._path}{said}: replace them; "
            f"{transport.ends or 'a token or certificate may have expired'}"
        )

    async def _connected(self, refused: Transport | None = None, refusal: StatusError | None = None) -> Transport:
        """The transport to use now. `refused`: the one whose credentials were answered with 401."""
        if self._transport and self._transport is not refused and not _ends_soon(self._transport):
            return self._transport
        async with self._lock:
            held, now = self._transport, time.monotonic()
            if held and held is not refused and not _ends_soon(held):
                return held  # another request has renewed it meanwhile
            if refused and held is refused and now < self._reloaded_at + self.settings.reload_seconds:
                raise self._refused(refusal, refused)
            if refused:
                self._reloaded_at = now
            return await self._renewed(None if held is refused else held)

    async def _renewed(self, held: Transport | None) -> Transport:
        """A new transport, or the one held if there is no new one and it still serves."""
        try:
            if self._failure and time.monotonic() < self._failure[0]:
                raise self._failure[1]
            made = await self._made()
        except (KubeconfigError, AuthError) as error:
            if held is None or _has_ended(held):
                raise
            self._tell(error)
            return held
        await self._replace(made)
        return made

    async def _have_changed(self) -> bool:
        change = await self._in_thread(self._files.change)
        if change is None:
            return False
        await asyncio.sleep(self.settings.settle_seconds)
        return change == await self._in_thread(self._files.change)

    async def _take_up_files(self) -> None:
        async with self._lock:
            self._failure = None
            if self._transport is not None:
                try:
                    made = await self._made()
                except (KubeconfigError, AuthError) as error:
                    self._tell(error)
                    return
                logger.info(
                    "cluster %s: connecting anew, as kubeconfig %s or a file it names has changed",
                    self.name,
                    self._path,
                )
                await self._replace(made)
        self._changed.set()
        self._changed = asyncio.Event()

    async def _made(self) -> Transport:
        try:
            kubeconfig = await self._in_thread(self._files.read)
            found = await self._in_thread(lambda: written(kubeconfig))
            credentials = await obtain(kubeconfig, found, self.settings.credentials_seconds, self._thread)
            client = await self._in_thread(lambda: build_client(kubeconfig, credentials))
        except AuthError as error:
            self._failure = (time.monotonic() + self.settings.reload_seconds, error)
            raise
        return Transport(kubeconfig, credentials, client)

    async def _replace(self, made: Transport) -> None:
        retired, self._transport = self._transport, made
        self._failure = None
        self.trouble = None
        self.has_streaming_lists = True
        self._warn_of(made)
        if retired is None:
            return
        if retired.kubeconfig.cluster.server == made.kubeconfig.cluster.server:
            await retired.retire()
        else:
            await retired.close()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Run what blocks, under a time limit; a hung thread is left behind, and only one."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.settings.credentials_seconds):
                return await loop.run_in_executor(self._thread, work)
        except TimeoutError:
            raise KubeconfigError(
                f"reading kubeconfig {self._path} took longer than {self.settings.credentials_seconds:g} s"
            ) from None

    def _tell(self, error: KubeconfigError | AuthError) -> None:
        """Say, when it is new, that the earlier connection serves though there should be another."""
        trouble = Failure(classify(error).state, f"{error}; the earlier connection stays in use while it lasts")
        if trouble != self.trouble:
            self.trouble = trouble
            extra = {"cluster": self.name, "state": str(trouble.state), "reason": trouble.reason}
            logger.error("cluster %s: %s", self.name, trouble.reason, extra=extra)

    def _warn_of(self, transport: Transport) -> None:
        kubeconfig = transport.kubeconfig
        for certificate in transport.certificates:
            if certificate.kind == "client" and certificate.not_after - datetime.now(UTC) < WARN_BEFORE:
                self._warn_once(
                    f"the client certificate {certificate.subject} of kubeconfig {self._path} ends at "
                    f"{certificate.not_after:%Y-%m-%d %H:%M} UTC: replace it"
                )
        if kubeconfig.cluster.insecure_skip_tls_verify:
            self._warn_once(
                f"kubeconfig {self._path} has insecure-skip-tls-verify: anyone in between can read and change"
            )
        if kubeconfig.holds_secrets and (warning := readable_by_others(self._path)):
            self._warn_once(warning)

    def _warn_once(self, warning: str) -> None:
        if warning not in self._warned:
            self._warned.add(warning)
            logger.warning("cluster %s: %s", self.name, warning, extra={"cluster": self.name})


def _ends_soon(transport: Transport) -> bool:
    renew_at = transport.credentials.renew_at
    return renew_at is not None and datetime.now(UTC) >= renew_at


def _has_ended(transport: Transport) -> bool:
    expires_at = transport.credentials.expires_at
    return expires_at is not None and datetime.now(UTC) >= expires_at
