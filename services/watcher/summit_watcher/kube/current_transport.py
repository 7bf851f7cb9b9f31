"""The transport to one cluster that is in use. A new one replaces it whenever that must be.

One mechanism serves every cause: the kubeconfig or a file that it names changed, the credentials end soon, or the
server refused them (401). The first to notice makes the new transport, and the others wait for it. New files are read
completely before anything is replaced; broken ones leave the old transport in use, and are reported. Running watches
stay on the old transport until they end, so that nothing is listed again; they end at once if the server's address is
another one.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from summit_models.contract import ClusterName
from summit_runtime.condition import Condition
from summit_runtime.own_thread import OwnThread
from summit_runtime.waiting import wait
from summit_runtime.watched_files import WatchedFiles
from summit_watcher.kube.access.certificates import WARN_BEFORE
from summit_watcher.kube.access.credentials import obtain, written
from summit_watcher.kube.access.kubeconfig_file import read_noted
from summit_watcher.kube.errors import AuthError, KubeconfigError, StatusError
from summit_watcher.kube.failure import Failure, classify
from summit_watcher.kube.transport import Source, Transport, prepare
from summit_watcher.settings import WatcherTimes

logger = logging.getLogger("summit.watcher")

T = TypeVar("T")


class CurrentTransport:
    """Made with the first request. `follow_files` replaces it when the files change."""

    def __init__(self, kubeconfig: Path, context: str | None, *, name: ClusterName, times: WatcherTimes) -> None:
        self.trouble: Failure | None = None
        """The defect of new files or credentials while the earlier ones are still in use."""
        self.transport: Transport | None = None
        self.renewed: Callable[[], None] = lambda: None
        """Called when another transport replaces one."""
        self.path = kubeconfig
        self._context = context
        self._name = name
        self._times = times
        # Its own thread: a file system or an identity provider that hangs must not take the threads of the others.
        self._thread = OwnThread(f"kubeconfig-{name}")
        self._files = WatchedFiles(self._thread, times.files)
        self._taken_up = asyncio.Event()
        """Set, and replaced by another, whenever files have changed."""
        self._lock = asyncio.Lock()
        self._reloaded_at = float("-inf")
        self._failure: tuple[float, AuthError] | None = None
        """The last failure to get credentials, and until when it stands."""
        self._unusable = Condition(logger, logging.ERROR)
        self._warned: set[str] = set()

    async def close(self) -> None:
        self._thread.end()
        if self.transport is not None:
            await self.transport.close()

    async def get(self) -> Transport:
        """The transport to use now. Raises KubeconfigError or AuthError if there is none."""
        if self.transport and not self.transport.credentials.end_soon:
            return self.transport
        async with self._lock:
            if self.transport and not self.transport.credentials.end_soon:
                return self.transport  # another request has renewed it meanwhile
            return await self._renewed(self.transport)

    async def after(self, refused: Transport, refusal: StatusError) -> Transport:
        """The transport to use after this one was answered with 401. Raises KubeconfigError or AuthError."""
        async with self._lock:
            if self.transport and self.transport is not refused:
                return self.transport
            now = time.monotonic()
            if now < self._reloaded_at + self._times.reload_seconds:
                raise refused.refused(refusal)
            self._reloaded_at = now
            return await self._renewed(None)

    async def follow_files(self) -> None:
        """Look at the kubeconfig and the files that it names, for ever, and use what has changed."""
        while True:
            await self._files.changed()
            async with self._lock:
                self._failure = None
                if self.transport is not None:
                    await self._reconnect()
            self._taken_up.set()
            self._taken_up = asyncio.Event()

    async def wait_for_files(self, seconds: float) -> None:
        """Wait, but no longer than until files have changed: they may correct what was wrong."""
        await wait(self._taken_up, seconds)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run what blocks, under a time limit. Raises KubeconfigError after it."""
        seconds = self._times.credentials_seconds
        try:
            return await self._thread.run(work, seconds)
        except TimeoutError:
            raise KubeconfigError(f"reading kubeconfig {self.path} took longer than {seconds:g} s") from None

    async def _reconnect(self) -> None:
        try:
            source = await self._read()
            if self.transport is not None and source == self.transport.source:
                self._recovered()  # another context of the file has changed, or a comment
                return
            made = await self._made(source)
        except (KubeconfigError, AuthError) as error:
            self._keep(error)
            return
        logger.info(
            "cluster %s: connecting again, as kubeconfig %s or a file that it names has changed", self._name, self.path
        )
        await self._replace(made)

    async def _renewed(self, held: Transport | None) -> Transport:
        """A new transport, or the one that is held if there is no new one and it can still be used."""
        try:
            if self._failure and time.monotonic() < self._failure[0]:
                raise self._failure[1]
            made = await self._made(await self._read())
        except (KubeconfigError, AuthError) as error:
            if held is None or held.credentials.have_ended:
                raise
            self._keep(error)
            return held
        await self._replace(made)
        return made

    async def _read(self) -> Source:
        """What the files say now."""

        def read() -> Source:
            kubeconfig = read_noted(self._files, self.path, self._context)
            return Source(kubeconfig, written(kubeconfig), kubeconfig.authority())

        return await self.in_thread(read)

    async def _made(self, source: Source) -> Transport:
        try:
            credentials = await obtain(
                source.kubeconfig, source.credentials, self._times.credentials_seconds, self._thread
            )
            connecting = await self.in_thread(lambda: prepare(source, credentials))
        except AuthError as error:
            self._failure = (time.monotonic() + self._times.reload_seconds, error)
            raise
        return Transport(connecting)

    async def _replace(self, made: Transport) -> None:
        earlier, self.transport = self.transport, made
        self._recovered()
        for warning in (*made.kubeconfig.warnings, *_ending(made)):
            if warning not in self._warned:
                self._warned.add(warning)
                logger.warning("cluster %s: %s", self._name, warning, extra={"cluster": self._name})
        if earlier is None:
            return
        self.renewed()
        if earlier.kubeconfig.url == made.kubeconfig.url:
            await earlier.retire()
        else:
            await earlier.close()

    def _recovered(self) -> None:
        self._failure = None
        self.trouble = None
        self._unusable.ends("cluster %s: kubeconfig %s can be used again", self._name, self.path)

    def _keep(self, error: KubeconfigError | AuthError) -> None:
        """Report that the earlier transport is used though there should be another one."""
        self.trouble = Failure(classify(error).state, f"{error}; the earlier connection stays in use while it lasts")
        extra = {"cluster": self._name, "state": str(self.trouble.state), "reason": self.trouble.reason}
        self._unusable.holds("cluster %s: %s", self._name, self.trouble.reason, cause=self.trouble, extra=extra)


def _ending(transport: Transport) -> list[str]:
    """A warning if the client certificate ends within days."""
    return [
        f"kubeconfig {transport.kubeconfig.path}: {certificate}: replace it"
        for certificate in transport.certificates
        if certificate.kind == "client" and certificate.not_after - datetime.now(UTC) < WARN_BEFORE
    ]
