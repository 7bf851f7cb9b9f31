"""Which cluster answers? An address may lead to another one tomorrow: a restored backup, a load balancer, a mistake.

The uid of the namespace kube-system identifies a cluster. Where we may not read it, a digest of the server's address
and authority does. The log remembers it. If another cluster answers, nothing is published or deleted until an operator
has decided: correct the address, or declare the new identity in datacenters.yaml, which begins a new history.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Iterable, Mapping

from summit_models.contract import ClusterName
from summit_watcher.kube.access.kubeconfig import ADDRESS_IDENTITY
from summit_watcher.kube.connection import ClusterConnection
from summit_watcher.kube.errors import DuplicateError, IdentityChangedError, ReplacedError, WatcherError

TRUSTED_SECONDS = 60.0
"""All list-watches of a cluster cost one question a minute; after a failure it is asked again at once."""


class Identities:
    """Which declared cluster is which, so that one that is declared twice is watched once, under its first name."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self._found: dict[ClusterName, str | None] = {}
        """In the order of the file. None: nothing is known yet."""
        self._tried: set[ClusterName] = set()

    def declare(self, clusters: Iterable[ClusterName], known: Mapping[ClusterName, str]) -> None:
        """Note the clusters in the order of the file, and what the log knows of those that are new here."""
        self._found = {name: self._found.get(name) or known.get(name) for name in clusters}
        self._tried &= self._found.keys()
        self._notify()

    def note(self, name: ClusterName, identity: str | None) -> None:
        """Note which cluster has answered; None: none has, so that others need not wait for it."""
        self._tried.add(name)
        if name in self._found:
            self._found[name] = identity or self._found[name]
        self._notify()

    def first_of(self, name: ClusterName) -> ClusterName | None:
        """The name of the same cluster that is declared before this one, if there is one."""
        identity = self._found.get(name)
        first = next((other for other, found in self._found.items() if found and found == identity), name)
        return None if first == name else first

    async def settled(self, name: ClusterName, patience_seconds: float) -> None:
        """Wait until it is known which clusters are declared before a new one, or cannot be known for now."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_seconds):
                while self._is_waited_for(name):
                    await self._changed.wait()

    def _is_waited_for(self, name: ClusterName) -> bool:
        """Whether one of those before it has neither an identity nor failed to show one."""
        before = itertools.takewhile(lambda other: other != name, self._found)
        return name in self._found and any(not self._found[o] and o not in self._tried for o in before)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Identity:
    """The identity of one cluster: `known` is the one in the log, `declared` the one in datacenters.yaml."""

    def __init__(
        self,
        connection: ClusterConnection,
        identities: Identities,
        known: str | None,
        declared: str | None,
        *,
        patience_seconds: float,
        found: Callable[[], None],
    ) -> None:
        """`found` is called when it is known which cluster answers, before anybody waits for the others."""
        self.known = known
        self._on_found = found
        self._identities = identities
        self._patience_seconds = patience_seconds
        self._connection = connection
        self._declared = declared
        self._asked_at = float("-inf")
        self._lock = asyncio.Lock()

    async def confirm(self, *, again: bool) -> None:
        """Make sure that the known cluster answers. `again`: a request has failed since the last time.

        Raises IdentityChangedError if another one answers, ReplacedError if that was declared, DuplicateError if the
        same one is declared before, and the errors of `ClusterConnection`.
        """
        called_at = time.monotonic()
        async with self._lock:
            if self._asked_at < (called_at if again else called_at - TRUSTED_SECONDS):
                asked_at = time.monotonic()
                await self._ask()
                self._asked_at = asked_at
            if first := self.duplicate_of:
                raise DuplicateError(first, self.known or "")

    @property
    def duplicate_of(self) -> ClusterName | None:
        """The name under which the same cluster is watched."""
        return self._identities.first_of(self._connection.name)

    async def _ask(self) -> None:
        name, is_new = self._connection.name, self.known is None
        try:
            self._compare(await self._connection.identity())
        except WatcherError:
            self._identities.note(name, None)
            raise
        self._identities.note(name, self.known)
        if is_new:
            self._on_found()
            await self._identities.settled(name, self._patience_seconds)

    def _compare(self, found: str) -> None:
        if self._declared and found != self._declared:
            raise IdentityChangedError(
                f"another cluster than declared answers: its identity is {found}, and datacenters.yaml says "
                f"{self._declared}; correct the server in the kubeconfig, or the 'identity' of cluster "
                f"{self._connection.name!r}. Until then nothing is published or deleted"
            )
        if self.known is None or found == self.known:
            self.known = found
        elif self._declared:
            raise ReplacedError(found)
        elif _is_address(found) == _is_address(self.known):
            raise IdentityChangedError(
                f"another cluster answers: its identity is {found}, and so far it was {self.known}; correct the server "
                f"in the kubeconfig, or write 'identity: {found}' for cluster {self._connection.name!r} in "
                "datacenters.yaml, which deletes the old one's VMs. Until then nothing is published or deleted"
            )
        elif _is_address(self.known):
            self.known = found  # we may read the namespace now


def _is_address(identity: str) -> bool:
    return identity.startswith(ADDRESS_IDENTITY)
