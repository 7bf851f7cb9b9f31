"""The event that brings the log from the last published state to the present one, or none. Pure.

An event keeps its id however often it is sent, and no other event has it: NATS drops what has an id of the last
minute. So events are numbered within their epoch. An id of what an event says would not do: a state that returns within
a minute, as that of a migration while VMs of one name follow each other, would be dropped. What a killed watcher had
published is not made again, since the log is read back first.

A state is encoded once: for comparison, for the published state, and as the greater part of the event. Readers decode
it with `summit_models.event`.
"""

from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import msgspec
from pydantic import JsonValue

from summit_models.contract import Uid
from summit_models.event import (
    UNMANAGED,
    MigrationEventType,
    VmEventType,
    migration_subject,
    source_of,
    vm_subject,
)
from summit_models.migration import Migration
from summit_models.vm import Vm
from summit_watcher.inventory.published import Doubt, Published, PublishedState, Versions
from summit_watcher.normalize import changes, encoded, ended_migration

_decode = msgspec.json.Decoder(dict[str, Any]).decode

KindT = TypeVar("KindT", VmEventType, MigrationEventType)


class Outgoing(NamedTuple):
    """An event, ready to be published."""

    type: VmEventType | MigrationEventType
    subject: str
    id: str
    body: bytes
    name: str
    """Of the VM or migration, for the log."""


class _Envelope(msgspec.Struct, kw_only=True):
    """`summit_models.event.CloudEvent` around a state that is JSON already."""

    specversion: str = "1.0"
    id: str
    source: str
    subject: str
    time: datetime
    datacontenttype: str = "application/json"
    epoch: int
    type: str
    data: msgspec.Raw


def vm_event(published_state: PublishedState, vm: Vm, versions: Versions, now: datetime) -> Outgoing | None:
    """Enter the state into the published state and say what changed; None when nothing did."""
    state = encoded(vm)
    last = published_state.vms.get(vm.id)
    if last is not None and last.state == state and not last.doubt:
        return None
    published_state.vms[vm.id] = Published(state, versions, now)
    known = _known_to_readers(last)
    kind = _kind(VmEventType, known, state)
    changed = changes(known, vm) if known else {}
    return _vm_event(published_state, kind, vm, state=state, versions=versions, now=now, changes=changed)


def vm_gone(
    published_state: PublishedState, uid: Uid, version: int, now: datetime, *, by_comparison: bool
) -> Outgoing | None:
    """Strike a VM from the published state and say so with its last state; None when the log never knew it.

    `version` is of its own kind, that of an instance for one that stood alone.
    """
    last = published_state.vms.pop(uid, None)
    if last is None:
        return None
    vm = Vm.model_validate_json(last.state)
    versions = last.version
    if vm.kind == "VirtualMachine":
        versions = versions._replace(vm=max(versions.vm, version))
    else:
        versions = versions._replace(vmi=max(versions.vmi, version))
    return _vm_event(
        published_state,
        VmEventType.DELETED,
        vm,
        state=last.state,
        versions=versions,
        now=now,
        final_state_unknown=by_comparison,
    )


def vm_observed(published_state: PublishedState, uid: Uid, now: datetime) -> Outgoing:
    """Repeat an unchanged state, so that the last word on a living VM never ages out of the log."""
    last = published_state.vms[uid]
    published_state.vms[uid] = last._replace(at=now)
    vm = Vm.model_validate_json(last.state)
    return _vm_event(published_state, VmEventType.OBSERVED, vm, state=last.state, versions=last.version, now=now)


def migration_event(
    published_state: PublishedState, migration: Migration, version: int, now: datetime
) -> Outgoing | None:
    """Enter the state into the published state and say what changed; None when nothing did."""
    last = published_state.migrations.get(migration.id)
    if last is not None:
        migration = _with_what_was_known(Migration.model_validate_json(last.state), migration)
    state = migration.model_dump_json().encode()
    if last is not None and last.state == state and not last.doubt:
        return None
    published_state.migrations[migration.id] = Published(state, version, now)
    known = _known_to_readers(last)
    kind = _kind(MigrationEventType, known, state)
    changed = _changed(known, state) if known else {}
    return _migration_event(published_state, kind, migration, state=state, version=version, now=now, changes=changed)


def migration_observed(published_state: PublishedState, uid: Uid, now: datetime) -> Outgoing:
    """Repeat an unchanged state, as `vm_observed` does."""
    last = published_state.migrations[uid]
    published_state.migrations[uid] = last._replace(at=now)
    migration = Migration.model_validate_json(last.state)
    kind = MigrationEventType.OBSERVED
    return _migration_event(published_state, kind, migration, state=last.state, version=last.version, now=now)


