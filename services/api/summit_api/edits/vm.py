"""What an edit of a VM makes of it, and the event that says so. Pure."""

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


def new(said: NewVm, datacenter: DatacenterId) -> Vm:
    members = _values(said)
    ip = members.get("ip")
    return Vm(
        **{
            **members,
            **_exact(members),
            "id": Uid(said.id or str(uuid4())),
            "status": said.status or VmStatus.UNKNOWN,
            "datacenter": datacenter,
            "managed": False,
            "ips": [ip] if ip else [],
        }
    )


def patched(vm: Vm, said: VmPatch) -> Vm:
    """The VM with what is said of it. A size that stays keeps its exact bytes, which its MiB or GiB may round."""
    values = {name: value for name, value in _values(said).items() if value != getattr(vm, name)}
    return vm.model_copy(update=values | _exact(values))


def moved(vm: Vm, datacenter: DatacenterId, now: datetime) -> Vm:
    return vm.model_copy(update={"datacenter": datacenter, "last_migrated_at": now})


def _values(said: NewVm | VmPatch) -> dict[str, Any]:
    """What is said, by field; an empty text is none."""
    return {name: None if value == "" else value for name, value in dict(said).items() if value is not None}


def _exact(values: Mapping[str, Any]) -> dict[str, int]:
    return {f"{name}_bytes": values[name] * unit for name, unit in _BYTES.items() if name in values}


def added(vm: Vm, basis: Revision, now: datetime) -> list[VmEvent]:
    return [_event(VmEventType.CREATED, vm, basis, now)]


def changed(before: Vm, after: Vm, basis: Revision, now: datetime) -> list[VmEvent]:
    """One event; two when the VM goes to another datacenter: there it ends and here it begins, for who reads of one."""
    changes = _changes(before, after)
    if after.datacenter == before.datacenter:
        return [_event(VmEventType.UPDATED, after, basis, now, changes=changes)]
    ends = _event(VmEventType.DELETED, before, basis, now, outcome=after)
    return [ends, _event(VmEventType.CREATED, after, basis, now, changes=changes)]


def removed(vm: Vm, basis: Revision, now: datetime) -> list[VmEvent]:
    return [_event(VmEventType.DELETED, vm, basis, now)]


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
) -> VmEvent:
    """Its id names what it was made from and what comes of it: two people who want the same at once have it once.

    `outcome` is what comes of it where that is more than the event says: a VM that ends here goes on elsewhere, and the
    log must not take one for the other.
    """
    return VmEvent(
        id=f"{vm.id}/{basis}/{digest(outcome or vm)}/{kind.rpartition('.')[2]}",
        source=source_of(vm.datacenter),
        subject=f"{vm.namespace or UNMANAGED}/{vm.name}",
        time=now,
        type=kind,
        data=VmEventData(**dict(vm), changes=changes or {}),
    )


def digest(state: Contract) -> str:
    return blake2b(state.model_dump_json().encode(), digest_size=6).hexdigest()


def _changes(before: Vm, after: Vm) -> dict[str, JsonValue]:
    old, new = (vm.model_dump(mode="json") for vm in (before, after))
    return {name: value for name, value in old.items() if new[name] != value}


def differing(before: Vm, after: Vm) -> list[str]:
    """JSON names of the members that an edit changes."""
    return list(_changes(before, after))
