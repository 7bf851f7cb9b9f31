"""Declaring datacenters: the log takes over the configuration, and keeps what people have edited since.

Only a later change of the same field in the configuration undoes an edit. To see such a change, a datacenter that was
edited carries what was declared before (`Datacenter.declared`).
"""

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import ValidationError

from summit_models.contract import ClusterName, DatacenterId, Revision
from summit_models.datacenter import Datacenter, DatacenterValues
from summit_models.event import DatacenterEvent, datacenter_event
from summit_models.subject import datacenter_subject, datacenter_subjects
from summit_runtime.nats.connection.bus import EventClient
from summit_runtime.nats.publishing.append import Basis, append, append_until_stored
from summit_runtime.nats.streams.consumer import last_per_subject
from summit_watcher.config.datacenters import DatacenterConfig


class _Newest(NamedTuple):
    """The newest event of a datacenter; `datacenter` is None where there is none, or this version cannot read it."""

    datacenter: Datacenter | None = None
    revision: Revision = Revision(0)


async def declare(datacenters: Sequence[DatacenterConfig], client: EventClient) -> None:
    """Bring the log up to the configuration. Waits for NATS, and returns when all is stored."""
    await append_until_stored(lambda: _declare(datacenters, client), what="the configuration of the datacenters")


async def withdraw(datacenter: DatacenterId, cluster: ClusterName, client: EventClient) -> None:
    """Remove a cluster from its datacenter in the log. Waits for NATS, and returns when that is stored."""
    what = f"datacenter {datacenter} without cluster {cluster}"
    await append_until_stored(lambda: _withdraw(datacenter, cluster, client), what=what)


async def retire_datacenter(datacenter: DatacenterId, client: EventClient) -> bool:
    """Retire a datacenter in the log; False when it is unknown or retired already. Raises what `append` raises."""
    last, revision = (await _newest(client, datacenter_subject(datacenter))).get(datacenter, _Newest())
    if last is None or last.retired:
        return False
    gone = last.model_copy(update={"clusters": [], "retired": True})
    await _append(client, gone, revision)
    return True


async def _withdraw(datacenter: DatacenterId, cluster: ClusterName, client: EventClient) -> None:
    last, revision = (await _newest(client, datacenter_subject(datacenter))).get(datacenter, _Newest())
    if last and cluster in last.clusters:
        others = [name for name in last.clusters if name != cluster]
        await _append(client, last.model_copy(update={"clusters": others}), revision)


async def _declare(datacenters: Sequence[DatacenterConfig], client: EventClient) -> None:
    newest = await _newest(client, datacenter_subjects())
    for config in datacenters:
        last, revision = newest.get(config.id, _Newest())
        datacenter = declared(config, last)
        if datacenter != last:
            await _append(client, datacenter, revision)


def declared(config: DatacenterConfig, last: Datacenter | None) -> Datacenter:
    """The datacenter after the configuration and earlier edits: a field that changed in the configuration wins."""
    values = DatacenterValues(name=config.name, location=config.location, coordinates=config.coordinates)
    clusters = [cluster.name for cluster in config.clusters]
    if last is None:
        return Datacenter(id=config.id, clusters=clusters, **dict(values))
    before = last.declared or last.values
    edited = {
        field: getattr(last, field)
        for field in DatacenterValues.model_fields
        if getattr(values, field) == getattr(before, field)
    }
    here = last.model_copy(update={"clusters": clusters, "retired": False})
    return here.with_values(values.model_copy(update=edited), declared=values)


async def _newest(client: EventClient, subjects: str) -> dict[DatacenterId, _Newest]:
    found: dict[DatacenterId, _Newest] = {}
    async for message in last_per_subject(client, subjects):
        try:
            datacenter = DatacenterEvent.model_validate_json(message.body).data
        except ValidationError:
            datacenter = None
        found[DatacenterId(message.subject.rpartition(".")[2])] = _Newest(datacenter, Revision(message.sequence))
    return found


async def _append(client: EventClient, datacenter: Datacenter, revision: Revision) -> None:
    now = client.clock.now()
    event = datacenter_event(datacenter, version=now.isoformat(), time=now)
    await append(client, [event], Basis(datacenter_subject(datacenter.id), revision))
