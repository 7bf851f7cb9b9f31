"""The original API's answers. Their members, and which of them can be left out, are those of `shapes.original`."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from summit_api.query.datacenters import Count, DatacenterRow
from summit_api.query.transaction.read_transaction import ReadTransaction
from summit_api.render.moment import Moment
from summit_api.shapes.original import (
    EMPTY_IF_UNKNOWN,
    Datacenters,
    OriginalDatacenter,
    OriginalMigration,
    OriginalVm,
    Status,
)
from summit_models.cluster import ConnectionState
from summit_models.contract import DatacenterId
from summit_models.datacenter import Datacenter
from summit_models.structs import encoding_struct
from summit_models.vm import Vm, VmStatus

_WITH_PHASE = frozenset({VmStatus.RUNNING, VmStatus.MIGRATING, VmStatus.WAITING_FOR_RECEIVER})
"""The original shows the instance's phase of these, and KubeVirt's printable status of all others: its map would show
a paused VM as running, and one whose image cannot be pulled as scheduling."""
_RUNNING = "Running"

_Vm = encoding_struct(OriginalVm)
_Datacenter = encoding_struct(OriginalDatacenter, kw_only=True)
_Datacenters = encoding_struct(Datacenters)
_Migration = encoding_struct(OriginalMigration)
_Status = encoding_struct(Status)


def datacenters(
    declared: Iterable[DatacenterRow], fleet: Iterable[Sequence[Any]], transaction: ReadTransaction, moment: Moment
) -> bytes:
    """All datacenters by id, each with its VMs as `query.datacenters.fleet` gave them."""
    by_id = {row.id: _datacenter(row) for row in declared}
    for datacenter, *stored in fleet:
        if datacenter not in by_id:  # its declaration is not applied yet, or was withdrawn: lose no VM
            by_id[datacenter] = _datacenter(DatacenterRow(datacenter, datacenter, None, None, None))
        by_id[datacenter].vms.append(_vm(moment, *stored))
    shown = [datacenter for _, datacenter in sorted(by_id.items())]
    return msgspec.json.encode(_Datacenters(datacenters=shown, revision=transaction.revision, as_of=transaction.as_of))


def datacenter(state: Datacenter, fleet: Iterable[Sequence[Any]], moment: Moment) -> Any:
    """One datacenter with its VMs, to be encoded by msgspec."""
    shown = _datacenter(DatacenterRow(state.id, state.name, state.location, state.coordinates, state.clusters))
    shown.vms = [_vm(moment, *stored) for _, *stored in fleet]
    return shown


def vm(state: Vm, moment: Moment) -> Any:
    """One VM, to be encoded by msgspec."""
    members = (getattr(state, name, None) for name in OriginalVm.model_fields)
    return _vm(moment, state.managed, state.created_at, state.printable_status, *members)


def _vm(moment: Moment, managed: bool, created_at: datetime | None, printable: str | None, *members: Any) -> Any:
    vm = _Vm(*members)
    vm.age = moment.age(created_at)
    vm.ready = vm.ready or None
    vm.stale = moment.is_stale(vm.cluster, managed=managed) or None
    if managed and vm.status not in _WITH_PHASE:
        vm.phase = printable or _phase_of_instance(vm.phase, vm.status)
    return vm


def _phase_of_instance(phase: str | None, status: str) -> str | None:
    """The phase of an instance without a VirtualMachine, in which a paused one is still Running."""
    return status.capitalize() if phase == _RUNNING else phase


def _datacenter(row: DatacenterRow) -> Any:
    return _Datacenter(
        id=row.id,
        name=row.name,
        location=row.location or "",
        coordinates=row.coordinates,
        clusters=row.clusters or [],
        vms=[],
    )


def status(
    declared: Iterable[DatacenterId],
    counts: Sequence[Count],
    clusters: Mapping[ConnectionState, int] | None,
    transaction: ReadTransaction,
    moment: Moment,
) -> bytes:
    by_status = dict.fromkeys(VmStatus, 0)
    for count in counts:
        by_status[VmStatus(count.status)] += count.vms
    total, running = sum(by_status.values()), by_status[VmStatus.RUNNING]
    return msgspec.json.encode(
        _Status(
            datacenters=len({*declared, *(count.datacenter for count in counts)}),
            running_vms=running,
            stopped_vms=total - running,
            total_vms=total,
            by_status=by_status,
            clusters_by_state=None if clusters is None else {s: clusters.get(s, 0) for s in ConnectionState},
            stale=sum(c.vms for c in counts if moment.is_stale(c.cluster, managed=c.managed)),
            revision=transaction.revision,
            as_of=transaction.as_of,
        )
    )


def migrations(rows: Iterable[Sequence[Any]]) -> bytes:
    return msgspec.json.encode([_Migration(*row) for row in rows])


def migration(row: Sequence[Any]) -> bytes:
    return msgspec.json.encode(_Migration(*row))


def migration_of(state: Mapping[str, Any], *, observed_at: datetime, deleted: bool) -> Any:
    """The item of GET /api/v1/migrations that has this state as JSON, to be encoded by msgspec."""
    fields = OriginalMigration.model_fields.items()
    members = {name: value for name, field in fields if (value := state.get(field.alias or name)) is not None}
    unknown: dict[str, Any] = {"start_time": None, "end_time": None, "phase_transitions": []}
    ended = {"updated_at": observed_at, "completed": deleted or bool(members.get("completed"))}
    return _Migration(
        **{**dict.fromkeys(EMPTY_IF_UNKNOWN, ""), **unknown, "created_at": observed_at, **members, **ended}
    )
