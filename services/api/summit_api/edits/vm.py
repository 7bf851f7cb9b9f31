"""An edit of a VM: the new state, and the events that are published. Pure."""

from collections.abc import Mapping
from datetime import datetime
from hashlib import blake2b
from typing import Any
from uuid import uuid4

from pydantic import JsonValue

from summit_api.edits.payloads import NewVm, VmPatch
from summit_models.contract import Contract, DatacenterId, Revision, Uid
from summit_models.event import VmEvent, VmEventData, VmEventType, source_of
from summit_models.subject import UNMANAGED
from summit_models.vm import Vm, VmStatus

_BYTES = {"memory": 1 << 20, "disk": 1 << 30}
"""Bytes of a MiB and of a GiB: sizes given by hand are exact."""


def new(payload: NewVm, datacenter: DatacenterId) -> Vm:
    members = payload.given()
    ip = members.get("ip")
    return Vm(
        **{
            **members,
            **_exact(members),
            "id": Uid(payload.id or str(uuid4())),
            "status": payload.status or VmStatus.UNKNOWN,
            "datacenter": datacenter,
            "managed": False,
            "ips": [ip] if ip else [],
        }
    )


def patched(vm: Vm, patch: VmPatch) -> Vm:
    """The VM with the patched values. An unchanged size keeps its exact bytes, which MiB or GiB may round."""
    values = {name: value for name, value in patch.given().items() if value != getattr(vm, name)}
    return vm.model_copy(update=values | _exact(values))


def moved(vm: Vm, datacenter: DatacenterId, now: datetime) -> Vm:
    return vm.model_copy(update={"datacenter": datacenter, "last_migrated_at": now})


def _exact(values: Mapping[str, Any]) -> dict[str, int]:
    return {f"{name}_bytes": values[name] * unit for name, unit in _BYTES.items() if name in values}


def added(vm: Vm, basis: Revision, now: datetime, by: str | None) -> list[VmEvent]:
    return [_event(VmEventType.CREATED, vm, basis, now, by=by)]


def changed(before: Vm, after: Vm, basis: Revision, now: datetime, by: str | None) -> list[VmEvent]:
    """One event; two when the VM moves to another datacenter: it ends in one and begins in the other."""
    changes = _changes(before, after)
    if after.datacenter == before.datacenter:
        return [_event(VmEventType.UPDATED, after, basis, now, changes=changes, by=by)]
    ends = _event(VmEventType.DELETED, before, basis, now, outcome=after, by=by)
    return [ends, _event(VmEventType.CREATED, after, basis, now, changes=changes, by=by)]


def removed(vm: Vm, basis: Revision, now: datetime, by: str | None) -> list[VmEvent]:
    return [_event(VmEventType.DELETED, vm, basis, now, by=by)]


def observed(vm: Vm, basis: Revision, now: datetime) -> VmEvent:
    return _event(VmEventType.OBSERVED, vm, basis, now)


def _event(
    kind: VmEventType,
    vm: Vm,
    basis: Revision,
    now: datetime,
    *,
    changes: dict[str, JsonValue] | None = None,
    outcome: Vm | None = None,
    by: str | None = None,
) -> VmEvent:
    """Its id has the basis and the new state: if two people make the same edit at once, it is published once.

    `outcome` is the new state where the event has less: a VM that ends here continues in another datacenter, and the
    log must not confuse the two.
    """
    return VmEvent(
        id=f"{vm.id}/{basis}/{digest(outcome or vm)}/{kind.rpartition('.')[2]}",
        source=source_of(vm.datacenter),
        subject=f"{vm.namespace or UNMANAGED}/{vm.name}",
        time=now,
        type=kind,
        data=VmEventData(**dict(vm), changes=changes or {}, by=by),
    )


def digest(state: Contract) -> str:
    return blake2b(state.model_dump_json().encode(), digest_size=6).hexdigest()


def _changes(before: Vm, after: Vm) -> dict[str, JsonValue]:
    old, new = (vm.model_dump(mode="json") for vm in (before, after))
    return {name: value for name, value in old.items() if new[name] != value}


def differing(before: Vm, after: Vm) -> list[str]:
    """JSON names of the members that an edit changes."""
    return list(_changes(before, after))
