"""The event that brings the log from the last published state to the present one, or none. Pure.

Ids are deterministic: the same observation of the same change makes the same id, so publishing it twice is harmless.
They name the resourceVersions and a digest of the state, since a state may change without any version: an instancetype
was edited, or this program learnt a new field.
"""

from datetime import datetime
from hashlib import blake2b

from pydantic import JsonValue
from pydantic_core import from_json

from summit_models.contract import Uid
from summit_models.event import (
    MigrationEvent,
    MigrationEventData,
    MigrationEventType,
    ResourceVersions,
    VmEvent,
    VmEventData,
    VmEventType,
    source_of,
)
from summit_models.migration import Migration
from summit_models.vm import Vm
from summit_watcher.ledger import Ledger, Published
from summit_watcher.normalize import ended_migration


def vm_event(ledger: Ledger, vm: Vm, versions: ResourceVersions, now: datetime) -> VmEvent | None:
    """Enter the state into the ledger and say what changed; None when nothing did."""
    state = vm.model_dump_json().encode()
    last = ledger.vms.get(vm.id)
    if last is not None and last.state == state:
        return None
    ledger.vms[vm.id] = Published(state, versions, now)
    if last is None:
        return _vm_event(ledger, VmEventType.CREATED, vm, versions, now, digest=_digest(state))
    changes = _changes(last.state, state)
    return _vm_event(ledger, VmEventType.UPDATED, vm, versions, now, digest=_digest(state), changes=changes)


def vm_gone(ledger: Ledger, uid: Uid, version: int, now: datetime, *, by_comparison: bool) -> VmEvent | None:
    """Strike a VM from the ledger and say so with its last state; None when the log never knew it."""
    last = ledger.vms.pop(uid, None)
    if last is None:
        return None
    versions = last.version.model_copy(update={"vm": max(last.version.vm, version)})
    vm = Vm.model_validate_json(last.state)
    return _vm_event(ledger, VmEventType.DELETED, vm, versions, now, final_state_unknown=by_comparison)


def vm_observed(ledger: Ledger, uid: Uid, now: datetime) -> VmEvent:
    """Repeat an unchanged state, so that the last word on a living VM never ages out of the log."""
    last = ledger.vms[uid]
    ledger.vms[uid] = last._replace(at=now)
    vm = Vm.model_validate_json(last.state)
    return _vm_event(ledger, VmEventType.OBSERVED, vm, last.version, now, digest=f"{now:%Y%m%d}")


def migration_event(ledger: Ledger, migration: Migration, version: int, now: datetime) -> MigrationEvent | None:
    """Enter the state into the ledger and say what changed; None when nothing did."""
    last = ledger.migrations.get(migration.id)
    if last is not None:
        migration = _with_what_was_known(Migration.model_validate_json(last.state), migration)
    state = migration.model_dump_json().encode()
    if last is not None and last.state == state:
        return None
    ledger.migrations[migration.id] = Published(state, version, now)
    kind = MigrationEventType.UPDATED if last else MigrationEventType.CREATED
    changes = _changes(last.state, state) if last else {}
    return _migration_event(ledger, kind, migration, version, now, digest=_digest(state), changes=changes)


def migration_gone(
    ledger: Ledger, uid: Uid, version: int, now: datetime, *, by_comparison: bool
) -> MigrationEvent | None:
    """Strike a migration from the ledger and say how it ended, as far as that is known; None when never published."""
    last = ledger.migrations.pop(uid, None)
    if last is None:
        return None
    migration = ended_migration(Migration.model_validate_json(last.state))
    version = max(last.version, version)
    return _migration_event(
        ledger, MigrationEventType.DELETED, migration, version, now, final_state_unknown=by_comparison
    )


_KNOWN_ONCE = (
    "vm_id", "mode", "source_node", "target_node", "source_pod", "target_pod", "start_time", "end_time",
)  # fmt: skip


def _with_what_was_known(last: Migration, migration: Migration) -> Migration:
    """Keep what only the instance told: it forgets a migration when the next one starts, or when it stops."""
    kept = {name: old for name in _KNOWN_ONCE if getattr(migration, name) is None and (old := getattr(last, name))}
    return migration.model_copy(update=kept) if kept else migration


def _vm_event(
    ledger: Ledger,
    kind: VmEventType,
    vm: Vm,
    versions: ResourceVersions,
    now: datetime,
    *,
    digest: str = "",
    changes: dict[str, JsonValue] | None = None,
    final_state_unknown: bool = False,
) -> VmEvent:
    # model_construct: each part has been validated where it was made; doing it again costs as much as all the rest.
    data = VmEventData.model_construct(
        **vm.__dict__, changes=changes or {}, resource_versions=versions, final_state_unknown=final_state_unknown
    )
    version = f"{versions.vm}.{versions.vmi}.{versions.instancetype}"
    return VmEvent.model_construct(
        id=_event_id(ledger, vm.id, version, digest, kind),
        source=source_of(ledger.datacenter, ledger.cluster),
        subject=f"{vm.namespace}/{vm.name}",
        time=now,
        type=kind,
        data=data,
    )


def _migration_event(
    ledger: Ledger,
    kind: MigrationEventType,
    migration: Migration,
    version: int,
    now: datetime,
    *,
    digest: str = "",
    changes: dict[str, JsonValue] | None = None,
    final_state_unknown: bool = False,
) -> MigrationEvent:
    data = MigrationEventData.model_construct(
        **migration.__dict__, changes=changes or {}, resource_version=version, final_state_unknown=final_state_unknown
    )
    return MigrationEvent.model_construct(
        id=_event_id(ledger, migration.id, str(version), digest, kind),
        source=source_of(ledger.datacenter, ledger.cluster),
        subject=f"{migration.namespace}/{migration.name}",
        time=now,
        type=kind,
        data=data,
    )


def _event_id(ledger: Ledger, uid: Uid, version: str, digest: str, kind: str) -> str:
    return "/".join(part for part in (ledger.cluster, uid, version, digest, kind.rpartition(".")[2]) if part)


def _digest(state: bytes) -> str:
    return blake2b(state, digest_size=6).hexdigest()


def _changes(before: bytes, after: bytes) -> dict[str, JsonValue]:
    """Each field that differs, with its old value."""
    old, new = from_json(before), from_json(after)
    return {name: old.get(name) for name, value in new.items() if old.get(name) != value}
