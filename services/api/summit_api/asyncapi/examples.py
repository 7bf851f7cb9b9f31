"""One event of each sort, as it is published, by what happens in it, from the examples of the models' fields."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from summit_models.bulk_operation import BulkOperation, ClusterTargets
from summit_models.cluster import ClusterHealth, ConnectionState, Heartbeat, ResourceHealth
from summit_models.contract import Contract, Revision
from summit_models.datacenter import DatacenterValues
from summit_models.event import (
    ClusterEvent,
    DatacenterEvent,
    DatacenterEventData,
    EpochStart,
    MigrationEvent,
    MigrationEventData,
    MigrationEventType,
    VmEvent,
    VmEventData,
    VmEventType,
    bulk_operation_event,
    cluster_event_type,
    operation_event,
)
from summit_models.migration import PhaseTransition
from summit_models.operation import Action, Operation, OperationState
from summit_models.vm import VmStatus

ContractT = TypeVar("ContractT", bound=Contract)

AT = datetime(2026, 8, 21, 2, 14, 22, 104000, tzinfo=UTC)
BY_HAND = "5f0c7c9e-3b0a-4f6e-9a51-6d1b0d2c7e11"


def example(model: type[ContractT], **values: Any) -> ContractT:
    """The model with the first example of each field that has some, and with these values."""
    examples = {name: info.examples[0] for name, info in model.model_fields.items() if info.examples}
    return model(**{**examples, **values})


_health = example(
    ClusterHealth,
    name="vulcan",
    datacenter="dc-solna",
    state=ConnectionState.DEGRADED,
    since=AT,
    reason="virtualmachineinstancemigrations: 403 Forbidden",
    identity="3c0b2d5e-7f7a-4a0e-9c55-0d8b6c1f2a10",
    last_contact=AT,
    resources=[
        example(ResourceHealth, state=ConnectionState.SYNCED, since=AT, last_contact=AT, resource_version="884213401")
    ],
)

EXAMPLES: Mapping[str, Contract] = {
    "a VM begins to migrate": example(
        VmEvent,
        id="vulcan/3/1204/0b2f6f0e-5c0d-4b8e-9f63-0d1c8f1b2a77/updated",
        type=VmEventType.UPDATED,
        time=AT,
        epoch=3,
        data=example(
            VmEventData,
            status=VmStatus.MIGRATING,
            printable_status="Migrating",
            live_migratable=True,
            agent_connected=True,
            migration_status="migrating",
            migration_source="worker-07.example.com",
            migration_target="worker-12.example.com",
            created_at=AT - timedelta(days=40),
            started_at=AT - timedelta(days=3),
            changes={"status": "running", "printableStatus": "Running", "migrationStatus": None},
            resource_versions={"vm": 884213377, "vmi": 884213401, "instancetype": 412},
        ),
    ),
    "a VM that was added by hand moves here from another datacenter": VmEvent(
        id=f"{BY_HAND}/48123/0f6d1c9a2b33/created",
        source="/datacenters/dc-uppsala",
        type=VmEventType.CREATED,
        subject="-/old-web",
        time=AT,
        data={
            "id": BY_HAND,
            "name": "old-web",
            "datacenter": "dc-uppsala",
            "cluster": "old-vmware",
            "managed": False,
            "status": VmStatus.RUNNING,
            "cpu": 4,
            "memory": 8192,
            "last_migrated_at": AT,
            "changes": {"datacenter": "dc-solna", "_lastMigratedAt": None},
            "by": "oidc:alice",
        },
    ),
    "a migration runs": example(
        MigrationEvent,
        id="vulcan/3/1205/7d1f0b52-6a0e-4c39-8f0a-3a5c1f0e9d21/updated",
        type=MigrationEventType.UPDATED,
        subject="prod-finance/kubevirt-migrate-vm-q8v5t",
        time=AT,
        epoch=3,
        data=example(
            MigrationEventData,
            vm_id="0b2f6f0e-5c0d-4b8e-9f63-0d1c8f1b2a77",
            vm_name="erp-db-01",
            phase="Running",
            source_node="worker-07.example.com",
            target_node="worker-12.example.com",
            start_time=AT - timedelta(seconds=9),
            phase_transitions=[PhaseTransition(phase="Pending", timestamp=AT - timedelta(seconds=12))],
            created_at=AT - timedelta(seconds=12),
            changes={"phase": "TargetReady"},
            resource_version=884213390,
        ),
    ),
    "an operation runs": operation_event(
        example(
            Operation,
            action=Action.MIGRATE,
            state=OperationState.RUNNING,
            accepted=True,
            by="anna",
            executor="watcher-7f9c/1",
            requested_at=AT - timedelta(seconds=2),
            started_at=AT - timedelta(seconds=2),
            deadline=AT + timedelta(minutes=15),
        ),
        Revision(48121),
        writer="watcher-7f9c/1",
        time=AT,
    ),
    "a node is evacuated": bulk_operation_event(
        example(
            BulkOperation,
            by="token:night-shift",
            message="token:night-shift has confirmed it",
            requested_at=AT,
            deadline=AT + timedelta(days=1),
            targets=[example(ClusterTargets)],
            total=1,
        ),
        Revision(0),
        writer="api-4f1c",
        time=AT,
    ),
    "a cluster may not list its migrations": example(
        ClusterEvent,
        id=f"vulcan/3/degraded/{AT.isoformat()}",
        type=cluster_event_type(ConnectionState.DEGRADED),
        subject="vulcan",
        time=AT,
        epoch=3,
        history=1,
        began=48119,
        epoch_starts=[EpochStart(epoch=2, revision=47903)],
        data=_health,
    ),
    "a datacenter is renamed by hand": example(
        DatacenterEvent,
        id="dc-solna/48120/8c1d2e3f4a5b",
        source="/datacenters/dc-solna",
        subject="dc-solna",
        time=AT,
        data=example(
            DatacenterEventData,
            name="Solna North",
            clusters=["vulcan"],
            declared=example(DatacenterValues),
            by="oidc:alice",
        ),
    ),
    "a heartbeat of a cluster": Heartbeat(**dict(_health), epoch=3),
}
