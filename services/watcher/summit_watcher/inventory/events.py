"""The event that brings readers of the log from the last published state to the present one, or none. Pure.

An event keeps its id however often it is sent, and no other event has it: NATS drops what has an id of the last
minute. So events are numbered within their epoch. An id made of the content would not do: a state that returns within
a minute, as that of a migration while VMs of one name follow each other, would be dropped. What a killed watcher had
published is not made again, since the log is read back first.

A state is encoded once: to compare it, to keep it, and as the greater part of the event.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from pydantic import JsonValue

from summit_models.contract import Uid
from summit_models.event import source_of
from summit_models.subject import UNMANAGED
from summit_watcher.inventory.kinds import Joined, Kind, Model
from summit_watcher.inventory.published import Published, PublishedState


class Outgoing(NamedTuple):
    """An event, ready to be published."""

    type: StrEnum
    subject: str
    id: str
    body: bytes
    name: str
    """Of the VM or migration, for the log."""


def changed(published: Published, kind: Kind[Any], joined: Joined[Model], now: datetime) -> Outgoing | None:
    """Keep the present state of an object, and make the event that says what changed; None when nothing did.

    An unchanged state whose last event is of a stale epoch is published again.
    """
    model, versions = joined
    states, state = published.of(kind.collection), kind.codec.encode(model)
    last = states.get(model.id)
    if last is not None and last.is_last and last.state == state:
        return None
    states[model.id] = present = PublishedState(state, versions, now)
    if last is None or not last.is_known:
        return _event(published, kind, "CREATED", model, present)
    if last.state == state:
        return _event(published, kind, "OBSERVED", model, present)
    return _event(published, kind, "UPDATED", model, present, changes=kind.codec.changes(last.state, model))


def deleted(
    published: Published, kind: Kind[Any], uid: Uid, version: int, now: datetime, *, by_comparison: bool
) -> Outgoing | None:
    """Drop an object, and make the event that says so, with its last state; None when it was never published.

    `version` is the resourceVersion of the delete.
    """
    last = published.of(kind.collection).pop(uid, None)
    if last is None:
        return None
    model = kind.when_gone(kind.codec.decode(last.state), not by_comparison)
    own = kind.resources.index(kind.resource_of(last.state))
    versions = tuple(max(v, version) if i == own else v for i, v in enumerate(last.versions))
    final = PublishedState(kind.codec.encode(model), versions, now)
    return _event(published, kind, "DELETED", model, final, final_state_unknown=by_comparison)


def observed(published: Published, kind: Kind[Any], uid: Uid, now: datetime) -> Outgoing:
    """Repeat an unchanged state, so that the last event of a living object never ages out of the log."""
    states = published.of(kind.collection)
    states[uid] = repeated = states[uid]._replace(at=now)
    return _event(published, kind, "OBSERVED", kind.codec.decode(repeated.state), repeated)


def _event(
    published: Published,
    kind: Kind[Any],
    type_name: str,
    model: Model,
    present: PublishedState,
    *,
    changes: Mapping[str, JsonValue] | None = None,
    final_state_unknown: bool = False,
) -> Outgoing:
    type_ = kind.types[type_name]
    namespace = model.namespace or UNMANAGED
    published.events += 1
    verb = type_.rpartition(".")[2]
    event_id = f"{published.cluster}/{published.epoch}/{published.events}/{model.id}/{verb}"
    about = {
        "changes": changes or {},
        **kind.versions_field(present.versions),
        "final_state_unknown": final_state_unknown,
    }
    body = kind.codec.encode_event(
        present.state,
        about,
        id=event_id,
        source=source_of(published.datacenter, published.cluster),
        subject=f"{namespace}/{model.name}",
        time=present.at,
        epoch=published.epoch,
        type=type_,
    )
    subject = kind.subject(published.datacenter, published.cluster, namespace, model.name)
    return Outgoing(type_, subject, event_id, body, model.name)
