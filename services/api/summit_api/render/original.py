"""The original API's answers: its member names, and its way to leave out what is empty."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from pydantic import BaseModel

from summit_api.query.datacenters import Count, DatacenterRow
from summit_api.query.read_transaction import ReadTransaction
from summit_api.render.moment import Moment
from summit_api.shapes.original import OriginalMigration, OriginalVm
from summit_models.contract import DatacenterId
from summit_models.datacenter import Datacenter
from summit_models.vm import Vm, VmStatus


def _encodable(model: type[BaseModel]) -> type[msgspec.Struct]:
    """A struct of the model's members that encodes in a microsecond and leaves out those that have their default.

    `gc=False`: ten thousand of them would make the garbage collector walk the heap several times per answer.
    """
    members = model.model_fields.items()
    return msgspec.defstruct(
        model.__name__,
        [(name, Any) if field.is_required() else (name, Any, field.default) for name, field in members],
        rename={name: field.alias for name, field in members if field.alias},
        omit_defaults=True,
        gc=False,
    )


_Vm = _encodable(OriginalVm)
_Migration = _encodable(OriginalMigration)


def datacenters(
    declared: Iterable[DatacenterRow], fleet: Iterable[Sequence[Any]], transaction: ReadTransaction, moment: Moment
) -> bytes:
    """All datacenters by id, each with its VMs as `query.datacenters.fleet` gave them."""
    by_id = {row.id: _datacenter(row) for row in declared}
    for datacenter, managed, created_at, *members in fleet:
        if datacenter not in by_id:  # its declaration has not been applied yet, or was withdrawn: lose no VM
            by_id[datacenter] = _datacenter(DatacenterRow(datacenter, datacenter, None, None, None))
        by_id[datacenter]["vms"].append(_at(moment, _Vm(*members), created_at, managed=managed))
    return msgspec.json.encode(
        {
            "datacenters": [datacenter for _, datacenter in sorted(by_id.items())],
            "revision": transaction.revision,
            "asOf": transaction.as_of,
        }
    )


def datacenter(state: Datacenter, fleet: Iterable[Sequence[Any]], moment: Moment) -> dict[str, Any]:
    """One datacenter with its VMs, to be encoded by msgspec."""
    row = DatacenterRow(state.id, state.name, state.location, state.coordinates, state.clusters)
    vms = [_at(moment, _Vm(*members), created, managed=managed) for _, managed, created, *members in fleet]
    return {**_datacenter(row), "vms": vms}


def vm(state: Vm, moment: Moment) -> Any:
    """One VM, to be encoded by msgspec."""
    shown = _Vm(*(getattr(state, name, None) for name in OriginalVm.model_fields))
    return _at(moment, shown, state.created_at, managed=state.managed)


def _at(moment: Moment, vm: Any, created_at: datetime | None, *, managed: bool) -> Any:
    """Add to a VM what depends on the moment."""
    vm.age = moment.age(created_at)
    vm.ready = vm.ready or None
    vm.stale = moment.is_stale(vm.cluster, managed=managed) or None
    return vm


def _datacenter(row: DatacenterRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "location": row.location or "",
        "coordinates": row.coordinates,
        **({"clusters": row.clusters} if row.clusters else {}),
        "vms": [],
    }


def status(
    declared: Iterable[DatacenterId], counts: Sequence[Count], transaction: ReadTransaction, moment: Moment
) -> bytes:
    by_status = dict.fromkeys(VmStatus, 0)
    for count in counts:
        by_status[VmStatus(count.status)] += count.vms
    total, running = sum(by_status.values()), by_status[VmStatus.RUNNING]
    return msgspec.json.encode(
        {
            "datacenters": len({*declared, *(count.datacenter for count in counts)}),
            "running_vms": running,
            "stopped_vms": total - running,
            "total_vms": total,
            "byStatus": by_status,
            "stale": sum(c.vms for c in counts if moment.is_stale(c.cluster, managed=c.managed)),
            "revision": transaction.revision,
            "asOf": transaction.as_of,
        }
    )


def migrations(rows: Iterable[Sequence[Any]]) -> bytes:
    return msgspec.json.encode([_Migration(*row) for row in rows])


def migration(row: Sequence[Any]) -> bytes:
    return msgspec.json.encode(_Migration(*row))
