"""`status.migrationState`: the course of one migration, on the instance that is migrated and, at last, on the VMIM.

The instance keeps the state of its last migration until the next one, so a state says nothing of a migration unless the
uid in it is that migration's. Between clusters each side knows itself by the uid in `sourceState` or `targetState`.
"""

from datetime import datetime

import msgspec

from summit_watcher.kube.manifests import MigrationSide, MigrationState
from summit_watcher.normalize.facts import text, timestamp

MAX_REASON = 1000
"""Characters of a failure reason: libvirt's are long."""


class MigrationStateFacts(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    uids: tuple[str, ...] = ()
    source_node: str | None = None
    source_pod: str | None = None
    target_node: str | None = None
    target_pod: str | None = None
    mode: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    completed: bool = False
    """It has ended; `failed` says how."""
    failed: bool = False
    abort_requested: bool = False
    failure_reason: str | None = None

    @property
    def is_active(self) -> bool:
        """It has begun and not ended. No clock is asked: the cluster's may be ahead of ours."""
        return self.started_at is not None and self.ended_at is None and not self.completed and not self.failed

    @property
    def succeeded_at(self) -> datetime | None:
        return self.ended_at if self.completed and not self.failed else None


def migration_state_facts(state: MigrationState | None) -> MigrationStateFacts | None:
    """Read a migration state; None if there is none."""
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
