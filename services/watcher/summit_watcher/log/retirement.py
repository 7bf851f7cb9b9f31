"""Retiring a cluster: the log gets a delete of each of its VMs and migrations, and then the cluster's own last event.

A cluster is retired when somebody removes it from the configuration, and never because it cannot be reached. At start
the watcher finds clusters that the log has and the configuration does not declare, so a cluster may also be removed
while no watcher runs. History stays. A cluster that is declared again is shown again: its next epoch is above that of
the retirement.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime

from summit_models.cluster import ClusterHealth, ConnectionState
from summit_models.contract import ClusterName, DatacenterId
from summit_models.watcher import Place
from summit_runtime.nats.connection.bus import EventClient
from summit_runtime.nats.publishing.append import append_until_stored
from summit_runtime.nats.publishing.publisher import Publisher
from summit_runtime.nats.streams import heartbeats
from summit_watcher.config.datacenters import DatacenterConfig
from summit_watcher.inventory.diff import Outgoing, deleted
from summit_watcher.inventory.kinds import KINDS
from summit_watcher.inventory.published import Published
from summit_watcher.log.datacenters import retire_datacenter, withdraw
from summit_watcher.log.epoch import (
    NO_EVENT,
    RETIRED,
    ClusterEvents,
    Epoch,
    EpochLostError,
    SupersededError,
    newest_events,
)
from summit_watcher.log.liveness import is_silent, until_silent
from summit_watcher.log.recovery import begin, read_back
from summit_watcher.settings import WatcherTimes

logger = logging.getLogger("summit.watcher")

AT_ONCE = 8
"""Retirements side by side: each waits for NATS most of its time, and the watched clusters need their turns as well."""
REASON = "the configuration does not declare it any more"
_STILL_WATCHED = (
    "cluster %s of datacenter %s is not declared here, but a watcher has it: it is retired when no watcher has it"
)


Alone = Callable[[Place], AbstractAsyncContextManager[bool]]
"""Has the lease of a cluster for the length of a block; False where another watcher has it."""


async def retire_undeclared(
    client: EventClient,
    publisher: Publisher,
    datacenters: Sequence[DatacenterConfig],
    alone: Alone,
    times: WatcherTimes,
) -> None:
    """Retire each cluster that the log has in these datacenters and they do not declare, once no watcher has it."""
    slots = asyncio.Semaphore(AT_ONCE)
    declared = {cluster.name for datacenter in datacenters for cluster in datacenter.clusters}

    async def retire_free(place: Place) -> None:
        # A cluster that has moved to another datacenter may be retired here at once: no other file declares it here.
        if place.cluster not in declared:
            await _silent(client, place, times)
        while await _is_unretired(client, place):
            async with slots, alone(place) as is_free:
                if is_free:
                    await retire(client, publisher, place.datacenter, place.cluster)
                    return
            await asyncio.sleep(times.listen_seconds)

    async with asyncio.TaskGroup() as tasks:
        for place in await _undeclared(client, datacenters):
            tasks.create_task(retire_free(place))


async def _silent(client: EventClient, place: Place, times: WatcherTimes) -> None:
    """Wait until no watcher reports the cluster, and log once that one does, unless that one is about to retire it."""
    if await is_silent(client, place.datacenter, place.cluster, times):
        return
    await asyncio.sleep(times.undeclared_seconds)
    if await _is_unretired(client, place):
        context = {"cluster": place.cluster, "datacenter": place.datacenter}
        logger.warning(_STILL_WATCHED, place.cluster, place.datacenter, extra=context)
    await until_silent(client, place.datacenter, place.cluster, times)


async def _is_unretired(client: EventClient, place: Place) -> bool:
    return place.cluster in await unretired(client, place.datacenter)


async def _undeclared(client: EventClient, datacenters: Sequence[DatacenterConfig]) -> list[Place]:
    return [
        Place(datacenter.id, name)
        for datacenter in datacenters
        for name in await unretired(client, datacenter.id)
        if name not in {cluster.name for cluster in datacenter.clusters}
    ]


async def unretired(client: EventClient, datacenter: DatacenterId) -> list[ClusterName]:
    """The names of the clusters that the log has in a datacenter and that are not retired, in order."""
    newest = await newest_events(client, datacenter=datacenter)
    return sorted(name for (_, name), event in newest.items() if event.type != RETIRED)


async def retire(client: EventClient, publisher: Publisher, datacenter: DatacenterId, cluster: ClusterName) -> int:
    """Retire a cluster, and return how many VMs it had. All is stored when this returns.

    A cluster that is watched in another datacenter by now keeps its epoch, since its VMs there have a later one.
    """
    epoch, published = await _under_epoch(client, publisher, datacenter, cluster)
    vms = len(published.of("vms"))
    for event in _deletes(published, client.clock.now()):
        await publisher.publish(event.subject, event.body, event.id)
    now, state = client.clock.now(), ConnectionState.RETIRED
    # It has no identity, since another cluster may have the name next.
    health = ClusterHealth(name=cluster, datacenter=datacenter, state=state, since=now, reason=REASON)
    await publisher.cluster_queue(datacenter, cluster).flush()
    try:
        own_events = ClusterEvents(client, epoch)
        await append_until_stored(lambda: own_events.publish(health), what=f"the retirement of cluster {cluster}")
    except (EpochLostError, SupersededError) as error:
        logger.warning(
            "cluster %s of datacenter %s is not retired: %s", cluster, datacenter, error, extra={"cluster": cluster}
        )
        return 0
    await withdraw(datacenter, cluster, client)
    await heartbeats.delete(client, datacenter, cluster)
    context = {"cluster": cluster, "datacenter": datacenter, "state": str(ConnectionState.RETIRED)}
    logger.info(
        "cluster %s (datacenter: %s) is retired with %d VMs: %s", cluster, datacenter, vms, REASON, extra=context
    )
    return vms


async def retire_empty(client: EventClient, datacenter: DatacenterId) -> bool:
    """Retire a datacenter that is not declared any more, unless it still has clusters; return whether it was retired.

    VMs that were added to it by hand stay, and the datacenter is shown as long as there are any.
    """
    what = f"the retirement of datacenter {datacenter}"
    retired = await append_until_stored(lambda: _retire_empty(client, datacenter), what=what)
    if retired:
        logger.info("datacenter %s is retired: %s", datacenter, REASON, extra={"datacenter": datacenter})
    return retired


async def _retire_empty(client: EventClient, datacenter: DatacenterId) -> bool:
    return not await unretired(client, datacenter) and await retire_datacenter(datacenter, client)


async def _under_epoch(
    client: EventClient, publisher: Publisher, datacenter: DatacenterId, cluster: ClusterName
) -> tuple[Epoch, Published]:
    """The epoch to retire the cluster under, and what was published of it."""
    newest = await newest_events(client, cluster=cluster)
    here = newest.pop(Place(datacenter, cluster), NO_EVENT)
    if any(elsewhere.epoch > here.epoch for elsewhere in newest.values()):
        epoch = Epoch(datacenter, cluster, here.epoch, here.epoch, began=here.began)
        published = Published(datacenter, cluster, epoch=here.epoch, history=here.epoch)
        await read_back(published, client)
        return epoch, published
    return await begin(client, publisher, datacenter, cluster)


def _deletes(published: Published, now: datetime) -> Iterator[Outgoing]:
    """A delete of each object that was published."""
    for kind in KINDS:
        for uid in list(published.of(kind.collection)):
            if event := deleted(published, kind, uid, 0, now, by_comparison=True):
                yield event
