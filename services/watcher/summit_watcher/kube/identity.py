"""Which cluster answers? An address may lead to another one tomorrow: a restored backup, a load balancer, a mistake.

The uid of the namespace kube-system identifies a cluster. Where we may not read it, a digest of the server's address
and authority does. The log remembers it. If another cluster answers, nothing is published or deleted until an operator
has decided: correct the address, or declare the new identity in datacenters.yaml, which begins a new history.
"""

import asyncio
import time

from summit_watcher.kube.access.kubeconfig import ADDRESS_IDENTITY
from summit_watcher.kube.connection import ClusterConnection
from summit_watcher.kube.errors import IdentityChangedError, ReplacedError

TRUSTED_SECONDS = 60.0
"""All list-watches of a cluster cost one question a minute; after a failure it is asked again at once."""


class Identity:
    """The identity of one cluster: `known` is the one in the log, `declared` the one in datacenters.yaml."""

    def __init__(self, connection: ClusterConnection, known: str | None, declared: str | None) -> None:
        self.known = known
        self._connection = connection
        self._declared = declared
        self._asked_at = float("-inf")
        self._lock = asyncio.Lock()

    async def confirm(self, *, again: bool) -> None:
        """Make sure that the known cluster answers. `again`: a request has failed since the last time.

        Raises IdentityChangedError if another one answers, ReplacedError if that was declared, and the errors of
        `ClusterConnection`.
        """
        called_at = time.monotonic()
        async with self._lock:
            if self._asked_at < (called_at if again else called_at - TRUSTED_SECONDS):
                asked_at = time.monotonic()
                self._compare(await self._connection.identity())
                self._asked_at = asked_at

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
