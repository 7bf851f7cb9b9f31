"""Declaring datacenters: the log is told what the configuration says, and what people have edited since stays.

An edit is undone only by a later change of the very field in the configuration. To see such a change, a datacenter
that was edited carries what was declared before (`Datacenter.declared`).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

from nats.aio.client import Client
from nats.errors import Error as NatsError
from pydantic import ValidationError

from summit_models.contract import ClusterName, DatacenterId, Revision
from summit_models.datacenter import Datacenter, DatacenterValues
from summit_models.event import DatacenterEvent, datacenter_event, datacenter_subject
from summit_runtime.backoff import Backoff
from summit_runtime.nats.append import Basis, ConflictError, NotStoredError, append
from summit_runtime.nats.consumer import StreamMessage, last_per_subject
from summit_watcher.config.datacenters import DatacenterConfig

logger = logging.getLogger("summit.watcher")


T = TypeVar("T")


class Said(NamedTuple):
    """The newest event of a datacenter in the log; `datacenter` is None where this version cannot read it."""

    datacenter: Datacenter | None
    revision: Revision


NOTHING = Said(None, Revision(0))


async def declare(datacenters: Sequence[DatacenterConfig], client: Client) -> None:
    """Bring the log to what the configuration says, and return when it is; waits for NATS as long as it takes."""
    await until_stored(lambda: _declare(datacenters, client), what="what is configured is not in the log yet")


async def withdraw(datacenter: DatacenterId, cluster: ClusterName, client: Client) -> None:
    """Take a cluster out of what the log says of its datacenter; waits for NATS as long as it takes."""
    what = f"that {cluster} has left datacenter {datacenter} is not in the log yet"
    await until_stored(lambda: _withdraw(datacenter, cluster, client), what=what)


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


async def until_stored(work: Callable[[], Awaitable[T]], *, what: str) -> T:
    """Do what appends to the log, again and again until it has: somebody may be faster, and NATS may be away."""
    backoff = Backoff()
    while True:
        try:
            return await work()
        except ConflictError:
            continue  # an edit, or another watcher, was faster
        except (NotStoredError, NatsError, TimeoutError) as error:
            if not backoff.attempt:
                logger.warning("%s (%s); trying again until it is", what, error or "no answer from NATS")
            await asyncio.sleep(backoff.next_seconds())


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
