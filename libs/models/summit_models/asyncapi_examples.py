"""One event of each sort, as they are published: the examples of the AsyncAPI document."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from summit_models.cluster import ClusterHealth, ConnectionState, Heartbeat, ResourceHealth
from summit_models.contract import ClusterName, Contract, DatacenterId, Uid
from summit_models.datacenter import Datacenter, DatacenterValues
from summit_models.epoch import EpochStart
from summit_models.event import (
    ClusterEvent,
    DatacenterEvent,
    MigrationEvent,
    MigrationEventData,
    MigrationEventType,
    ResourceVersions,
    VmEvent,
    VmEventData,
    VmEventType,
    cluster_event_type,
    source_of,
)
from summit_models.migration import PhaseTransition
from summit_models.vm import VmStatus

_SOLNA, _UPPSALA, _VULCAN = DatacenterId("dc-solna"), DatacenterId("dc-uppsala"), ClusterName("vulcan")
_AT = datetime(2026, 8, 21, 2, 14, 22, 104000, tzinfo=UTC)
_VM, _MIGRATION = Uid("0b2f6f0e-5a57-4c1b-9a0d-7d1f2a4f9b11"), Uid("9d1c0a4e-1f7b-4e55-8a0e-6a1b7f0c3d22")
_BY_HAND = Uid("5f0c7c9e-3b0a-4f6e-9a51-6d1b0d2c7e11")

_vm_updated = VmEvent(
    id=f"vulcan/{_VM}/884213377.884213401.412/5d0c2c7a9e11/updated",
    source=source_of(_SOLNA, _VULCAN),
    type=VmEventType.UPDATED,
    subject="prod-finance/erp-db-01",
    time=_AT,
    epoch=3,
    data=VmEventData(
        id=_VM,
        name="erp-db-01",
        namespace="prod-finance",
        cluster=_VULCAN,
        datacenter=_SOLNA,
        status=VmStatus.MIGRATING,
        printable_status="Migrating",
        phase="Running",
        ready=True,
        run_strategy="Always",
        cpu=2,
        memory=8192,
        disk=530,
        memory_bytes=8589934592,
        disk_bytes=569083166720,
        ip="10.131.2.47",
        ips=["10.131.2.47"],
        node_name="worker-07.example.com",
        guest_os="Red Hat Enterprise Linux 9.6 (Plow)",
        instancetype="u1.large",
        labels={"app": "erp"},
        live_migratable=True,
        agent_connected=True,
        migration_status="migrating",
        migration_source="worker-07.example.com",
        migration_target="worker-12.example.com",
        created_at=_AT - timedelta(days=40),
        started_at=_AT - timedelta(days=3),
        changes={"status": "running", "printableStatus": "Running", "migrationStatus": None},
        resource_versions=ResourceVersions(vm=884213377, vmi=884213401, instancetype=412),
    ),
)

_vm_moved_by_hand = VmEvent(
    id=f"{_BY_HAND}/48123/0f6d1c9a2b33/created",
    source=source_of(_UPPSALA),
    type=VmEventType.CREATED,
    subject="-/old-web",
    time=_AT,
    data=VmEventData(
        id=_BY_HAND,
        name="old-web",
        datacenter=_UPPSALA,
        cluster=ClusterName("old-vmware"),
        managed=False,
        status=VmStatus.RUNNING,
        cpu=4,
        memory=8192,
        memory_bytes=8589934592,
        last_migrated_at=_AT,
        changes={"datacenter": "dc-solna", "_lastMigratedAt": None},
    ),
)

_migration_running = MigrationEvent(
    id=f"vulcan/{_MIGRATION}/884213390/77aa01b2c3d4/updated",
    source=source_of(_SOLNA, _VULCAN),
    type=MigrationEventType.UPDATED,
    subject="prod-finance/kubevirt-migrate-vm-q8v5t",
    time=_AT,
    epoch=3,
    data=MigrationEventData(
        id=_MIGRATION,
        name="kubevirt-migrate-vm-q8v5t",
        namespace="prod-finance",
        cluster=_VULCAN,
        datacenter_id=_SOLNA,
        vm_id=_VM,
        vm_name="erp-db-01",
        phase="Running",
        source_node="worker-07.example.com",
        target_node="worker-12.example.com",
        start_time=_AT - timedelta(seconds=9),
        phase_transitions=[PhaseTransition(phase="Pending", timestamp=_AT - timedelta(seconds=12))],
        created_at=_AT - timedelta(seconds=12),
        changes={"phase": "TargetReady"},
        resource_version=884213390,
    ),
)

_health = ClusterHealth(
    name=_VULCAN,
    datacenter=_SOLNA,
    state=ConnectionState.DEGRADED,
    since=_AT,
    reason="virtualmachineinstancemigrations: 403 Forbidden",
    server_version="v1.34.1",
    identity="3c0b2d5e-7f7a-4a0e-9c55-0d8b6c1f2a10",
    last_contact=_AT,
    resources=[
        ResourceHealth(
            resource="virtualmachines",
            state=ConnectionState.SYNCED,
            since=_AT - timedelta(hours=6),
            last_contact=_AT,
            resource_version="884213401",
        )
    ],
)

_cluster_degraded = ClusterEvent(
    id=f"vulcan/degraded/{_AT.isoformat()}",
    source=source_of(_SOLNA, _VULCAN),
    type=cluster_event_type(ConnectionState.DEGRADED),
    subject="vulcan",
    time=_AT,
    epoch=3,
    history=1,
    began=48119,
    epoch_starts=[EpochStart(epoch=2, revision=47903)],
    data=_health,
)

_datacenter_edited = DatacenterEvent(
    id="dc-solna/48120/8c1d2e3f4a5b",
    source=source_of(_SOLNA),
    subject=_SOLNA,
    time=_AT,
    data=Datacenter(
        id=_SOLNA,
        name="Solna North",
        location="Solna, Sweden",
        coordinates=(59.36, 18.0),
        clusters=[_VULCAN],
        declared=DatacenterValues(name="Solna", location="Solna, Sweden", coordinates=(59.36, 18.0)),
    ),
)

EXAMPLES: Mapping[str, Contract] = {
    "a VM begins to migrate": _vm_updated,
    "a VM that was added by hand is moved here from another datacenter": _vm_moved_by_hand,
    "a migration runs": _migration_running,
    "a cluster may not list its migrations": _cluster_degraded,
    "a datacenter was renamed by hand": _datacenter_edited,
    "a sign of life of a cluster's watcher": Heartbeat(**dict(_health), epoch=3),
}
