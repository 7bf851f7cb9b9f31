"""The connection to one cluster, which all its list-watches share."""

import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import msgspec

from summit_models.contract import ClusterName
from summit_watcher.kube.access.certificates import Certificate
from summit_watcher.kube.bounds import OBJECT_BYTES, UID_CHARACTERS, one_line
from summit_watcher.kube.current_transport import CurrentTransport
from summit_watcher.kube.errors import UNREADABLE, StatusError, UnreachableError, WatcherError
from summit_watcher.kube.failure import Failure
from summit_watcher.kube.reply import Reply
from summit_watcher.kube.transport import Change, Request, Timeouts
from summit_watcher.settings import TIMES, WatcherTimes

logger = logging.getLogger("summit.watcher")

SHORT = Timeouts(idle_seconds=10, total_seconds=30)
"""For single objects and reviews."""


class ClusterConnection:
    """Requests to one cluster. Connects with the first one, and again whenever that must be (see `CurrentTransport`).

    All requests raise KubeconfigError, AuthError, TlsError, UnreachableError, LostError or StatusError.
    """

    def __init__(
        self, kubeconfig: Path, context: str | None = None, *, name: ClusterName, times: WatcherTimes = TIMES
    ) -> None:
        self.name = name
        self._current = CurrentTransport(kubeconfig, context, name=name, times=times)
        self._connect_seconds = times.connect_seconds
        self._avoid_streaming_seconds = times.avoid_streaming_seconds
        self._streaming_lists_at = float("-inf")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._current.close()

    def get(
        self, path: str, params: Mapping[str, str | int] | None = None, *, timeouts: Timeouts = SHORT
    ) -> AbstractAsyncContextManager[Reply]:
        """Hold the answer to a GET open while the block runs."""
        return self._request(Request("GET", path, timeouts, params or {}))

    async def get_object(self, path: str) -> dict[str, Any]:
        return await self._object(Request("GET", path, SHORT))

    async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object, such as a SelfSubjectAccessReview, and return the server's answer."""
        return await self._object(Request("POST", path, SHORT, body=body))

    async def change(self, change: Change) -> None:
        """Send a request that changes the cluster, once; its answer is its code.

        It was not executed after NotConnectedError, KubeconfigError, AuthError or StatusError (but see the code: a
        proxy may answer so, too). After any other error it may have been.
        """
        request = Request(
            change.method, change.path, SHORT, change.params, change.body, change.content_type, reads_answer=False
        )
        async with self._request(request):
            pass

    async def follow_files(self) -> None:
        """Look at the kubeconfig and the files that it names, for ever, and use what has changed."""
        await self._current.follow_files()

    def when_renewed(self, renewed: Callable[[], None]) -> None:
        """Call this whenever other credentials, or another server, are in use from now on."""
        self._current.renewed = renewed

    async def pause(self, seconds: float) -> None:
        """Wait before another attempt, but no longer than until files have changed."""
        await self._current.wait_for_files(seconds)

    @property
    def trouble(self) -> Failure | None:
        """The defect of new files or credentials while the earlier ones are still in use."""
        return self._current.trouble

    @property
    def has_streaming_lists(self) -> bool:
        """Whether no streaming list has failed lately."""
        return time.monotonic() >= self._streaming_lists_at

    def avoid_streaming_lists(self, error: WatcherError) -> None:
        """Remember for a while that one has failed: all list-watches share the server, and what stands before it."""
        if self.has_streaming_lists:
            logger.info("cluster %s: lists come in pages, as streaming has failed: %s", self.name, error)
        self._streaming_lists_at = time.monotonic() + self._avoid_streaming_seconds

    async def server_version(self) -> str:
        """The API server's version, for example "v1.34.1"."""
        return _version(await self.get_object("/version")) or "unknown"

    async def kubevirt_version(self) -> str | None:
        """KubeVirt's version, for example "v1.8.0"; None where there is none, or we may not ask."""
        try:
            return _version(await self.get_object("/apis/subresources.kubevirt.io/v1/version"))
        except StatusError as error:
            if error.code not in (403, 404):
                raise
            return None

    @property
    def credentials_expire_at(self) -> datetime | None:
        """When our token or client certificate ends, where that is known."""
        transport = self._current.transport
        return transport.credentials_expire_at if transport else None

    async def identity(self) -> str:
        """The uid of the namespace kube-system, which identifies a cluster whatever its address is.

        Where we may not read it: a digest of the server's address and authority, since nothing else is known.
        """
        try:
            namespace = await self.get_object("/api/v1/namespaces/kube-system")
        except StatusError as error:
            if error.code not in (403, 404):
                raise
            return await self._current.in_thread((await self._current.get()).kubeconfig.address_identity)
        uid = namespace["metadata"].get("uid") if isinstance(namespace.get("metadata"), dict) else None
        if not isinstance(uid, str) or len(uid) > UID_CHARACTERS or one_line(uid) != uid:
            raise UnreachableError(f"{self._endpoint} answers JSON, but not as a Kubernetes API does")
        return uid

    @property
    def _endpoint(self) -> str:
        transport = self._current.transport
        return transport.kubeconfig.endpoint if transport else str(self._current.path)

    async def certificates(self) -> list[Certificate]:
        """The certificates of the cluster's authority, and our own, where the kubeconfig has them.

        After the first answer also the server's.
        """
        transport = await self._current.get()
        server = transport.server_certificate
        return [*transport.certificates, *((server,) if server else ())]

    async def warnings(self) -> Sequence[str]:
        """Risks of the kubeconfig, and how to end them."""
        kubeconfig = (await self._current.get()).kubeconfig
        return await self._current.in_thread(lambda: kubeconfig.warnings)

    async def _object(self, request: Request) -> dict[str, Any]:
        async with self._request(request) as reply:
            body = await reply.body(OBJECT_BYTES)
        try:
            return msgspec.json.decode(body, type=dict[str, Any])
        except UNREADABLE as error:
            raise UnreachableError(
                f"the answer to {request.method} {request.path} is not an object: {error}"
            ) from error

    @asynccontextmanager
    async def _request(self, request: Request) -> AsyncIterator[Reply]:
        async with AsyncExitStack() as stack:
            yield await self._answered(request, stack)

    async def _answered(self, request: Request, stack: AsyncExitStack) -> Reply:
        """The answer. After a 401 the credentials are loaded again once, and the request is sent once more, at once."""
        transport = await self._current.get()
        try:
            return await stack.enter_async_context(transport.request(request, self._connect_seconds))
        except StatusError as error:
            if error.code != 401:
                raise
            refusal = error
        transport = await self._current.after(transport, refusal)
        try:
            return await stack.enter_async_context(transport.request(request, self._connect_seconds))
        except StatusError as error:
            raise transport.refused(error) if error.code == 401 else error from error


def _version(answer: Mapping[str, Any]) -> str | None:
    version = answer.get("gitVersion")
    return (one_line(version) or None) if isinstance(version, str) else None
