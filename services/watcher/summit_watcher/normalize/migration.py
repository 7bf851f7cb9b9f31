"""Migrations: a VirtualMachineInstanceMigration, completed by the state on the migrated instance.

While a migration runs, only the instance has its nodes and times. The migration object gets a copy after its final
phase, and never if it failed early.
"""

import re
from datetime import datetime

from summit_models.contract import ClusterName, DatacenterId, Uid
from summit_models.migration import Migration, MigrationDirection, MigrationInitiator, PhaseTransition
from summit_models.operation import MIGRATION_PREFIX
from summit_watcher.kube.manifests.metadata import Annotations, Metadata
from summit_watcher.kube.manifests.migration import MigrationSpec, VirtualMachineInstanceMigration
from summit_watcher.normalize.facts import Facts, conditions_of, head_of, labels_of, text, timestamp
from summit_watcher.normalize.instance import FINAL, MigrationStateFacts, VmiFacts, migration_state_facts
from summit_watcher.normalize.trouble import why

_NOTHING = MigrationStateFacts()
_OPERATION = re.compile(rf"{MIGRATION_PREFIX}([0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}})")
_BLOCKED = frozenset({
    "migrationRejectedByResourceQuota", "migrationBlockedByUtilityVolumes", "migrationBlockedByBackup",
    "decentralizedMigrationBlocked",
})  # fmt: skip
"""Conditions of a migration that say why it does not go on (`api/core/v1/types.go`)."""

END_NOT_SEEN = "the migration object disappeared before its end was seen"
DELETED = "its object was deleted before it had ended: somebody has canceled it, or its instance has ended"
SEE_TARGET = "whether the VM arrived shows in the target cluster"


class MigrationFacts(Facts, frozen=True, gc=False, kw_only=True):
    labels: dict[str, str]
    vmi_name: str = ""
    direction: MigrationDirection
    phase: str = ""
    abort_requested: bool = False
    phase_transitions: tuple[tuple[str, datetime | None], ...] = ()
    initiator: MigrationInitiator
    operation: str | None = None
    blocked: str | None = None
    """Why it cannot go on, as a condition says."""
    state: MigrationStateFacts | None = None
    send_to_url: str | None = None
    receive_from_id: str | None = None
    migration_id: str | None = None

    @property
    def is_final(self) -> bool:
        return self.phase in FINAL


def migration_facts(vmim: VirtualMachineInstanceMigration) -> MigrationFacts:
    metadata, status = vmim.metadata, vmim.status
    spec = vmim.spec or MigrationSpec()
    sends, receives = spec.send_to, spec.receive
    conditions = conditions_of(status.conditions) if status else {}
    transitions = (status.phase_transition_timestamps if status else None) or ()
    return MigrationFacts(
        **head_of(metadata),
        labels=labels_of(metadata),
        vmi_name=text(spec.vmi_name) or "",
        direction=_direction(spec),
        phase=(text(status.phase) or "") if status else "",
        abort_requested=conditions.get("migrationAbortRequested", False),
        phase_transitions=tuple(
            (phase, timestamp(one.phase_transition_timestamp))
            for one in transitions
            if one is not None and (phase := text(one.phase))
        ),
        initiator=_initiator(metadata),
        operation=_operation(metadata),
        blocked=why(status.conditions, _BLOCKED) if status else None,
        state=migration_state_facts(status.migration_state if status else None),
        send_to_url=text(sends.connect_url) if sends else None,
        receive_from_id=text(receives.migration_id) if receives else None,
        migration_id=text(sends.migration_id) if sends else text(receives.migration_id) if receives else None,
        problems=vmim.decode_problems,
    )


def _direction(spec: MigrationSpec) -> MigrationDirection:
    """A migration that both sends and receives is local, as one that does neither: KubeVirt's IsDecentralized."""
    if (spec.send_to is None) == (spec.receive is None):
        return MigrationDirection.UNKNOWN
    return MigrationDirection.OUTGOING if spec.send_to else MigrationDirection.INCOMING


