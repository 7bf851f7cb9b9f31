"""VirtualMachineInstance."""

import msgspec

from summit_watcher.kube.bounds import Text
from summit_watcher.kube.manifests.guest import Condition, CpuTopology, InstanceSpec, Machine, Quantity, ResourceList
from summit_watcher.kube.manifests.metadata import Manifest, Part
from summit_watcher.kube.manifests.migration import MigrationState


class GuestOSInfo(Part):
    name: Text | None = None
    version: Text | None = None
    pretty_name: Text | None = None


class Interface(Part):
    name: Text | None = None
    ip_address: Text | None = None
    ip_addresses: list[Text | None] | None = None


class MemoryStatus(Part):
    guest_current: Quantity = None


class ClaimInfo(Part):
    volume_mode: Text | None = None
    capacity: ResourceList | None = None
    requests: ResourceList | None = None


class VolumeStatus(Part):
    name: Text | None = None
    persistent_volume_claim_info: ClaimInfo | None = None


class InstanceStatus(Part):
    phase: Text | None = None
    node_name: Text | None = None
    conditions: list[Condition | None] | None = None
    interfaces: list[Interface | None] | None = None
    guest_os_info: GuestOSInfo | None = msgspec.field(default=None, name="guestOSInfo")
    current_cpu_topology: CpuTopology | None = msgspec.field(default=None, name="currentCPUTopology")
    memory: MemoryStatus | None = None
    machine: Machine | None = None
    volume_status: list[VolumeStatus | None] | None = None
    migration_state: MigrationState | None = None


class VirtualMachineInstance(Manifest):
    spec: InstanceSpec | None = None
    status: InstanceStatus | None = None
