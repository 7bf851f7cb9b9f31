"""What is kept of a VirtualMachineInstance."""

from summit_watcher.kube.manifests import InstanceStatus, Metadata, VirtualMachineInstance
from summit_watcher.normalize.conditions import conditions_of
from summit_watcher.normalize.cpu import instance_vcpus
from summit_watcher.normalize.disks import Disk, instance_disks
from summit_watcher.normalize.facts import NO_LABELS, Facts, labels_of, name_of, text, timestamp, version_of, word
from summit_watcher.normalize.figure import Figure
from summit_watcher.normalize.guest import declared_os, firmware_uuid, guest_os, machine_type
from summit_watcher.normalize.memory import instance_memory
from summit_watcher.normalize.migration_state import MigrationStateFacts, migration_state_facts
from summit_watcher.normalize.network import addresses

FINAL = frozenset({"Succeeded", "Failed"})


class VmiFacts(Facts, frozen=True, gc=False, kw_only=True):
    owner_uid: str | None = None
    """uid of the VirtualMachine that controls it; None: it stands alone, or a replica set's."""
    labels: dict[str, str]
    """Empty if a VirtualMachine owns it: that one's are shown."""
    phase: str | None = None
    paused: bool = False
    ready: bool | None = None
    live_migratable: bool | None = None
    agent_connected: bool = False

    cpu: Figure
    memory: Figure
    disks: tuple[Disk, ...] | None = None
    ips: tuple[str, ...] = ()
    node_name: str | None = None
    guest_os: str | None = None
    declared_os: str | None = None
    instancetype: str | None = None
    machine_type: str | None = None
    firmware_uuid: str | None = None
    migration: MigrationStateFacts | None = None
    """The last migration, running or ended."""

    @property
    def is_final(self) -> bool:
        """It has ended, and lingers beside a VM that is stopped: sizes still hold, node and addresses do not."""
        return self.phase in FINAL

    @property
    def is_answering(self) -> bool:
        """Its node still reports. In phase Unknown the node is lost, and addresses and the like are only its last."""
        return not self.is_final and self.phase != "Unknown"

    @property
    def is_migrating(self) -> bool:
        return self.migration is not None and self.migration.is_active


def vmi_facts(vmi: VirtualMachineInstance) -> VmiFacts:
    """Read an instance. AgentConnected and Paused are removed rather than set to False."""
    metadata, status = vmi.metadata, vmi.status or InstanceStatus()
    domain = vmi.spec.domain if vmi.spec else None
    owner = _owner(metadata)
    annotations = metadata.annotations
    conditions = conditions_of(status.conditions)
    ips, ip_problems = addresses(vmi)
    decode_problems = tuple(f"VirtualMachineInstance: {problem}" for problem in vmi.decode_problems)
    preference = (annotations.cluster_preference or annotations.preference) if annotations else None
    instancetype = (annotations.cluster_instancetype or annotations.instancetype) if annotations else None
    return VmiFacts(
        uid=text(metadata.uid) or "",
        namespace=word(metadata.namespace) or "",
        name=name_of(metadata),
        resource_version=version_of(metadata),
        created_at=timestamp(metadata.creation_timestamp),
        deleting=metadata.deletion_timestamp is not None,
        owner_uid=owner,
        labels=NO_LABELS if owner else labels_of(metadata),
        phase=word(status.phase),
        paused=conditions.get("Paused", False),
        ready=conditions.get("Ready"),
        live_migratable=conditions.get("LiveMigratable"),
        agent_connected=conditions.get("AgentConnected", False),
        cpu=instance_vcpus(vmi),
        memory=instance_memory(vmi),
        disks=instance_disks(vmi),
        ips=ips,
        node_name=word(status.node_name),
        guest_os=guest_os(status.guest_os_info),
        declared_os=declared_os(annotations, preference),
        instancetype=text(instancetype),
        machine_type=machine_type(domain, status),
        firmware_uuid=firmware_uuid(domain),
        migration=migration_state_facts(status.migration_state),
        problems=decode_problems + ip_problems,
    )


def _owner(metadata: Metadata) -> str | None:
    for owner in metadata.owner_references or ():
        if owner is not None and owner.controller and owner.kind == "VirtualMachine":
            return text(owner.uid)
    return None
