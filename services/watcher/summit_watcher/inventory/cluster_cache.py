"""One cluster as it is known now: its objects, how they belong together, and which of them have changed.

A VM is made of its VirtualMachine, its VirtualMachineInstance and its instancetype, which arrive on separate watches in
any order. So each change only marks the VMs and migrations that it touches; what they are then is asked for later.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from summit_models.contract import Uid
from summit_watcher.inventory.store import Change, Store
from summit_watcher.kube.manifests import Manifest
from summit_watcher.kube.resources import (
    CLUSTER_INSTANCETYPES,
    INSTANCETYPES,
    MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
    Resource,
)
from summit_watcher.listwatch.events import Apply, Bookmark, Delete, Init, InitApply, InitDone, ListWatchEvent
from summit_watcher.normalize import (
    InstancetypeFacts,
    InstancetypeKey,
    MigrationFacts,
    VmFacts,
    VmiFacts,
    instancetype_facts,
    instancetype_key,
    migration_facts,
    number_of,
    vm_facts,
    vmi_facts,
)

Name = tuple[str, str]
"""Namespace and name."""
End = Change[VmFacts] | Change[VmiFacts] | Change[MigrationFacts]
"""How something that is gone has gone."""


class _Intake(NamedTuple):
    """The way of one resource into the picture."""

    store: Store[Any]
    facts: Callable[[Any], Any]


class ClusterCache:
    def __init__(self) -> None:
        self.vms: Store[VmFacts] = Store(self._vm_changed)
        self.vmis: Store[VmiFacts] = Store(self._vmi_changed)
        self.migrations: Store[MigrationFacts] = Store(self._migration_changed)
        self.instancetypes: Store[InstancetypeFacts] = Store(self._instancetype_changed)
        self.cluster_instancetypes: Store[InstancetypeFacts] = Store(self._instancetype_changed)

        self._vm_by_name: dict[Name, Uid] = {}
        self._vmi_by_name: dict[Name, Uid] = {}
        self._vmis_of: dict[Uid, tuple[Uid, ...]] = {}
        self._migrations_of: defaultdict[Name, set[Uid]] = defaultdict(set)
        self._instancetype_by_key: dict[InstancetypeKey, InstancetypeFacts] = {}

        self._touched_vms: dict[Uid, None] = {}
        self._touched_migrations: dict[Uid, None] = {}
        self._touched_instancetypes: set[InstancetypeKey] = set()
        self._ends: dict[Uid, End] = {}
        self._vmi_versions: dict[Uid, int] = {}

        self._intakes: Mapping[str, _Intake] = MappingProxyType(
            {
                VIRTUAL_MACHINES.plural: _Intake(self.vms, vm_facts),
                VIRTUAL_MACHINE_INSTANCES.plural: _Intake(self.vmis, vmi_facts),
                MIGRATIONS.plural: _Intake(self.migrations, migration_facts),
                INSTANCETYPES.plural: _Intake(self.instancetypes, instancetype_facts),
                CLUSTER_INSTANCETYPES.plural: _Intake(self.cluster_instancetypes, instancetype_facts),
            }
        )

    def store_of(self, resource: Resource[Any]) -> Store[Any]:
        return self._intakes[resource.plural].store

    def apply(self, resource: Resource[Any], told: Sequence[ListWatchEvent[Manifest]]) -> None:
        """Take in what the list-watch of a resource tells."""
        store, facts = self._intakes[resource.plural]
        for event in told:
            match event:
                case Init():
                    store.init()
                case InitApply(manifest):
                    store.init_apply(facts(manifest))
                case InitDone(version, undecodable=undecodable):
                    store.init_done(number_of(version), sweep=undecodable == 0)
                case Apply(manifest):
                    store.apply(facts(manifest))
                case Delete(manifest):
                    store.delete(facts(manifest))
                case Bookmark(version):
                    store.version = number_of(version)

    # What belongs together

    @property
    def is_whole(self) -> bool:
        """The first lists of all that makes up a VM are in, or known not to be had."""
        others = (self.vmis, self.instancetypes, self.cluster_instancetypes)
        return self.vms.listed and all(store.settled for store in others)

    @property
    def completeness(self) -> tuple[bool, ...]:
        """Of each resource that makes up a VM, whether what is missing here does not exist."""
        stores: tuple[Store[Any], ...] = (self.vms, self.vmis, self.instancetypes, self.cluster_instancetypes)
        return tuple(store.complete for store in stores)

    def has_vm(self, uid: Uid) -> bool:
        """Whether there is such a VirtualMachine, or such an instance that stands alone."""
        vmi = self.vmis.get(uid)
        return uid in self.vms.items or (vmi is not None and not vmi.owner_uid)

    def instance_of(self, vm: Uid) -> VmiFacts | None:
        """The instance that shows a VM: a live one rather than one that has ended, then the newest."""
        uids = self._vmis_of.get(vm, ())
        if len(uids) <= 1:
            return self.vmis.get(uids[0]) if uids else None
        instances = [vmi for uid in uids if (vmi := self.vmis.get(uid))]
        return max(instances, key=lambda vmi: (not vmi.is_final, vmi.resource_version), default=None)

    def instancetype_of(self, vm: VmFacts | None) -> InstancetypeFacts | None:
        key = instancetype_key(vm) if vm else None
        return self._instancetype_by_key.get(key) if key else None

    def migrated(self, migration: MigrationFacts) -> tuple[VmiFacts | None, Uid | None]:
        """The instance that a migration moves, and the id of its VM, as far as they are known."""
        name = (migration.namespace, migration.vmi_name)
        vmi = self.vmis.get(self._vmi_by_name.get(name))
        return vmi, (Uid(vmi.owner_uid or vmi.uid) if vmi else self._vm_by_name.get(name))

    # What has changed

    def take_touched_vms(self) -> dict[Uid, None]:
        """The VMs that may be others than they were when this was last asked; some may be gone."""
        instancetypes, self._touched_instancetypes = self._touched_instancetypes, set()
        if instancetypes:
            of_them = (uid for uid, vm in self.vms.items.items() if instancetype_key(vm) in instancetypes)
            self._touched_vms.update(dict.fromkeys(of_them))
        touched, self._touched_vms = self._touched_vms, {}
        return touched

    def take_touched_migrations(self) -> dict[Uid, None]:
        touched, self._touched_migrations = self._touched_migrations, {}
        return touched

    def take_end(self, uid: Uid) -> End | None:
        """How an object has gone; None when it was not seen to."""
        self._vmi_versions.pop(uid, None)
        return self._ends.pop(uid, None)

    def take_vmi_version(self, vm: Uid) -> int:
        """The newest resourceVersion of an instance of the VM that was seen since this was last asked."""
        return self._vmi_versions.pop(vm, 0)

    def _vm_changed(self, change: Change[VmFacts]) -> None:
        if _is_only_newer(change):
            return
        self._touched_vms[change.uid] = None
        if change.facts is None:
            self._ends[change.uid] = change
            self._forget_name(self._vm_by_name, change.before, change.uid)
            return
        self._ends.pop(change.uid, None)
        name = _name(change.facts)
        former = self._vm_by_name.get(name)
        self._vm_by_name[name] = change.uid
        if former and former != change.uid and former in self.vms.items:
            # Deleted and made again under one name while nobody looked: the old one's end comes first.
            self.vms.forget(former, change.version)

    def _vmi_changed(self, change: Change[VmiFacts]) -> None:
        facts = change.facts or change.before
        if facts is None:
            return
        if change.before and change.facts and change.before.owner_uid != change.facts.owner_uid:
            self._leave_owner(change.before)
        owner = Uid(facts.owner_uid) if facts.owner_uid else None
        if _is_only_newer(change) and len(self._vmis_of.get(owner or change.uid, ())) <= 1:
            return  # of several instances the newest is shown
        if change.facts is None:
            self._forget_name(self._vmi_by_name, facts, change.uid)
        else:
            self._vmi_by_name[_name(facts)] = change.uid
        if owner:
            self._set_instance(owner, change)
        elif change.facts is None:
            self._ends[change.uid] = change
        self._touched_vms[owner or change.uid] = None
        self._touched_migrations.update(dict.fromkeys(self._migrations_of.get(_name(facts), ())))

    def _leave_owner(self, vmi: VmiFacts) -> None:
        """An instance was adopted or abandoned: its former owner, or itself as a VM of its own, is another now."""
        owner, uid = Uid(vmi.owner_uid or vmi.uid), Uid(vmi.uid)
        self._touched_vms[owner] = None
        others = tuple(other for other in self._vmis_of.pop(owner, ()) if other != uid)
        if others:
            self._vmis_of[owner] = others

    def _set_instance(self, owner: Uid, change: Change[VmiFacts]) -> None:
        others = tuple(uid for uid in self._vmis_of.get(owner, ()) if uid != change.uid)
        instances = (*others, change.uid) if change.facts else others
        self._vmi_versions[owner] = max(self._vmi_versions.get(owner, 0), change.version)
        if instances:
            self._vmis_of[owner] = instances
        else:
            self._vmis_of.pop(owner, None)

    def _migration_changed(self, change: Change[MigrationFacts]) -> None:
        self._touched_migrations[change.uid] = None
        facts = change.facts or change.before
        if change.facts is None:
            self._ends[change.uid] = change
            if facts:
                self._forget_migration((facts.namespace, facts.vmi_name), change.uid)
        elif facts:
            self._migrations_of[facts.namespace, facts.vmi_name].add(change.uid)

    def _forget_migration(self, of: Name, uid: Uid) -> None:
        self._migrations_of[of].discard(uid)
        if not self._migrations_of[of]:
            del self._migrations_of[of]

    def _instancetype_changed(self, change: Change[InstancetypeFacts]) -> None:
        facts = change.facts or change.before
        if facts is None:
            return
        self._touched_instancetypes.add(facts.key)
        if change.facts:
            self._instancetype_by_key[facts.key] = change.facts
        else:
            self._instancetype_by_key.pop(facts.key, None)

    @staticmethod
    def _forget_name(names: dict[Name, Uid], facts: VmFacts | VmiFacts | None, uid: Uid) -> None:
        if facts and names.get(_name(facts)) == uid:
            del names[_name(facts)]


def _name(facts: VmFacts | VmiFacts) -> Name:
    return facts.namespace, facts.name


def _is_only_newer(change: Change[VmFacts] | Change[VmiFacts]) -> bool:
    """Nothing has changed that is kept of the object: no VM need be joined and encoded to find that out.

    Its new resourceVersion is in the store, and so in the next event. A change of an annotation is such, for example.
    """
    before, facts = change.before, change.facts
    if before is None or facts is None:
        return False
    return before == msgspec.structs.replace(facts, resource_version=before.resource_version)