def migration_gone(
    published_state: PublishedState, uid: Uid, version: int, now: datetime, *, by_comparison: bool
) -> Outgoing | None:
    """Strike a migration from the published state and say how it ended, if that is known; None when never published."""
    last = published_state.migrations.pop(uid, None)
    if last is None:
        return None
    migration = ended_migration(Migration.model_validate_json(last.state), was_seen=not by_comparison)
    state = migration.model_dump_json().encode()
    version = max(last.version, version)
    return _migration_event(
        published_state,
        MigrationEventType.DELETED,
        migration,
        state=state,
        version=version,
        now=now,
        final_state_unknown=by_comparison,
    )


def _known_to_readers(last: Published[Any] | None) -> bytes | None:
    return None if last is None or last.doubt is Doubt.UNKNOWN else last.state


def _kind(kinds: type[KindT], known: bytes | None, state: bytes) -> KindT:
    """What the state is to readers who know that one: what a void word hides is repeated even if it is the same."""
    if known is None:
        return kinds["CREATED"]
    return kinds["UPDATED" if known != state else "OBSERVED"]


_KNOWN_ONCE = ("mode", "source_node", "target_node", "source_pod", "target_pod", "start_time", "end_time")


def _with_what_was_known(last: Migration, migration: Migration) -> Migration:
    """Keep what only the instance told: it forgets a migration when the next one starts, or when it stops.

    A migration is that of one VM: another one may have its name by now.
    """
    kept = {name: old for name in _KNOWN_ONCE if getattr(migration, name) is None and (old := getattr(last, name))}
    if last.vm_id:
        kept["vm_id"] = last.vm_id
    return migration.model_copy(update=kept) if kept else migration


def _vm_event(
    published_state: PublishedState,
    kind: VmEventType,
    vm: Vm,
    *,
    state: bytes,
    versions: Versions,
    now: datetime,
    changes: dict[str, JsonValue] | None = None,
    final_state_unknown: bool = False,
) -> Outgoing:
    namespace = vm.namespace or UNMANAGED
    about = {
        "changes": changes or {},
        "resourceVersions": versions._asdict(),
        "finalStateUnknown": final_state_unknown,
    }
    event_id = _event_id(published_state, vm.id, kind)
    return Outgoing(
        kind,
        vm_subject(published_state.datacenter, published_state.cluster, namespace, vm.name),
        event_id,
        _body(published_state, kind, event_id, subject=f"{namespace}/{vm.name}", now=now, data=_with(state, about)),
        vm.name,
    )


def _migration_event(
    published_state: PublishedState,
    kind: MigrationEventType,
    migration: Migration,
    *,
    state: bytes,
    version: int,
    now: datetime,
    changes: dict[str, JsonValue] | None = None,
    final_state_unknown: bool = False,
) -> Outgoing:
    about = {"changes": changes or {}, "resourceVersion": version, "finalStateUnknown": final_state_unknown}
    event_id = _event_id(published_state, migration.id, kind)
    return Outgoing(
        kind,
        migration_subject(published_state.datacenter, published_state.cluster, migration.namespace, migration.name),
        event_id,
        _body(
            published_state,
            kind,
            event_id,
            subject=f"{migration.namespace}/{migration.name}",
            now=now,
            data=_with(state, about),
        ),
        migration.name,
    )


def _body(
    published_state: PublishedState, kind: str, event_id: str, *, subject: str, now: datetime, data: msgspec.Raw
) -> bytes:
    source = source_of(published_state.datacenter, published_state.cluster)
    return msgspec.json.encode(
        _Envelope(
            id=event_id, source=source, subject=subject, time=now, epoch=published_state.epoch, type=kind, data=data
        )
    )


def _with(state: bytes, about: dict[str, object]) -> msgspec.Raw:
    """What is said about the event as further members of the state."""
    return msgspec.Raw(state[:-1] + b"," + msgspec.json.encode(about)[1:])


def _event_id(published_state: PublishedState, uid: Uid, kind: str) -> str:
    published_state.events += 1
    return f"{published_state.cluster}/{published_state.epoch}/{published_state.events}/{uid}/{kind.rpartition('.')[2]}"


def _changed(before: bytes, after: bytes) -> dict[str, JsonValue]:
    """Each field that differs, with its old value."""
    old, new = _decode(before), _decode(after)
    return {name: old.get(name) for name, value in new.items() if old.get(name) != value}
