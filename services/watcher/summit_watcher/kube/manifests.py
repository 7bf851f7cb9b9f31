"""The parts of KubeVirt's manifests that we read, and nothing else: what is not named here is skipped unread.

That is what makes decoding fast (a third of a line is managedFields) and keeps secrets out of this process (cloud-init
user data, annotations). Every member may be absent or null: KubeVirt's CRDs have 78 nullable fields, and `omitempty`
leaves out what is false, zero or empty.
"""

import msgspec

Quantity = str | int | float | None
"""A Kubernetes quantity as written. The CRDs say `x-kubernetes-int-or-string`, so numbers are legal."""


class Part(msgspec.Struct, rename="camel", gc=False):
    """A part of a manifest. `gc=False` is safe: manifests are trees."""


class Present(Part):
    """An object of which only its being there matters, such as `cdrom: {}`."""


# ------------------------------------------------------------------------------------------------- metadata


class OwnerReference(Part):
    kind: str | None = None
    uid: str | None = None
    controller: bool | None = None


class Annotations(Part):
    """The only annotations that are read."""

    initial_events_end: str | None = msgspec.field(default=None, name="k8s.io/initial-events-end")
    cluster_instancetype: str | None = msgspec.field(default=None, name="kubevirt.io/cluster-instancetype-name")
    instancetype: str | None = msgspec.field(default=None, name="kubevirt.io/instancetype-name")
    cluster_preference: str | None = msgspec.field(default=None, name="kubevirt.io/cluster-preference-name")
    preference: str | None = msgspec.field(default=None, name="kubevirt.io/preference-name")
    os: str | None = msgspec.field(default=None, name="vm.kubevirt.io/os")


class Metadata(Part):
    uid: str | None = None
    name: str | None = None
    namespace: str | None = None
    resource_version: str | None = None
    generation: int | None = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str | None] | None = None
    annotations: Annotations | None = None
    owner_references: list[OwnerReference | None] | None = None


class Manifest(Part):
    """What all watched kinds have."""

    metadata: Metadata = msgspec.field(default_factory=Metadata)
    decode_problems: tuple[str, ...] = msgspec.field(default=(), name="(decode problems)")
    """`path: what is wrong` of each member that had the wrong type and was left out. Written by `repair`; no field of
    Kubernetes has its JSON name."""


# ---------------------------------------------------------------------- the guest, in a template and in a VMI


class ResourceList(Part):
    cpu: Quantity = None
    memory: Quantity = None
    storage: Quantity = None


class Resources(Part):
    requests: ResourceList | None = None
    limits: ResourceList | None = None


class CpuTopology(Part):
    sockets: int | None = None
    cores: int | None = None
    threads: int | None = None


class Hugepages(Part):
    page_size: Quantity = None


class Memory(Part):
    guest: Quantity = None
    hugepages: Hugepages | None = None


class DiskDevice(Part):
    name: str | None = None
    cdrom: Present | None = None


class Devices(Part):
    disks: list[DiskDevice | None] | None = None


class Firmware(Part):
    uuid: str | None = None


class Machine(Part):
    type: str | None = None


class Domain(Part):
    cpu: CpuTopology | None = None
    memory: Memory | None = None
    resources: Resources | None = None
    devices: Devices | None = None
    firmware: Firmware | None = None
    machine: Machine | None = None


class DataVolumeSource(Part):
    name: str | None = None


class ClaimSource(Part):
    claim_name: str | None = None


class Volume(Part):
    name: str | None = None
    data_volume: DataVolumeSource | None = None
    persistent_volume_claim: ClaimSource | None = None


class Network(Part):
    name: str | None = None
    pod: Present | None = None


class InstanceSpec(Part):
    domain: Domain | None = None
    volumes: list[Volume | None] | None = None
    networks: list[Network | None] | None = None


class Condition(Part):
    type: str | None = None
    status: str | None = None


# ------------------------------------------------------------------------------------------- VirtualMachine


class TemplateMetadata(Part):
    annotations: Annotations | None = None


class Template(Part):
    metadata: TemplateMetadata | None = None
    spec: InstanceSpec | None = None


class InstancetypeMatcher(Part):
    name: str | None = None
    kind: str | None = None
    revision_name: str | None = None


