"""`summit-connect retire`: remove from the lists what no configuration declares any more.

A running watcher retires what is removed from its file, and clusters of its datacenters that were removed before it
started. This command is for a datacenter that was removed as a whole while no watcher ran: a watcher cannot know
whether another watcher declares it.
"""

import asyncio

from pydantic import SecretStr

from summit_models.contract import ClusterName, DatacenterId
from summit_runtime.nats.connection import bus
from summit_runtime.nats.connection.bus import EventClient
from summit_runtime.nats.connection.login import NO_FILES, Login
from summit_runtime.nats.publishing.publisher import publishing
from summit_standalone.commands.subscribe import connect
from summit_standalone.errors import StandaloneError
from summit_watcher.config.entries import IDENTIFIER_RULE, is_identifier
from summit_watcher.log import retirement
from summit_watcher.log.liveness import is_silent
from summit_watcher.settings import TIMES, WatcherTimes


async def retire(
    server: str, datacenter: str, cluster: str | None, times: WatcherTimes = TIMES, *, login: Login = NO_FILES
) -> list[str]:
    """Retire one cluster of a datacenter, or all and the datacenter itself; one sentence for each.

    Raises StandaloneError when there is nothing to retire, or a watcher still reports it.
    """
    await (await connect(server, asyncio.Event(), login)).close()  # fails at once without a server
    async with bus.connected(SecretStr(server), name="retire", login=login) as client:
        await client.clock.ask(client)
        id_ = DatacenterId(datacenter)
        names = await _chosen(client, id_, cluster, times)
        async with publishing(client) as publisher:
            vms = {name: await retirement.retire(client, publisher, id_, name) for name in names}
        retired = [f"cluster {name} (datacenter: {id_}) is retired with {count} VMs" for name, count in vms.items()]
        if cluster is None and await retirement.retire_empty(client, id_):
            retired.append(f"datacenter {id_} is retired")
        if not retired:
            raise StandaloneError(f"the log has no datacenter {datacenter!r} that is not retired")
        return retired


async def _chosen(
    client: EventClient, datacenter: DatacenterId, cluster: str | None, times: WatcherTimes
) -> list[ClusterName]:
    if not is_identifier(datacenter):  # `*` would be all
        raise StandaloneError(f"{datacenter!r} is not the id of a datacenter: {IDENTIFIER_RULE}")
    known = await retirement.unretired(client, datacenter)
    chosen = [name for name in known if cluster in (None, name)]
    if cluster and not chosen:
        raise StandaloneError(
            f"the log has no cluster {cluster!r} of datacenter {datacenter!r} that is not retired "
            f"(it has: {', '.join(known) or 'none'})"
        )
    for name in chosen:
        if not await is_silent(client, datacenter, name, times):
            raise StandaloneError(
                f"a watcher has reported cluster {name!r} within the last half minute: remove it from that watcher's "
                "datacenters.yaml, or stop the watcher and try again"
            )
    return chosen
