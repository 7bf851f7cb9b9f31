"""Events as a watcher would publish them, and as the stream hands them on."""

from datetime import UTC, datetime, timedelta
from typing import Any

from support.builders import uid_of

from summit_models import bulk_operation
from summit_models.bulk_operation import BulkOperation, BulkState, ClusterTargets
from summit_models.cluster import ClusterHealth, ConnectionState
from summit_models.contract import Revision
from summit_models.event import (
    BulkOperationEvent,
    ClusterEvent,
    DatacenterEvent,
    DatacenterEventData,
    Event,
    MigrationEvent,
    MigrationEventData,
    MigrationEventType,
    OperationEvent,
    ResourceVersions,
    VmEvent,
    VmEventData,
    VmEventType,
    bulk_operation_event,
    cluster_event_type,
    operation_event,
    source_of,
)
from summit_models.operation import Action, Operation, OperationState, claimed, ended
from summit_models.subject import subject_of
from summit_models.vm import VmStatus
from summit_runtime.nats.streams.consumer import StreamMessage

DATACENTER, CLUSTER = "dc-solna", "vulcan"
OBSERVED_AT = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)


def vm_event(
    name: str,
    type_: VmEventType = VmEventType.UPDATED,
    *,
    versions: tuple[int, int] = (1, 0),
    epoch: int = 0,
    time: datetime = OBSERVED_AT,
    cluster: str = CLUSTER,
    datacenter: str = DATACENTER,
    **state: Any,
) -> VmEvent:
    """An event of the VM `prod/<name>`, which has the same id in each cluster; `versions` are of VM and instance."""
    state = {"status": VmStatus.RUNNING, "labels": {"app": name}} | state
    data = VmEventData(
        id=uid_of("prod", name),
        name=name,
        namespace="prod",
        cluster=cluster,
        datacenter=datacenter,
        resource_versions=ResourceVersions(vm=versions[0], vmi=versions[1]),
        **state,
    )
    envelope = _envelope(f"{data.id}/{epoch}/{versions}/{type_}", name, time, epoch)
    return VmEvent(**envelope | {"source": source_of(datacenter, cluster)}, type=type_, data=data)


def unmanaged_event(
    vm_id: str = "vm-001", type_: VmEventType = VmEventType.UPDATED, *, time: datetime = OBSERVED_AT, **state: Any
) -> VmEvent:
    """An event of a VM that was added by hand in Solna."""
    state = {"name": vm_id, "datacenter": DATACENTER, "status": VmStatus.RUNNING} | state
    data = VmEventData(id=vm_id, managed=False, **state)
    envelope = _envelope(f"{vm_id}/{type_}/{time}", vm_id, time, 0) | {"source": source_of(data.datacenter)}
    return VmEvent(**envelope, type=type_, data=data)


def migration_event(
    name: str,
    type_: MigrationEventType = MigrationEventType.UPDATED,
    *,
    version: int = 1,
    epoch: int = 0,
    time: datetime = OBSERVED_AT,
    cluster: str = CLUSTER,
    **state: Any,
) -> MigrationEvent:
    state = {"namespace": "prod"} | state
    data = MigrationEventData(
        id=uid_of("prod", name, "migration"),
        name=name,
        cluster=cluster,
        datacenter_id=DATACENTER,
        resource_version=version,
        **state,
    )
    envelope = _envelope(f"{data.id}/{epoch}/{version}/{type_}", name, time, epoch)
    return MigrationEvent(**envelope | {"source": source_of(DATACENTER, cluster)}, type=type_, data=data)


def cluster_event(
    name: str = CLUSTER, state: ConnectionState = ConnectionState.SYNCED, *, epoch: int = 0, **more: Any
) -> ClusterEvent:
    data = ClusterHealth(name=name, datacenter=DATACENTER, state=state, **({"since": OBSERVED_AT} | more))
    envelope = _envelope(f"{name}/{state}", name, OBSERVED_AT, epoch) | {"source": source_of(DATACENTER, name)}
    return ClusterEvent(**envelope, type=cluster_event_type(state), data=data)


def datacenter_event(**state: Any) -> DatacenterEvent:
    data = DatacenterEventData(**{"id": DATACENTER, "name": "Solna"} | state)
    envelope = _envelope(f"{data.id}/{data.name}/{data.retired}", data.id, OBSERVED_AT, 0) | {
        "source": source_of(data.id)
    }
    return DatacenterEvent(**envelope, data=data)


def operation_steps(
    namespace: str = "prod", name: str = "erp", *, by: str = "token:night-shift", ended_too: bool = True
) -> list[OperationEvent]:
    """A stop that is asked for, claimed and, unless it still runs, done."""
    first = Operation(
        id=uid_of("operation", namespace, name),
        action=Action.STOP,
        vm_id=uid_of(namespace, name),
        vm_name=name,
        namespace=namespace,
        cluster=CLUSTER,
        datacenter=DATACENTER,
        by=by,
        requested_at=OBSERVED_AT,
        deadline=OBSERVED_AT + timedelta(minutes=5),
    )
    second = claimed(first, "watch-1/4711", None, OBSERVED_AT)
    steps = [
        first,
        second,
        *([ended(second, OperationState.SUCCEEDED, "it is gone", OBSERVED_AT)] if ended_too else []),
    ]
    return [operation_event(step, Revision(n), writer="w", time=OBSERVED_AT) for n, step in enumerate(steps)]


def bulk_steps(*namespaces: str, by: str = "token:night-shift", ended_too: bool = True) -> list[BulkOperationEvent]:
    """A stop of the VM `erp` in each of these namespaces that is confirmed and, unless it still runs, done."""
    first = BulkOperation(
        id=uid_of("bulk", *namespaces),
        action=Action.STOP,
        by=by,
        timeout_seconds=300,
        max_parallel_per_cluster=20,
        max_parallel_per_node=5,
        max_failures=5,
        targets=[
            ClusterTargets(datacenter=DATACENTER, cluster=CLUSTER, vms={ns: [uid_of(ns, "erp")] for ns in namespaces})
        ],
        total=len(namespaces),
        datacenters=[DATACENTER],
        namespaces=list(namespaces),
        message=f"{by} has confirmed it",
        requested_at=OBSERVED_AT,
        deadline=OBSERVED_AT + timedelta(days=1),
    )
    last = bulk_operation.ended(first, BulkState.SUCCEEDED, f"{len(namespaces)} succeeded", OBSERVED_AT)
    steps = [first, *([last] if ended_too else [])]
    return [bulk_operation_event(step, Revision(n), writer="w", time=OBSERVED_AT) for n, step in enumerate(steps)]


def message(event: Event, sequence: int = 1) -> StreamMessage:
    return StreamMessage(sequence, subject_of(event), event.model_dump_json().encode(), 0)


def messages(*events: Event, start: int = 1) -> list[StreamMessage]:
    """The events one after another in the stream."""
    return [message(event, sequence) for sequence, event in enumerate(events, start)]


def _envelope(event_id: str, subject: str, time: datetime, epoch: int) -> dict[str, Any]:
    source = source_of(DATACENTER, CLUSTER)
    return {"id": f"{CLUSTER}/{event_id}", "source": source, "subject": subject, "time": time, "epoch": epoch}