class PreferenceMatcher(Part):
    name: str | None = None


class ClaimSpec(Part):
    resources: Resources | None = None


class DataVolumeSpec(Part):
    pvc: ClaimSpec | None = None
    storage: ClaimSpec | None = None


class DataVolumeMetadata(Part):
    name: str | None = None


class DataVolumeTemplate(Part):
    metadata: DataVolumeMetadata | None = None
    spec: DataVolumeSpec | None = None


class VirtualMachineSpec(Part):
    run_strategy: str | None = None
    running: bool | None = None
    template: Template | None = None
    instancetype: InstancetypeMatcher | None = None
    preference: PreferenceMatcher | None = None
    data_volume_templates: list[DataVolumeTemplate | None] | None = None


class ControllerRevisionRef(Part):
    name: str | None = None


class InstancetypeRef(Part):
    name: str | None = None
    controller_revision_ref: ControllerRevisionRef | None = None


class VirtualMachineStatus(Part):
    printable_status: str | None = None
    created: bool | None = None
    ready: bool | None = None
    conditions: list[Condition | None] | None = None
    instancetype_ref: InstancetypeRef | None = None


class VirtualMachine(Manifest):
    spec: VirtualMachineSpec | None = None
    status: VirtualMachineStatus | None = None


# ----------------------------------------------------------------------------------- VirtualMachineInstance


class GuestOSInfo(Part):
    name: str | None = None
    version: str | None = None
    pretty_name: str | None = None


class Interface(Part):
    name: str | None = None
    ip_address: str | None = None
    ip_addresses: list[str | None] | None = None


class MemoryStatus(Part):
    guest_current: Quantity = None


class ClaimInfo(Part):
    capacity: ResourceList | None = None
    requests: ResourceList | None = None


class VolumeStatus(Part):
    name: str | None = None
    persistent_volume_claim_info: ClaimInfo | None = None


class MigrationSide(Part):
    """`sourceState` or `targetState` of a migration between clusters. Mind the spelling: `migrationUID` here."""

    migration_uid: str | None = msgspec.field(default=None, name="migrationUID")
    node: str | None = None
    pod: str | None = None


class MigrationState(Part):
    """State of the last migration, kept for ever. Mind the spelling: `migrationUid` here."""

    migration_uid: str | None = None
    source_node: str | None = None
    source_pod: str | None = None
    target_node: str | None = None
    target_pod: str | None = None
    start_timestamp: str | None = None
    end_timestamp: str | None = None
    completed: bool | None = None
    failed: bool | None = None
    abort_requested: bool | None = None
    failure_reason: str | None = None
    mode: str | None = None
    source_state: MigrationSide | None = None
    target_state: MigrationSide | None = None


class InstanceStatus(Part):
    phase: str | None = None
    node_name: str | None = None
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


# -------------------------------------------------------------------------- VirtualMachineInstanceMigration


class SendTo(Part):
    migration_id: str | None = msgspec.field(default=None, name="migrationID")
    connect_url: str | None = msgspec.field(default=None, name="connectURL")


class Receive(Part):
    migration_id: str | None = msgspec.field(default=None, name="migrationID")


class MigrationSpec(Part):
    vmi_name: str | None = None
    send_to: SendTo | None = None
    receive: Receive | None = None


class PhaseTransitionTimestamp(Part):
    phase: str | None = None
    phase_transition_timestamp: str | None = None


class MigrationStatus(Part):
    phase: str | None = None
    conditions: list[Condition | None] | None = None
    phase_transition_timestamps: list[PhaseTransitionTimestamp | None] | None = None
    migration_state: MigrationState | None = None


class VirtualMachineInstanceMigration(Manifest):
    spec: MigrationSpec | None = None
    status: MigrationStatus | None = None


# ------------------------------------------------------------- VirtualMachine(Cluster)Instancetype, v1beta1


class InstancetypeCpu(Part):
    guest: int | None = None


class InstancetypeMemory(Part):
    guest: Quantity = None


class InstancetypeSpec(Part):
    cpu: InstancetypeCpu | None = None
    memory: InstancetypeMemory | None = None


class Instancetype(Manifest):
    """Of a cluster, or of a namespace: the latter has `metadata.namespace`."""

    spec: InstancetypeSpec | None = None
