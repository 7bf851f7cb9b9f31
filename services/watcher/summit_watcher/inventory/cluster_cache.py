"""The present state of one cluster: its objects, how they belong together, and which of them have changed.

A VM is joined from its VirtualMachine, its VirtualMachineInstance, its instancetype and its DataVolumes, which arrive
on separate watches in any order. So each change only marks the VMs and migrations that it touches; they are joined
later, once.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from summit_models.contract import Uid
from summit_watcher.inventory.lost_addresses import LostAddresses
from summit_watcher.inventory.store import Change, Store
from summit_watcher.inventory.stuck_migrations import StuckMigrations
from summit_watcher.kube.resources import (
    CLUSTER_INSTANCETYPES,
    DATA_VOLUMES,
    INSTANCETYPES,
    MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
    Resource,
)
from summit_watcher.listwatch.events import Apply, Bookmark, Delete, Init, InitApply, InitDone, ListWatchEvent
from summit_watcher.normalize.datavolume import DataVolumeFacts, data_volume_facts
from summit_watcher.normalize.disks import Disk
from summit_watcher.normalize.facts import number_of
from summit_watcher.normalize.instance import VmiFacts, vmi_facts
from summit_watcher.normalize.instancetype import InstancetypeFacts, InstancetypeKey, instancetype_facts
from summit_watcher.normalize.migration import MigrationFacts, migration_facts
from summit_watcher.normalize.virtualmachine import VmFacts, vm_facts

Name = tuple[str, str]
"""Namespace and name."""
RELATED = 100
"""Instances or migrations of one VM that are looked at, those that changed last: a VM has one or two instances, and
KubeVirt keeps five ended migrations of it. A cluster that shows 100 000 must not hold up the others."""
End = Change[VmFacts] | Change[VmiFacts] | Change[MigrationFacts]
"""The change that removed an object."""


class _Intake(NamedTuple):
    """How the objects of one resource enter the cache."""

    facts: Callable[[Any], Any]
    store: Store[Any]
    changed: Callable[[Change[Any]], None]
    """Marks what the change touches."""


class ClusterCache:
    def __init__(self, lost_addresses: LostAddresses, stuck: StuckMigrations) -> None:
        self.lost_addresses = lost_addresses
        self.stuck = stuck
        self.vms = Store[VmFacts]()
        self.vmis = Store[VmiFacts]()
        self.migrations = Store[MigrationFacts]()
        self.instancetypes = Store[InstancetypeFacts]()
        self.cluster_instancetypes = Store[InstancetypeFacts]()
        self.data_volumes = Store[DataVolumeFacts]()
        self._intakes: Mapping[str, _Intake] = {
            VIRTUAL_MACHINES.plural: _Intake(vm_facts, self.vms, self._vm_changed),
            VIRTUAL_MACHINE_INSTANCES.plural: _Intake(vmi_facts, self.vmis, self._vmi_changed),
            MIGRATIONS.plural: _Intake(migration_facts, self.migrations, self._migration_changed),
            INSTANCETYPES.plural: _Intake(instancetype_facts, self.instancetypes, self._instancetype_changed),
            CLUSTER_INSTANCETYPES.plural: _Intake(
                instancetype_facts, self.cluster_instancetypes, self._instancetype_changed
            ),
            DATA_VOLUMES.plural: _Intake(data_volume_facts, self.data_volumes, self._data_volume_changed),
        }

        self._actors: dict[Uid, str] = {}
        self._vm_by_name: dict[Name, Uid] = {}
        self._vmi_by_name: dict[Name, Uid] = {}
        self._vmis_of: dict[Uid, dict[Uid, None]] = {}
        """In the order of their last changes, as are the migrations."""
        self._migrations_of: defaultdict[Name, dict[Uid, None]] = defaultdict(dict)
        self._instancetype_by_key: dict[InstancetypeKey, InstancetypeFacts] = {}
        self._importing: dict[Name, DataVolumeFacts] = {}
        """The DataVolumes that have a progress, and no others: most are complete."""
        self._waiting_for: defaultdict[Name, set[Uid]] = defaultdict(set)
        """By DataVolume the VMs that wait for it."""

        self._last_disks: dict[Uid, tuple[Disk, ...]] = {}
        """By VM the disks of its last instance, once that is gone."""
        self._changed_disks: set[Uid] = set()
        """The stopped VMs whose disks have changed since their size was known."""
        self._changed_pins: set[Uid] = set()
        """The same for the revisions of instancetypes that give them their vCPUs and memory."""

        self._touched: defaultdict[str, dict[Uid, None]] = defaultdict(dict)
        self._touched_instancetypes: set[InstancetypeKey] = set()
        self._ends: dict[Uid, End] = {}
        self._vmi_versions: dict[Uid, int] = {}

    def store_of(self, resource: Resource[Any]) -> Store[Any]:
        return self._intakes[resource.plural].store

    def apply(self, resource: Resource[Any], events: Sequence[ListWatchEvent]) -> None:
        facts, store, changed = self._intakes[resource.plural]
        for event in events:
            match event:
                case Init():
                    store.init()
                case InitApply(manifest):
                    store.init_apply(facts(manifest))
                case InitDone(version, undecodable=undecodable):
                    for change in store.init_done(number_of(version), sweep=undecodable == 0):
                        changed(change)
                case Apply(manifest):
                    if applied := store.apply(facts(manifest)):
                        changed(applied)
                case Delete(manifest):
                    changed(store.delete(facts(manifest)))
                case Bookmark(version):
                    store.version = number_of(version)

    # What belongs together

    def is_vm(self, uid: Uid) -> bool:
        """Whether there is such a VirtualMachine, or such an instance that no VirtualMachine owns."""
        if uid in self.vms.items:
            return True
        vmi = self.vmis.get(uid)
        return vmi is not None and not vmi.owner_uid

    def instance_of(self, vm: Uid) -> VmiFacts | None:
        """The instance of a VM, or the one that is this VM; of several a live one, then the newest."""
        uids = self._vmis_of.get(vm)
        if uids is None:
            return self.vmis.get(vm)
        instances = [vmi for uid in islice(reversed(uids), RELATED) if (vmi := self.vmis.get(uid))]
        return max(instances, key=lambda vmi: (not vmi.is_final, vmi.resource_version), default=None)

    def instancetype_of(self, vm: VmFacts | None) -> InstancetypeFacts | None:
        key = vm.instancetype_key if vm else None
        return self._instancetype_by_key.get(key) if key else None

    def volumes_of(self, vm: VmFacts | None) -> list[DataVolumeFacts]:
        """The DataVolumes that a VM waits for and that have a progress."""
        return [self._importing[name] for name in _volumes(vm) if name in self._importing]

    def last_disks_of(self, vm: Uid) -> tuple[Disk, ...]:
        return self._last_disks.get(vm, ())

    def is_size_of_same_disks(self, vm: Uid) -> bool:
        """Whether the published size of a stopped VM's disks is one of the disks that it has now.

        It is not if they have changed, and not if the last instance showed the size of each: it may have had others.
        """
        return vm not in self._changed_disks and vm not in self._last_disks

    def is_size_of_same_revision(self, vm: VmFacts | None) -> bool:
        """Whether the published vCPUs and memory are those of the revision of an instancetype that the VM has now."""
        return vm is not None and vm.pinned is not None and Uid(vm.uid) not in self._changed_pins

    def note_known(self, vm: Uid, *, disk: bool, sizes: bool) -> None:
        """Note what the present objects show of a VM: it need not be remembered."""
        if disk:
            self._changed_disks.discard(vm)
        if sizes:
            self._changed_pins.discard(vm)

    def moved_by(self, migration: MigrationFacts) -> tuple[VmiFacts | None, Uid | None]:
        """The instance that a migration moves, and the id of its VM, as far as they are known."""
        name = (migration.namespace, migration.vmi_name)
        vmi = self.vmis.get(self._vmi_by_name.get(name))
        return vmi, (Uid(vmi.owner_uid or vmi.uid) if vmi else self._vm_by_name.get(name))

    def migration_named(self, namespace: str, vmi_name: str, name: str) -> MigrationFacts | None:
        """The migration object of this name, among those of an instance."""
        found = (self.migrations.get(uid) for uid in self._migrations_of.get((namespace, vmi_name), ()))
        return next((migration for migration in found if migration and migration.name == name), None)

    # What has changed

    def take_touched(self, resource: Resource[Any]) -> dict[Uid, None]:
        """The VMs or migrations that may have changed since the last call; some may be gone."""
        if resource is VIRTUAL_MACHINES and self._touched_instancetypes:
            keys, self._touched_instancetypes = self._touched_instancetypes, set()
            self._touch(resource, (uid for uid, vm in self.vms.items.items() if vm.instancetype_key in keys))
        return self._touched.pop(resource.plural, {})

    def touch_lost_addresses(self) -> list[Uid]:
        """Mark the VMs whose addresses have been lost for long enough, and return them."""
        due = self.lost_addresses.due()
        self._touch(VIRTUAL_MACHINES, due)
        return due

    def touch_stuck_migrations(self) -> None:
        """Mark the migrations that have stood still for too long."""
        self.stuck.keep(self.migrations.items)
        self._touch(MIGRATIONS, self.stuck.due())

    def take_end(self, uid: Uid) -> End | None:
        """The change that removed an object; None when none was reported."""
        self._vmi_versions.pop(uid, None)
        return self._ends.pop(uid, None)

    def take_actor(self, vm: Uid) -> str | None:
        """Who made the change of the VM's spec that was reported since the last call, where the cluster says so."""
        return self._actors.pop(vm, None)

    def take_vmi_version(self, vm: Uid) -> int:
        """The newest resourceVersion of the VM's instances that was reported since the last call."""
        return self._vmi_versions.pop(vm, 0)

    def _touch(self, resource: Resource[Any], uids: Iterable[Uid]) -> None:
        self._touched[resource.plural].update(dict.fromkeys(uids))

    def _vm_changed(self, change: Change[VmFacts]) -> None:
        if _is_only_newer(change):
            return
        self._touch(VIRTUAL_MACHINES, [change.uid])
        self._note_waiting(change)
        if change.facts is None:
            self._ends[change.uid] = change
            _remove_name(self._vm_by_name, change)
            self._last_disks.pop(change.uid, None)
            self.note_known(change.uid, disk=True, sizes=True)
            self._actors.pop(change.uid, None)
            return
        if change.before is not None:
            if change.facts.last_modified_by and change.before.generation != change.facts.generation:
                self._actors[change.uid] = change.facts.last_modified_by
            if change.before.disks != change.facts.disks:
                self._changed_disks.add(change.uid)
            if change.before.pinned != change.facts.pinned:
                self._changed_pins.add(change.uid)
        self._ends.pop(change.uid, None)
        name = _name(change.facts)
        former = self._vm_by_name.get(name)
        self._vm_by_name[name] = change.uid
        if former and former != change.uid and former in self.vms.items:
            # Deleted and created again under one name while no watch ran: the old one's delete comes first.
            self._vm_changed(self.vms.drop(former, change.version))

    def _note_waiting(self, change: Change[VmFacts]) -> None:
        for name in _volumes(change.before):
            self._waiting_for[name].discard(change.uid)
            if not self._waiting_for[name]:
                del self._waiting_for[name]
        for name in _volumes(change.facts):
            self._waiting_for[name].add(change.uid)

    def _vmi_changed(self, change: Change[VmiFacts]) -> None:
        facts = change.latest
        if change.before and change.facts and change.before.owner_uid != change.facts.owner_uid:
            self._leave_owner(change.before)
        owner = Uid(facts.owner_uid) if facts.owner_uid else None
        if _is_only_newer(change) and len(self._vmis_of.get(owner or change.uid, ())) <= 1:
            return  # of several instances the newest is shown
        if change.facts is None:
            _remove_name(self._vmi_by_name, change)
        else:
            self._vmi_by_name[_name(facts)] = change.uid
        if owner:
            self._set_instance(owner, change)
        elif change.facts is None:
            self._ends[change.uid] = change
        self._touch(VIRTUAL_MACHINES, [owner or change.uid])
        if migrations := self._migrations_of.get(_name(facts)):
            self._touch(MIGRATIONS, islice(reversed(migrations), RELATED))

    def _leave_owner(self, vmi: VmiFacts) -> None:
        """An instance was adopted or released: its former owner, or itself as a VM of its own, has changed."""
        owner, uid = Uid(vmi.owner_uid or vmi.uid), Uid(vmi.uid)
        self._touch(VIRTUAL_MACHINES, [owner])
        instances = self._vmis_of.get(owner, {})
        instances.pop(uid, None)
        if not instances:
            self._vmis_of.pop(owner, None)

    def _set_instance(self, owner: Uid, change: Change[VmiFacts]) -> None:
        instances = self._vmis_of.setdefault(owner, {})
        instances.pop(change.uid, None)
        if change.facts:
            instances[change.uid] = None
        self._vmi_versions[owner] = max(self._vmi_versions.get(owner, 0), change.version)
        if not instances:
            del self._vmis_of[owner]
            self._last_disks[owner] = change.latest.disks or ()

    def _migration_changed(self, change: Change[MigrationFacts]) -> None:
        self._touch(MIGRATIONS, [change.uid])
        facts = change.latest
        of = facts.namespace, facts.vmi_name
        if change.facts is not None:
            self._migrations_of[of].pop(change.uid, None)
            self._migrations_of[of][change.uid] = None
            return
        self._ends[change.uid] = change
        self._migrations_of[of].pop(change.uid, None)
        if not self._migrations_of[of]:
            del self._migrations_of[of]

    def _instancetype_changed(self, change: Change[InstancetypeFacts]) -> None:
        facts = change.latest
        self._touched_instancetypes.add(facts.key)
        if change.facts:
            self._instancetype_by_key[facts.key] = change.facts
        else:
            self._instancetype_by_key.pop(facts.key, None)

    def _data_volume_changed(self, change: Change[DataVolumeFacts]) -> None:
        facts = change.latest
        if _is_only_newer(change):
            return
        if change.facts and change.facts.progress:
            self._importing[_name(facts)] = change.facts
        elif (known := self._importing.get(_name(facts))) and known.uid == change.uid:
            del self._importing[_name(facts)]
        self._touch(VIRTUAL_MACHINES, self._waiting_for.get(_name(facts), ()))


def _name(facts: VmFacts | VmiFacts | DataVolumeFacts) -> Name:
    return facts.namespace, facts.name


def _volumes(vm: VmFacts | None) -> list[Name]:
    return [(vm.namespace, claim) for claim in vm.waits_for] if vm and vm.waits_for else []


def _remove_name(names: dict[Name, Uid], change: Change[VmFacts] | Change[VmiFacts]) -> None:
    """Forget the name of an object that is gone, unless another object has it by now."""
    if change.before and names.get(_name(change.before)) == change.uid:
        del names[_name(change.before)]


def _is_only_newer(change: Change[VmFacts] | Change[VmiFacts] | Change[DataVolumeFacts]) -> bool:
    """Whether nothing has changed but the resourceVersion, as when somebody edits an annotation.

    No VM is joined for it. The store has the new resourceVersion, and so will the next event.
    """
    before, facts = change.before, change.facts
    if before is None or facts is None:
        return False
    return before == msgspec.structs.replace(facts, resource_version=before.resource_version)