def _initiator(metadata: Metadata) -> MigrationInitiator:
    """KubeVirt annotates and names what it begins (`pkg/virt-controller/watch/{drain,workload-updater}`)."""
    annotations, name = metadata.annotations or Annotations(), metadata.name or ""
    if annotations.evacuation is not None or name.startswith("kubevirt-evacuation-"):
        return MigrationInitiator.EVACUATION
    if annotations.volume_update is not None:
        return MigrationInitiator.VOLUME_UPDATE
    if annotations.workload_update is not None or name.startswith("kubevirt-workload-update-"):
        return MigrationInitiator.WORKLOAD_UPDATE
    return MigrationInitiator.OPERATION if _operation(metadata) else MigrationInitiator.USER


def _operation(metadata: Metadata) -> str | None:
    """The id of the operation that the object is named after."""
    found = _OPERATION.fullmatch(metadata.name or "")
    return found[1] if found else None


def join_migration(
    migration: MigrationFacts,
    vmi: VmiFacts | None,
    vm_uid: str | None,
    *,
    cluster: ClusterName,
    datacenter: DatacenterId,
) -> Migration:
    """Make the normalized migration. `vmi` is the instance of its name; its last migration may be another one."""
    own = migration.state or _NOTHING
    seen = vmi.migration if vmi and vmi.migration and migration.uid in vmi.migration.uids else _NOTHING
    return Migration(
        id=Uid(migration.uid),
        name=migration.name,
        namespace=migration.namespace,
        cluster=cluster,
        datacenter_id=datacenter,
        vm_id=Uid(vm_uid) if vm_uid else None,
        vm_name=migration.vmi_name,
        phase=_phase(migration, aborting=migration.abort_requested or own.abort_requested or seen.abort_requested),
        direction=migration.direction,
        completed=migration.is_final or own.completed or seen.completed,
        failure_reason=own.failure_reason or seen.failure_reason,
        mode=own.mode or seen.mode,
        source_cluster=cluster if migration.direction is MigrationDirection.OUTGOING else None,
        target_cluster=cluster if migration.direction is MigrationDirection.INCOMING else None,
        source_node=own.source_node or seen.source_node,
        target_node=own.target_node or seen.target_node,
        source_pod=own.source_pod or seen.source_pod,
        target_pod=own.target_pod or seen.target_pod,
        initiator=migration.initiator,
        operation=Uid(migration.operation) if migration.operation else None,
        start_time=own.started_at or seen.started_at,
        end_time=own.ended_at or seen.ended_at,
        phase_transitions=[PhaseTransition(phase=phase, timestamp=at) for phase, at in migration.phase_transitions],
        created_at=migration.created_at,
        labels=migration.labels,
        send_to_url=migration.send_to_url,
        receive_from_id=migration.receive_from_id,
        migration_id=migration.migration_id,
    )


def _phase(migration: MigrationFacts, *, aborting: bool) -> str:
    """KubeVirt's phase; "Aborted" or "Terminating" until a canceled migration ends. To cancel one is to delete it."""
    if migration.is_final:
        return migration.phase
    if aborting:
        return "Aborted"
    return "Terminating" if migration.deleting else migration.phase


def ended_migration(last: Migration, *, was_seen: bool) -> Migration:
    """The last state of a migration whose object is gone. A completed one stays as it was.

    KubeVirt deletes migrations with their instance. A source's instance ends when the VM has arrived elsewhere, so its
    migration usually disappears on success, and only the target cluster shows that. Any other migration whose delete a
    watch reported was canceled, or its instance was stopped or has crashed. One that was only found missing may have
    ended in any way, since KubeVirt keeps five.
    """
    if last.completed:
        return last
    last = last.model_copy(update={"stuck": None})
    if last.direction is MigrationDirection.OUTGOING:
        reason = f"{END_NOT_SEEN}; {SEE_TARGET}"
        return last.model_copy(update={"phase": "Unknown", "completed": True, "failure_reason": reason})
    if not was_seen:
        return last.model_copy(update={"phase": "Unknown", "completed": True, "failure_reason": END_NOT_SEEN})
    reason = last.failure_reason or DELETED
    return last.model_copy(update={"phase": "Aborted", "completed": True, "failure_reason": reason})
