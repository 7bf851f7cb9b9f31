"""An entry of the journal as a frame of the feed. Pure: an entry in, a frame out.

A VM has the shape of GET /api/v1/vms, which has every member of the original's; a migration has the shape of
GET /api/v1/migrations. A frame is made once, so ages are those of that moment.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from summit_api.feed.frame import Frame, Json, Topic, frame
from summit_api.query.journal import Entry
from summit_api.query.transaction.position import Position
from summit_api.render import original
from summit_api.render.moment import Moment
from summit_models.bulk_operation import BulkSummary
from summit_models.codec import default_of
from summit_models.event import REPETITIONS, MigrationEventType, VmEventType
from summit_models.operation import OperationState
from summit_models.vm import Vm


def frame_of(entry: Entry, moment: Moment, position: Position) -> Frame | None:
    """The frame of an entry; None for one that repeats a state, and for a collection that has no messages."""
    make = _FRAMES.get(entry.collection)
    return None if make is None or entry.type in REPETITIONS else make(entry, moment, position)


def vm_json(data: Json, moment: Moment, *, observed_at: datetime, revision: int) -> dict[str, Any]:
    """The item of GET /api/v1/vms with this state."""
    created_at = data.get("createdAt")
    return {
        **{name: data.get(name, default) for name, default in _VM_MEMBERS.items()},
        "observedAt": observed_at,
        "revision": revision,
        "age": moment.age(msgspec.convert(created_at, datetime) if created_at else None),
        "stale": moment.is_stale(data.get("cluster"), managed=data.get("managed", True)),
    }


def _vm(entry: Entry, moment: Moment, position: Position) -> Frame:
    state = entry.data
    changes = state.get("changes") or {}
    before = {**state, **changes} if changes else state
    deleted = entry.type == VmEventType.DELETED
    shown = vm_json(state, moment, observed_at=entry.time, revision=entry.revision)
    gone = {
        "datacenter": before["datacenter"],
        "vmName": before["name"],
        "vmId": entry.key,
        "cluster": before.get("cluster"),
        "namespace": before.get("namespace"),
        "deleted": deleted,
        "finalStateUnknown": bool(state.get("finalStateUnknown")),
    }
    return frame(
        Topic.VM,
        "vm",
        {"datacenter": state["datacenter"], "vm": shown},
        time=entry.time,
        position=position,
        before=None if entry.type == VmEventType.CREATED else before,
        after=None if deleted else state,
        changes=changes,
        gone=gone,
    )


def _migration(entry: Entry, _: Moment, position: Position) -> Frame:
    state = entry.data
    deleted = entry.type == MigrationEventType.DELETED
    place = {"datacenter": state["datacenterId"], "cluster": state["cluster"], "namespace": state["namespace"]}
    shown = original.migration_of(state, observed_at=entry.time, deleted=deleted)
    payload = {"datacenter": place["datacenter"], "migration": shown}
    return frame(
        Topic.MIGRATION,
        "migration",
        payload,
        time=entry.time,
        position=position,
        before=None if entry.type == MigrationEventType.CREATED else place,
        after=None if deleted else place,
        changes=state.get("changes") or {},
        gone={**payload, "migrationName": state["name"], "migrationId": entry.key},
    )


def _operation(entry: Entry, _: Moment, position: Position) -> Frame:
    state = entry.data
    place = {name: state[name] for name in ("datacenter", "cluster", "namespace")}
    # One that is a part of an operation on many VMs, and is not done, has ended when it is stored.
    was_left_out = state.get("startedAt") is None and state["requestedAt"] == state.get("endedAt")
    is_new = was_left_out or state["state"] == OperationState.PENDING
    shown = {**state, "observedAt": entry.time, "revision": entry.revision}
    return frame(
        Topic.OPERATION,
        "operation",
        {"datacenter": state["datacenter"], "operation": shown},
        time=entry.time,
        position=position,
        before=None if is_new else place,
        after=place,
    )


def _bulk_operation(entry: Entry, _: Moment, position: Position) -> Frame:
    """Without its VMs; frames are kept in memory, so only their places are."""
    place = {name: entry.data[name] for name in ("datacenters", "namespaces")}
    place["targets"] = [{"cluster": targets["cluster"]} for targets in entry.data["targets"]]
    shown = {name: entry.data.get(name, default) for name, default in _BULK_MEMBERS.items()}
    return frame(
        Topic.BULK_OPERATION,
        "bulk-operation",
        {"bulkOperation": {**shown, "observedAt": entry.time, "revision": entry.revision}},
        time=entry.time,
        position=position,
        before=None if msgspec.convert(entry.data["requestedAt"], datetime) == entry.time else place,
        after=place,
    )


def _datacenter(entry: Entry, _: Moment, position: Position) -> Frame:
    state, place = entry.data, {"datacenter": entry.key}
    payload = {**place, **{name: state.get(name) for name in _DATACENTER_MEMBERS}}
    if state.get("retired"):
        payload["retired"] = True
    return frame(
        Topic.DATACENTER, "datacenters", payload, time=entry.time, position=position, before=place, after=place
    )


_FRAMES: Mapping[str, Callable[[Entry, Moment, Position], Frame]] = {
    "vms": _vm,
    "migrations": _migration,
    "operations": _operation,
    "bulk_operations": _bulk_operation,
    "datacenters": _datacenter,
}
_VM_MEMBERS = {field.alias or name: default_of(field) for name, field in Vm.model_fields.items()}
_BULK_MEMBERS = {field.alias or name: default_of(field) for name, field in BulkSummary.model_fields.items()}
_DATACENTER_MEMBERS = ("name", "location", "coordinates", "clusters")
