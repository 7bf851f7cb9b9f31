"""The facts of a VirtualMachineInstance, with the course of its last migration."""

from datetime import datetime

import msgspec

from summit_watcher.kube.manifests.instance import InstanceStatus, VirtualMachineInstance
from summit_watcher.kube.manifests.metadata import Metadata
from summit_watcher.kube.manifests.migration import MigrationSide, MigrationState
from summit_watcher.normalize.disks import Disk, instance_disks
from summit_watcher.normalize.facts import (
    NO_LABELS,
    Facts,
    conditions_of,
    head_of,
    labels_of,
    shared_text,
    text,
    timestamp,
)
from summit_watcher.normalize.guest import (
    declared_os,
    firmware_uuid,
    guest_os,
    instance_memory,
    instance_vcpus,
    machine_type,
)
from summit_watcher.normalize.network import addresses
from summit_watcher.normalize.quantity import Figure
from summit_watcher.normalize.trouble import OF_INSTANCE, trouble_of, why_not

FINAL = frozenset({"Succeeded", "Failed"})

MAX_REASON = 1000
"""Characters of a failure reason: libvirt's are long."""


class MigrationStateFacts(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """`status.migrationState`: the course of one migration, on the migrated instance and, at its end, on the VMIM.

    The instance keeps the state of its last migration until the next one, so a state belongs to a migration only if it
    has that migration's uid. Between clusters each side has its own uid, in `sourceState` or `targetState`.
    """

    uids: tuple[str, ...] = ()
    source_node: str | None = None
    source_pod: str | None = None
    target_node: str | None = None
    target_pod: str | None = None
    mode: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    completed: bool = False
    """It has ended, well unless `failed` is set."""
    failed: bool = False
    abort_requested: bool = False
    failure_reason: str | None = None

    @property
    def is_active(self) -> bool:
        """It has begun and not ended. This compares no time with ours: the cluster's clock may be ahead."""
        return self.started_at is not None and self.ended_at is None and not self.completed and not self.failed

    @property
    def succeeded_at(self) -> datetime | None:
        return self.ended_at if self.completed and not self.failed else None


class VmiFacts(Facts, frozen=True, gc=False, kw_only=True):
    owner_uid: str | None = None
    """uid of the VirtualMachine that controls it; None if none does, or a replica set."""
    labels: dict[str, str]
    """Empty if a VirtualMachine owns it: the labels of the VirtualMachine are shown."""
    phase: str | None = None
    paused: bool = False
    ready: bool | None = None
    live_migratable: bool | None = None
    live_migratable_reason: str | None = None
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
        """It has ended and stays beside a stopped VM: its sizes still hold, its node and addresses do not."""
        return self.phase in FINAL

    @property
    def is_answering(self) -> bool:
        """Its node still reports. In phase Unknown the node is lost, and what it reported last may be out of date."""
        return not self.is_final and self.phase != "Unknown"

    @property
    def is_migrating(self) -> bool:
        return self.migration is not None and self.migration.is_active


def vmi_facts(vmi: VirtualMachineInstance) -> VmiFacts:
    """Read an instance. KubeVirt removes AgentConnected and Paused rather than setting them to False."""
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
        **head_of(metadata),
        owner_uid=owner,
        labels=NO_LABELS if owner else labels_of(metadata),
        phase=shared_text(status.phase),
        paused=conditions.get("Paused", False),
        ready=conditions.get("Ready"),
        live_migratable=conditions.get("LiveMigratable"),
        live_migratable_reason=why_not(status.conditions, "LiveMigratable"),
        agent_connected=conditions.get("AgentConnected", False),
        cpu=instance_vcpus(vmi),
        memory=instance_memory(vmi),
        disks=instance_disks(vmi),
        ips=ips,
        node_name=shared_text(status.node_name),
        guest_os=guest_os(status.guest_os_info),
        declared_os=declared_os(annotations, preference),
        instancetype=text(instancetype),
        machine_type=machine_type(domain, status),
        firmware_uuid=firmware_uuid(domain),
        migration=migration_state_facts(status.migration_state),
        problems=decode_problems + ip_problems + trouble_of(status.conditions, OF_INSTANCE),
    )


def _owner(metadata: Metadata) -> str | None:
    for owner in metadata.owner_references or ():
        if owner is not None and owner.controller and owner.kind == "VirtualMachine":
            return text(owner.uid)
    return None


def migration_state_facts(state: MigrationState | None) -> MigrationStateFacts | None:
    if state is None:
        return None
    source, target = state.source_state or MigrationSide(), state.target_state or MigrationSide()
    uids = (state.migration_uid, source.migration_uid, target.migration_uid)
    return MigrationStateFacts(
        uids=tuple(dict.fromkeys(uid for uid in uids if uid)),
        source_node=text(state.source_node) or text(source.node),
        source_pod=text(state.source_pod) or text(source.pod),
        target_node=text(state.target_node) or text(target.node),
        target_pod=text(state.target_pod) or text(target.pod),
        mode=text(state.mode),
        started_at=timestamp(state.start_timestamp),
        ended_at=timestamp(state.end_timestamp),
        completed=bool(state.completed),
        failed=bool(state.failed),
        abort_requested=bool(state.abort_requested),
        failure_reason=text(state.failure_reason, MAX_REASON),
    )
