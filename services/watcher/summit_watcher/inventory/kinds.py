"""The kinds of object that are published, each declared once: how it is joined, its events, its end.

All that reads the log back, compares, and makes events follows from a row. docs/how-to-add-a-resource.md has the
other places of a new kind.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter
from typing import Any, Generic, NamedTuple, TypeVar

from summit_models.codec import Decode, StateCodec, decoder
from summit_models.contract import ClusterName, DatacenterId, Uid
from summit_models.event import MigrationEvent, MigrationEventType, ResourceVersions, VmEvent, VmEventType
from summit_models.migration import Migration
from summit_models.subject import migration_subject, vm_subject
from summit_models.vm import Vm
from summit_watcher.inventory.carry_over import carry_over_migration, carry_over_vm
from summit_watcher.inventory.cluster_cache import ClusterCache
from summit_watcher.inventory.published import MIGRATION_CODEC, VM_CODEC, Published, Versions
from summit_watcher.kube.resources import (
    CLUSTER_INSTANCETYPES,
    DATA_VOLUMES,
    INSTANCETYPES,
    MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
    Resource,
)
from summit_watcher.normalize.migration import ended_migration, join_migration
from summit_watcher.normalize.vm import join_vm

Model = Vm | Migration
ModelT = TypeVar("ModelT", bound=Model)


class Joined(NamedTuple, Generic[ModelT]):
    """The present state of an object, and the resourceVersions it was made from."""

    model: ModelT
    versions: Versions
    by: str | None = None
    """Who made the change that led to it, where the cluster says so."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Kind(Generic[ModelT]):
    collection: str
    """The second token of its subjects."""
    decode: Decode
    """Reads one of its events."""
    types: type[StrEnum]
    """Its event types CREATED, UPDATED, DELETED and OBSERVED."""
    codec: StateCodec[ModelT]
    subject: Callable[[DatacenterId, ClusterName, str, str], str]
    """Of datacenter, cluster, namespace and name."""

    resources: tuple[Resource[Any], ...]
    """An object is of one of these resources. `Versions` begin with theirs."""
    joined_with: tuple[Resource[Any], ...] = ()
    """Resources that must be listed too, or be unavailable, before the first object is published."""
    resource_of: Callable[[bytes], Resource[Any]]
    """The resource of the object with this state: when a complete list of it lacks the object, the object is gone."""
    exists: Callable[[ClusterCache, Uid], bool]
    join: Callable[[ClusterCache, Published, Uid], Joined[ModelT]]
    """The present state from the cluster cache, completed by the last published one."""

    versions: Callable[[Any], Versions] = lambda data: (data.resource_version,)
    """The resourceVersions in the data of an event; a kind with one resource has one."""
    versions_field: Callable[[Versions], dict[str, object]] = lambda versions: {"resource_version": versions[0]}
    """The same, as a field of the data of an event."""
    when_gone: Callable[[ModelT, bool], ModelT] = lambda last, _: last
    """The last state of an object that is gone; the flag is True if a watch reported the delete."""
    is_repeated: Callable[[bytes], bool] = lambda _: True
    """Whether an unchanged object is published again before its last event ages out of the log."""


def _join_vm(cache: ClusterCache, published: Published, uid: Uid) -> Joined[Vm]:
    facts, vmi = cache.vms.get(uid), cache.instance_of(uid)
    instancetype = cache.instancetype_of(facts)
    volumes = cache.volumes_of(facts)
    vm = join_vm(
        facts,
        vmi,
        instancetype,
        volumes,
        cache.last_disks_of(uid),
        cluster=published.cluster,
        datacenter=published.datacenter,
    )
    cache.note_known(uid, disk=vm.disk is not None, sizes=vm.cpu is not None)
    last = published.of(VM_KIND.collection).get(uid)
    if last is not None:
        vm = carry_over_vm(
            vm,
            vmi,
            last.state,
            has_same_disks=cache.is_size_of_same_disks(uid),
            has_same_revision=cache.is_size_of_same_revision(facts),
            instances_were_read=cache.vmis.complete or vmi is not None,
            instancetypes_were_read=cache.instancetypes.complete and cache.cluster_instancetypes.complete,
        )
        if vmi is not None and vmi.is_answering:
            vm = cache.lost_addresses.steadied(vm, last.state)
    vmi_versions = (vmi.resource_version if vmi else 0, cache.take_vmi_version(uid), last.versions[1] if last else 0)
    versions = (
        facts.resource_version if facts else 0,
        max(vmi_versions),  # never lower than before: a VM that stops has no instance, but is newer than one that ran
        instancetype.resource_version if instancetype else 0,
    )
    return Joined(vm, versions, cache.take_actor(uid))


def _resource_of_vm(state: bytes) -> Resource[Any]:
    """Of a VirtualMachine, or of an instance that no VirtualMachine owns.

    Looked up in the JSON, since parsing ten thousand takes too long: names before the member cannot contain it, labels
    after it can.
    """
    is_vm = state.partition(b'"kind":"')[2].startswith(b'VirtualMachine"')
    return VIRTUAL_MACHINES if is_vm else VIRTUAL_MACHINE_INSTANCES


def _join_migration(cache: ClusterCache, published: Published, uid: Uid) -> Joined[Migration]:
    facts = cache.migrations.items[uid]
    vmi, vm_uid = cache.moved_by(facts)
    migration = join_migration(facts, vmi, vm_uid, cluster=published.cluster, datacenter=published.datacenter)
    last = published.of(MIGRATION_KIND.collection).get(uid)
    if last is not None:
        migration = carry_over_migration(migration, last.state)
    memory_bytes = vmi.memory.value if vmi else None
    migration = cache.stuck.judged(migration, last.state if last else None, facts.blocked, memory_bytes)
    return Joined(migration, (facts.resource_version,))


_VM_VERSIONS = tuple(ResourceVersions.model_fields)

VM_KIND = Kind(
    collection="vms",
    decode=decoder(VmEvent),
    types=VmEventType,
    codec=VM_CODEC,
    subject=vm_subject,
    resources=(VIRTUAL_MACHINES, VIRTUAL_MACHINE_INSTANCES),
    joined_with=(INSTANCETYPES, CLUSTER_INSTANCETYPES, DATA_VOLUMES),
    resource_of=_resource_of_vm,
    exists=ClusterCache.is_vm,
    join=_join_vm,
    versions=attrgetter(*(f"resource_versions.{name}" for name in _VM_VERSIONS)),
    versions_field=lambda versions: {"resource_versions": dict(zip(_VM_VERSIONS, versions, strict=True))},
)
MIGRATION_KIND = Kind(
    collection="migrations",
    decode=decoder(MigrationEvent),
    types=MigrationEventType,
    codec=MIGRATION_CODEC,
    subject=migration_subject,
    resources=(MIGRATIONS,),
    resource_of=lambda _: MIGRATIONS,
    exists=lambda cache, uid: uid in cache.migrations.items,
    join=_join_migration,
    when_gone=lambda last, was_seen: ended_migration(last, was_seen=was_seen),
    is_repeated=lambda state: b'"completed":false' in state,  # the tables keep an ended one, and the log may drop it
)

KINDS: tuple[Kind[Any], ...] = (VM_KIND, MIGRATION_KIND)
"""In the order in which they are published: VMs first, since migrations refer to them."""
