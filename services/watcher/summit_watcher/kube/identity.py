"""Which cluster answers? An address may lead to another one tomorrow: a restored backup, a load balancer, a mix-up.

The uid of the namespace kube-system is the identity of a cluster; where it may not be read, a digest of the server's
address and authority has to do. The log remembers it. Another identity than the one remembered means that nothing is
published and nothing deleted until an operator has decided: mend the address, or declare the new identity in
datacenters.yaml, with which a new history begins.
"""

import asyncio
import time

from summit_watcher.kube.access.kubeconfig import ADDRESS_IDENTITY
from summit_watcher.kube.connection import ClusterConnection
from summit_watcher.kube.errors import IdentityChangedError, ReplacedError

TRUSTED_SECONDS = 60.0
"""One question a minute for all list-watches of a cluster; after a failure it is asked again at once."""


class Identity:
    """The identity of one cluster: `known` is what the log remembers, `declared` what datacenters.yaml says."""

    def __init__(self, connection: ClusterConnection, known: str | None, declared: str | None) -> None:
        self.known = known
        self._connection = connection
        self._declared = declared
        self._asked_at = float("-inf")
        self._lock = asyncio.Lock()

    async def confirm(self, *, again: bool) -> None:
        """Make sure that the known cluster answers; `again`: something has failed since the last time.

        Raises IdentityChangedError if another one does, ReplacedError if that was declared, and what
        `ClusterConnection` raises.
        """
        called_at = time.monotonic()
        async with self._lock:
            if self._asked_at < (called_at if again else called_at - TRUSTED_SECONDS):
                asked_at = time.monotonic()
                self._judge(await self._connection.identity())
                self._asked_at = asked_at

    def _judge(self, found: str) -> None:
        if self._declared and found != self._declared:
            raise IdentityChangedError(
                f"another cluster than declared answers: its identity is {found}, and datacenters.yaml says "
                f"{self._declared}; mend the server in the kubeconfig, or the 'identity' of cluster "
                f"{self._connection.name!r}. Until then nothing is published or deleted"
            )
        if self.known is None or found == self.known:
            self.known = found
        elif self._declared:
            raise ReplacedError(found)
        elif _is_address(found) == _is_address(self.known):
            raise IdentityChangedError(
                f"another cluster answers: its identity is {found}, and so far it was {self.known}; mend the server "
                f"in the kubeconfig, or write 'identity: {found}' for cluster {self._connection.name!r} in "
                "datacenters.yaml, and the old one's VMs are taken as deleted. Until then nothing is published or "
                "deleted"
            )
        elif _is_address(self.known):
            self.known = found  # the right to read the namespace was granted


def _is_address(identity: str) -> bool:
    return identity.startswith(ADDRESS_IDENTITY)
