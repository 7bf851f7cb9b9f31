"""`summit-connect retire`: take clusters out of the lists that no configuration declares any more.

A watcher retires what is removed from a datacenter of its file by itself. This is for a datacenter that was removed
as a whole while no watcher ran: none can tell it from one that another watcher's file declares.
"""

import asyncio
from typing import NamedTuple

from nats.aio.client import Client
from pydantic import SecretStr

from summit_models.contract import ClusterName, DatacenterId
from summit_runtime import bus
from summit_runtime.publisher import publishing
from summit_standalone.errors import StandaloneError
from summit_standalone.subscribe import connect
from summit_watcher.config import IDENTIFIER_RULE, is_identifier
from summit_watcher.retirement import retire, unretired
from summit_watcher.silence import is_silent


class Retired(NamedTuple):
    cluster: ClusterName
    vms: int


async def retire_clusters(server: str, datacenter: str, cluster: str | None) -> list[Retired]:
    """Retire one cluster of a datacenter, or all. Raises StandaloneError when there is none, or one is watched."""
    await (await connect(server, asyncio.Event())).close()  # fails at once where no server is; the next one would wait
    client = await bus.connect(SecretStr(server), name="retire")
    try:
        names = await _chosen(client, DatacenterId(datacenter), cluster)
        async with publishing(client) as publisher:
            return [Retired(name, await retire(client, publisher, DatacenterId(datacenter), name)) for name in names]
    finally:
        await bus.close(client)


async def _chosen(client: Client, datacenter: DatacenterId, cluster: str | None) -> list[ClusterName]:
    if not is_identifier(datacenter):  # `*` would be all
        raise StandaloneError(f"{datacenter!r} is not the id of a datacenter: {IDENTIFIER_RULE}")
    known = await unretired(client, datacenter)
    chosen = [name for name in known if cluster in (None, name)]
    if not known:
        raise StandaloneError(f"the log has no cluster of datacenter {datacenter!r} that is not retired")
    if not chosen:
        raise StandaloneError(
            f"the log has no cluster {cluster!r} of datacenter {datacenter!r} (it has: {', '.join(known)})"
        )
    for name in chosen:
        if not await is_silent(client, datacenter, name):
            raise StandaloneError(
                f"a watcher has spoken of cluster {name!r} within the last half minute: remove it from that watcher's "
                "datacenters.yaml, or stop the watcher and try again"
            )
    return chosen
