"""The normalized virtual machine: every field that is published, stored and served, declared once.

A field added here becomes a member of events, a column of `vms` (see `tables`) and a member of API answers.
The rules that fill the fields are in the watcher's `normalize` room. An unknown value is `None`, never a default.
"""

from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime, Field

from summit_models.contract import ClusterName, Contract, DatacenterId, Uid


class VmStatus(StrEnum):
    """A closed set to filter and count by; `printable_status` keeps KubeVirt's own word."""

    RUNNING = "running"
    STOPPED = "stopped"
    STARTING = "starting"
    STOPPING = "stopping"
    PAUSED = "paused"
    MIGRATING = "migrating"
    WAITING_FOR_RECEIVER = "waitingforreceiver"
    PROVISIONING = "provisioning"
    WAITING_FOR_VOLUME_BINDING = "waitingforvolumebinding"
    TERMINATING = "terminating"
    ERROR = "error"
    UNKNOWN = "unknown"


VmKind = Literal["VirtualMachine", "VirtualMachineInstance"]


class Vm(Contract):
    """One virtual machine as people see it, joined from its VirtualMachine and its VirtualMachineInstance."""

    id: Uid = Field(
        description="Kubernetes metadata.uid; a random UUID for an unmanaged VM",
        examples=["0b2f6f0e-5c0d-4b8e-9f63-0d1c8f1b2a77"],
    )
    name: str = Field(description="metadata.name, or the name given by hand", examples=["erp-db-01"])
    namespace: str | None = Field(default=None, examples=["prod-finance"])
    cluster: ClusterName | None = Field(default=None, examples=["vulcan"])
    datacenter: DatacenterId = Field(examples=["dc-solna"])
    kind: VmKind = Field(
        default="VirtualMachine",
        description="VirtualMachineInstance for an instance that no VirtualMachine owns",
    )
    managed: bool = Field(default=True, description="true: watched in a cluster; false: added by hand")

    status: VmStatus = Field(description="A closed set; 'unknown' for any status of KubeVirt that is not in it")
    printable_status: str | None = Field(
        default=None, description="KubeVirt's status.printableStatus, unchanged", examples=["Running"]
    )
    phase: str | None = Field(
        default=None, description="Phase of the instance, else the printable status", examples=["Running"]
    )
    ready: bool | None = Field(default=None, description="Condition Ready", examples=[True])
    run_strategy: str | None = Field(default=None, examples=["Always"])
    provisioning_progress: int | None = Field(
        default=None,
        description="While status is provisioning: percent of the least advanced DataVolume, rounded down to tens",
        examples=[30],
    )

    cpu: int | None = Field(default=None, description="Virtual CPUs of the guest", examples=[2])
    memory: int | None = Field(default=None, description="Guest memory in MiB, rounded half up", examples=[8192])
    disk: int | None = Field(
        default=None, description="Provisioned persistent disks in GiB, rounded half up", examples=[530]
    )
    memory_bytes: int | None = Field(default=None, description="Guest memory in bytes", examples=[8589934592])
    disk_bytes: int | None = Field(
        default=None, description="Provisioned persistent disks in bytes", examples=[569083166720]
    )

    ip: str | None = Field(default=None, description="Primary address", examples=["10.131.2.47"])
    ips: list[str] = Field(
        default=[], description="All usable addresses, the primary one first", examples=[["10.131.2.47"]]
    )
    node_name: str | None = Field(default=None, examples=["worker-07.example.com"])
    guest_os: str | None = Field(default=None, examples=["Red Hat Enterprise Linux 9.6 (Plow)"])
    instancetype: str | None = Field(default=None, examples=["u1.large"])
    machine_type: str | None = Field(default=None, examples=["pc-q35-rhel9.6.0"])
    firmware_uuid: str | None = Field(default=None)

    labels: dict[str, str] = Field(
        default={}, description="metadata.labels of the VirtualMachine", examples=[{"app": "erp"}]
    )
    live_migratable: bool | None = Field(default=None, description="Condition LiveMigratable of a live instance")
    live_migratable_reason: str | None = Field(
        default=None,
        description="Why KubeVirt cannot migrate it live, by the reason and the message of that condition",
        examples=["DisksNotLiveMigratable: cannot migrate VMI: PVC erp-data is not shared"],
    )
    agent_connected: bool | None = Field(default=None, description="Condition AgentConnected of a live instance")

    migration_status: str | None = Field(default=None, description="'migrating' while a migration runs")
    migration_source: str | None = Field(default=None, description="Node that a running migration leaves")
    migration_target: str | None = Field(default=None, description="Node that a running migration goes to")
    last_migrated_at: AwareDatetime | None = Field(
        default=None, alias="_lastMigratedAt", description="End of the last successful migration"
    )

    created_at: AwareDatetime | None = Field(default=None, description="Creation of the VirtualMachine")
    started_at: AwareDatetime | None = Field(default=None, description="Creation of the running instance")
    problems: list[str] = Field(
        default=[],
        description="Values that could not be read, and why; each of them is null. "
        "'status: …' is what the cluster says of a VM that is not well",
        examples=[["status: Unschedulable: 0/6 nodes are available: 6 Insufficient memory."]],
    )
