"""What a change of the tables reads like in the feed. Pure: a change in, a frame out.

A VM is told in the shape of GET /api/v1/vms, which has every member of the original's; a migration as
GET /api/v1/migrations has it. A frame is made once, so ages are those of the moment it was made at.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from summit_api.feed.change import Change
from summit_api.feed.frame import Facts, Frame, Topic, frame
from summit_api.query.position import Position
from summit_api.render.moment import Moment
from summit_api.shapes.original import OriginalMigration
from summit_models.event import MigrationEventType, VmEventType
from summit_models.vm import Vm

Json = Mapping[str, Any]


def frame_of(change: Change, moment: Moment, position: Position) -> Frame:
    """The frame of a change at this position."""
    return _TELLING[change.collection](change, moment, position)


def vm_json(data: Json, moment: Moment, *, observed_at: datetime, revision: int) -> dict[str, Any]:
    """The item of GET /api/v1/vms that this state makes."""
    created_at = data.get("createdAt")
    return {
        **{name: data.get(name, default) for name, default in _VM_MEMBERS.items()},
        "observedAt": observed_at,
        "revision": revision,
        "age": moment.age(msgspec.convert(created_at, datetime) if created_at else None),
        "stale": moment.is_stale(data.get("cluster"), managed=data.get("managed", True)),
    }


def _vm(change: Change, moment: Moment, position: Position) -> Frame:
    data = change.data
    changes = data.get("changes") or {}
    now, before = _facts(data), _facts({**data, **changes})
    deleted = change.type == VmEventType.DELETED
    shown = vm_json(data, moment, observed_at=change.time, revision=change.revision)
    gone = {
        "datacenter": before.datacenter,
        "vmName": before.name,
        "vmId": change.key,
        "cluster": before.cluster,
        "namespace": before.namespace,
        "deleted": deleted,
        "finalStateUnknown": bool(data.get("finalStateUnknown")),
    }
    return frame(
        Topic.VM,
        "vm",
        {"datacenter": now.datacenter, "vm": shown},
        time=change.time,
        position=position,
        before=None if change.type == VmEventType.CREATED else before,
        after=None if deleted else now,
        changes=changes,
        gone=gone,
    )


def _migration(change: Change, _: Moment, position: Position) -> Frame:
    data = change.data
    deleted = change.type == MigrationEventType.DELETED
    facts = Facts(data.get("datacenterId", ""), data.get("cluster"), data.get("namespace"), name=data.get("name", ""))
    shown = _migration_json(data, observed_at=change.time, deleted=deleted)
    about = {"datacenter": facts.datacenter, "migration": shown}
    return frame(
        Topic.MIGRATION,
        "migration",
        about,
        time=change.time,
        position=position,
        before=None if change.type == MigrationEventType.CREATED else facts,
        after=None if deleted else facts,
        changes=data.get("changes") or {},
        gone={**about, "migrationName": facts.name, "migrationId": change.key},
    )


def _migration_json(data: Json, *, observed_at: datetime, deleted: bool) -> dict[str, Any]:
    """The item of GET /api/v1/migrations that this state makes."""
    shown = {name: data.get(name) for name in _MIGRATION_MEMBERS}
    shown |= {name: shown[name] or "" for name in _NEVER_NULL}
    shown["phaseTransitions"] = shown["phaseTransitions"] or []
    shown["createdAt"] = shown["createdAt"] or observed_at
    shown["updatedAt"] = observed_at
    shown["completed"] = deleted or bool(shown["completed"])
    return {name: value for name, value in shown.items() if value or name not in _MIGRATION_OPTIONAL}


def _datacenter(change: Change, _: Moment, position: Position) -> Frame:
    facts = Facts(change.data.get("id", ""))
    payload = {"datacenter": facts.datacenter, **{name: change.data.get(name) for name in _DATACENTER_MEMBERS}}
    if change.data.get("retired"):
        payload["retired"] = True
    return frame(
        Topic.DATACENTER,
        "datacenters",
        payload,
        time=change.time,
        position=position,
        before=facts,
        after=facts,
    )


def _facts(data: Json) -> Facts:
    return Facts(**{name: data[member] for name, member in _FACTS.items() if member in data})


_TELLING: Mapping[str, Callable[[Change, Moment, Position], Frame]] = {
    "vms": _vm,
    "migrations": _migration,
    "datacenters": _datacenter,
}
_VM_MEMBERS = {
    field.alias or name: None if field.is_required() else field.default for name, field in Vm.model_fields.items()
}
_FACTS = {name: Vm.model_fields[name].alias or name for name in Facts._fields}
_MIGRATION_MEMBERS = [field.alias or name for name, field in OriginalMigration.model_fields.items()]
_MIGRATION_OPTIONAL = {
    field.alias or name for name, field in OriginalMigration.model_fields.items() if not field.is_required()
}
_NEVER_NULL = ("vmId", "sourceCluster", "targetCluster", "sourceNode", "targetNode", "sourcePod", "targetPod")
_DATACENTER_MEMBERS = ("name", "location", "coordinates", "clusters")
