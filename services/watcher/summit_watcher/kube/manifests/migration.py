"""VirtualMachineInstanceMigration, and the state that it leaves in its VirtualMachineInstance."""

import msgspec

from summit_watcher.kube.manifests.guest import Condition
from summit_watcher.kube.manifests.metadata import Manifest, Part


class MigrationSide(Part):
    """`sourceState` or `targetState` of a migration between clusters. Mind the spelling: `migrationUID` here."""

    migration_uid: str | None = msgspec.field(default=None, name="migrationUID")
    node: str | None = None
    pod: str | None = None


class MigrationState(Part):
    """State of the last migration, which KubeVirt keeps for ever. Mind the spelling: `migrationUid` here."""

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
