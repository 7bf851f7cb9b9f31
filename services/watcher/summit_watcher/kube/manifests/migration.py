"""VirtualMachineInstanceMigration, and the state that it leaves in its VirtualMachineInstance."""

import msgspec

from summit_watcher.kube.bounds import Message, Text
from summit_watcher.kube.manifests.guest import Condition
from summit_watcher.kube.manifests.metadata import Manifest, Part


class MigrationSide(Part):
    """`sourceState` or `targetState` of a migration between clusters. Mind the spelling: `migrationUID` here."""

    migration_uid: Text | None = msgspec.field(default=None, name="migrationUID")
    node: Text | None = None
    pod: Text | None = None


class MigrationState(Part):
    """State of the last migration, which KubeVirt keeps for ever. Mind the spelling: `migrationUid` here."""

    migration_uid: Text | None = None
    source_node: Text | None = None
    source_pod: Text | None = None
    target_node: Text | None = None
    target_pod: Text | None = None
    start_timestamp: Text | None = None
    end_timestamp: Text | None = None
    completed: bool | None = None
    failed: bool | None = None
    abort_requested: bool | None = None
    failure_reason: Message | None = None
    mode: Text | None = None
    source_state: MigrationSide | None = None
    target_state: MigrationSide | None = None


class SendTo(Part):
    migration_id: Text | None = msgspec.field(default=None, name="migrationID")
    connect_url: Text | None = msgspec.field(default=None, name="connectURL")


class Receive(Part):
    migration_id: Text | None = msgspec.field(default=None, name="migrationID")


class MigrationSpec(Part):
    vmi_name: Text | None = None
    send_to: SendTo | None = None
    receive: Receive | None = None


class PhaseTransitionTimestamp(Part):
    phase: Text | None = None
    phase_transition_timestamp: Text | None = None


class MigrationStatus(Part):
    phase: Text | None = None
    conditions: list[Condition | None] | None = None
    phase_transition_timestamps: list[PhaseTransitionTimestamp | None] | None = None
    migration_state: MigrationState | None = None


class VirtualMachineInstanceMigration(Manifest):
    spec: MigrationSpec | None = None
    status: MigrationStatus | None = None
