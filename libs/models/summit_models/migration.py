"""One live migration of a VM, joined from a VirtualMachineInstanceMigration and the migrated instance."""

from enum import StrEnum

from pydantic import AwareDatetime, Field

from summit_models.contract import ClusterName, Contract, DatacenterId, Uid


class MigrationDirection(StrEnum):
    """Seen from the cluster of the migration object. The values are those of the original API."""

    INCOMING = "incoming"
    OUTGOING = "outgoing"
    UNKNOWN = "unknown"
    """Neither: the migration is between two nodes of the same cluster."""


class MigrationInitiator(StrEnum):
    """Who began it, as far as its object shows that: KubeVirt annotates what it begins by itself."""

    OPERATION = "operation"
    """Somebody here: `operation` is the id."""
    EVACUATION = "evacuation"
    """A drain of the node, or another eviction."""
    WORKLOAD_UPDATE = "workloadUpdate"
    """An update of KubeVirt, or a change of the VM that is applied live."""
    VOLUME_UPDATE = "volumeUpdate"
    """The disks of the VM move."""
    USER = "user"
    """A person or a tool, through the API of the cluster. Kubernetes does not show which."""


class PhaseTransition(Contract):
    phase: str
    timestamp: AwareDatetime | None = None


class Migration(Contract):
    id: Uid = Field(
        description="metadata.uid of the VirtualMachineInstanceMigration",
        examples=["7d1f0b52-6a0e-4c39-8f0a-3a5c1f0e9d21"],
    )
    name: str = Field(examples=["kubevirt-migrate-vm-q8v5t"])
    namespace: str = Field(examples=["prod-finance"])
    cluster: ClusterName = Field(examples=["vulcan"])
    datacenter_id: DatacenterId = Field(examples=["dc-solna"])
    vm_id: Uid | None = Field(default=None, description="id of the VM; null until its instance has been seen")
    vm_name: str = Field(default="", description="spec.vmiName; a VM and its instance have the same name")

    phase: str = Field(
        default="",
        description="KubeVirt's phase; 'Aborted' or 'Terminating' while the migration object is being deleted",
    )
    direction: MigrationDirection = MigrationDirection.UNKNOWN
    completed: bool = Field(default=False, description="The migration has ended, whether it succeeded or failed")
    failure_reason: str | None = None
    mode: str | None = Field(default=None, description="PreCopy, PostCopy or Paused")

    source_cluster: ClusterName | None = None
    target_cluster: ClusterName | None = None
    source_node: str | None = None
    target_node: str | None = None
    source_pod: str | None = None
    target_pod: str | None = None

    initiator: MigrationInitiator | None = Field(
        default=None, description="Who began it; null in events from before this member", examples=["evacuation"]
    )
    operation: Uid | None = Field(default=None, description="The operation that it belongs to")
    stuck: str | None = Field(
        default=None,
        description="Why it makes no progress, once nothing of it has changed for ten minutes, in a copy for longer; "
        "null while it does, and when it has ended",
        examples=["Pending for more than 10 min: migrationRejectedByResourceQuota: exceeded quota: compute"],
    )

    start_time: AwareDatetime | None = None
    end_time: AwareDatetime | None = None
    phase_transitions: list[PhaseTransition] = Field(default=[])
    created_at: AwareDatetime | None = None

    labels: dict[str, str] = Field(default={})
    send_to_url: str | None = Field(default=None, description="spec.sendTo.connectURL")
    receive_from_id: str | None = Field(default=None, description="spec.receive.migrationID")
    migration_id: str | None = Field(default=None, description="Correlates both sides of a cross-cluster migration")
