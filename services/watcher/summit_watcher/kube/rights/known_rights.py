"""Which actions the credentials of a cluster allow, kept up to date while it is watched.

A right may be granted in all namespaces or in some (by a RoleBinding). An action counts as allowed if it is in at least
one namespace that has VMs: so nothing is refused beforehand that the cluster might allow, and what it does not allow in
another namespace, it refuses itself.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence

from summit_models.operation import Action
from summit_runtime.backoff import Backoff
from summit_runtime.waiting import wait
from summit_watcher.kube.connection import ClusterConnection
from summit_watcher.kube.errors import StatusError, WatcherError
from summit_watcher.kube.rights.reviews import NO_REVIEWS, allowed_in
from summit_watcher.settings import WatcherTimes

logger = logging.getLogger("summit.watcher")

NAMESPACES = 200
"""Namespaces that one review looks at, of those with VMs. In a cluster with more, rights in few of them stay unknown,
rather than that thousands of questions are asked for an answer that the cluster gives by itself."""
WITHOUT_VMS = ("default",)
"""Where to look while there are no VMs: rights in all namespaces show in any."""

Actions = frozenset[Action]
_ALL = Actions(Action)


class KnownRights:
    """The rights in one cluster while `follow` runs."""

    def __init__(
        self,
        connection: ClusterConnection,
        namespaces: Callable[[], Sequence[str] | None],
        times: WatcherTimes,
        changed: Callable[[], None],
    ) -> None:
        """`namespaces` are those with VMs, None while these are not known. `changed` is called when `may` changes."""
        self.may: Actions | None = None
        """The actions that are allowed; None where that is not known, as the cluster answers no reviews."""
        self._connection, self._namespaces, self._times, self._changed = connection, namespaces, times, changed
        self._again = asyncio.Event()
        self._looked_at: dict[str, float] = {}
        connection.when_renewed(self.review_again)

    def review_again(self) -> None:
        """Review at once: the credentials are others, or the cluster has refused what it was thought to allow."""
        self._again.set()

    async def follow(self) -> None:
        """Review now and then, for ever."""
        backoff = Backoff(*self._times.retry)
        while True:
            namespaces = self._namespaces()
            if namespaces is None:
                await asyncio.sleep(self._times.progress_seconds)
                continue
            self._again.clear()
            try:
                self._note(await self._reviewed(namespaces or WITHOUT_VMS))
            except WatcherError as error:
                logger.debug("cluster %s: its rights are not known: %s", self._connection.name, error)
                await asyncio.sleep(backoff.next_seconds())
                continue
            backoff.reset()
            await self._until_due()

    async def _reviewed(self, namespaces: Sequence[str]) -> Actions | None:
        found = Actions()
        try:
            for namespace in namespaces[:NAMESPACES]:
                found |= await self._look(namespace, _ALL - found)
                if found == _ALL:
                    return found
                await asyncio.sleep(self._times.review_pause_seconds)
        except StatusError as error:
            if error.code in NO_REVIEWS:
                return None
            raise
        return found if len(namespaces) <= NAMESPACES else None

    async def _until_due(self) -> None:
        """Wait until the next review, for a moment at least.

        Meanwhile look whether what is missing was granted, a namespace at a time.
        """
        due_at = time.monotonic() + self._times.review_seconds
        await asyncio.sleep(self._times.review_rest_seconds)
        while (rest := due_at - time.monotonic()) > 0:
            may = self.may
            missing = Actions() if may is None else _ALL - may
            if await wait(self._again, min(rest, self._times.granted_seconds) if missing else rest):
                return
            if may is not None and missing:
                with contextlib.suppress(WatcherError):
                    self._note(may | await self._look(self._next_namespace(), missing))

    async def _look(self, namespace: str, actions: Actions) -> Actions:
        self._looked_at[namespace] = time.monotonic()
        return await allowed_in(self._connection, namespace, actions)

    def _next_namespace(self) -> str:
        """One that is new, else the one that was looked at first."""
        namespaces = self._namespaces() or WITHOUT_VMS
        self._looked_at = {name: at for name, at in self._looked_at.items() if name in namespaces}
        return min(namespaces, key=lambda name: self._looked_at.get(name, 0.0))

    def _note(self, may: Actions | None) -> None:
        if may != self.may:
            self.may = may
            self._changed()
