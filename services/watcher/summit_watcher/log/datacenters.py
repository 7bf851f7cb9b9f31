"""Declaring datacenters: the log is told what the configuration says, and what people have edited since stays.

An edit is undone only by a later change of the very field in the configuration. To see such a change, a datacenter
that was edited carries what was declared before (`Datacenter.declared`).
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from nats.aio.client import Client
from pydantic import ValidationError

from summit_models.contract import ClusterName, DatacenterId, Revision
from summit_models.datacenter import Datacenter, DatacenterValues
from summit_models.event import DatacenterEvent, datacenter_event
from summit_models.subject import datacenter_subject
from summit_runtime.nats.append import Basis, append, append_until_stored
from summit_runtime.nats.consumer import StreamMessage, last_per_subject
from summit_watcher.config.datacenters import DatacenterConfig


class Said(NamedTuple):
    """The newest event of a datacenter in the log; `datacenter` is None where this version cannot read it."""

    datacenter: Datacenter | None
    revision: Revision


NOTHING = Said(None, Revision(0))


async def declare(datacenters: Sequence[DatacenterConfig], client: Client) -> None:
    """Bring the log to what the configuration says, and return when it is; waits for NATS as long as it takes."""
    await append_until_stored(lambda: _declare(datacenters, client), what="the configuration of the datacenters")


async def withdraw(datacenter: DatacenterId, cluster: ClusterName, client: Client) -> None:
    """Take a cluster out of what the log says of its datacenter; waits for NATS as long as it takes."""
    what = f"datacenter {datacenter} without cluster {cluster}"
    await append_until_stored(lambda: _withdraw(datacenter, cluster, client), what=what)


async def retire_datacenter(datacenter: DatacenterId, client: Client) -> bool:
    """Tell that a datacenter is not declared any more, and whether that is news. Raises what `append` raises."""
    subject = datacenter_subject(datacenter)
    said = [_said(message) async for message in last_per_subject(client, subject)][-1:]
    for last, revision in said:
        if last and not last.retired:
            gone = last.model_copy(update={"clusters": [], "retired": True})
            await append(client, [_event(gone)], Basis(subject, revision))
            return True
    return False


async def _withdraw(datacenter: DatacenterId, cluster: ClusterName, client: Client) -> None:
    subject = datacenter_subject(datacenter)
    said = [_said(message) async for message in last_per_subject(client, subject)][-1:]
    for last, revision in said:
        if last and cluster in last.clusters:
            left = [name for name in last.clusters if name != cluster]
            await append(client, [_event(last.model_copy(update={"clusters": left}))], Basis(subject, revision))


async def _declare(datacenters: Sequence[DatacenterConfig], client: Client) -> None:
    log = {message.subject: _said(message) async for message in last_per_subject(client, "summit.datacenters.*")}
    for config in datacenters:
        subject = datacenter_subject(config.id)
        said = log.get(subject, NOTHING)
        datacenter = declared(config, said.datacenter)
        if datacenter != said.datacenter:
            await append(client, [_event(datacenter)], Basis(subject, said.revision))


def declared(config: DatacenterConfig, said: Datacenter | None) -> Datacenter:
    """The datacenter as the configuration and earlier edits make it: a changed field is the configuration's again."""
    values = DatacenterValues(name=config.name, location=config.location, coordinates=config.coordinates)
    clusters = [cluster.name for cluster in config.clusters]
    if said is None:
        return Datacenter(id=config.id, clusters=clusters, **dict(values))
    before = said.declared or said.values
    edited = {
        field: getattr(said, field)
        for field in DatacenterValues.model_fields
        if getattr(values, field) == getattr(before, field)
    }
    here = said.model_copy(update={"clusters": clusters, "retired": False})
    return here.with_values(values.model_copy(update=edited), declared=values)


def _said(message: StreamMessage) -> Said:
    try:
        datacenter = DatacenterEvent.model_validate_json(message.body).data
    except ValidationError:
        datacenter = None
    return Said(datacenter, Revision(message.sequence))


def _event(datacenter: Datacenter) -> DatacenterEvent:
    now = datetime.now(UTC)
    return datacenter_event(datacenter, version=now.isoformat(), time=now)
