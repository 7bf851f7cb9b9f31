"""One cluster as it is known now: the stores of its resources, joined, and what of that the log does not say yet.

A VM's state is made from its VirtualMachine, its VirtualMachineInstance and its instancetype, which arrive on separate
watches in any order. So each change only marks the VMs it touches; `take_events` recomputes those and compares them
with the ledger. Nothing is told before the first lists are complete: half a picture is full of stopped VMs.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from summit_models.contract import Uid
from summit_models.vm import Vm
from summit_watcher import events
from summit_watcher.events import Outgoing
from summit_watcher.ledger import Ledger, Versions
from summit_watcher.listwatch_events import Apply, Bookmark, Delete, Init, InitApply, InitDone, ListWatchEvent, turns
from summit_watcher.manifests import Manifest
from summit_watcher.normalize import (
    InstancetypeFacts,
    InstancetypeKey,
    MigrationFacts,
    VmFacts,
    VmiFacts,
    instancetype_facts,
    instancetype_key,
    join_migration,
    join_vm,
    migration_facts,
    number_of,
    vm_facts,
    vmi_facts,
)
from summit_watcher.remembered import with_what_was_known
from summit_watcher.resources import (
    CLUSTER_INSTANCETYPES,
    INSTANCETYPES,
    MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
    Resource,
)
from summit_watcher.store import Change, Store

Name = tuple[str, str]
"""Namespace and name."""


_IS_VM = b'"kind":"VirtualMachine"'
"""Part of the state of a VM that is not a standalone instance; parsing ten thousand states takes too long for that."""

_IS_UNDER_WAY = b'"completed":false'


class _Intake(NamedTuple):
    """The way of one resource into the inventory."""

    store: Store[Any]
    facts: Callable[[Any], Any]


def _now() -> datetime:
    return datetime.now(UTC)


class Inventory:
    def __init__(self, ledger: Ledger, clock: Callable[[], datetime] = _now) -> None:
        self.ledger = ledger
        self._clock = clock
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
        self._gone: dict[Uid, Change[VmFacts] | Change[VmiFacts] | Change[MigrationFacts]] = {}
        self._vmi_versions: dict[Uid, int] = {}
        self._told = False
        self._told_migrations = False

        self._intakes: Mapping[str, _Intake] = MappingProxyType(
            {
                VIRTUAL_MACHINES.plural: _Intake(self.vms, vm_facts),
                VIRTUAL_MACHINE_INSTANCES.plural: _Intake(self.vmis, vmi_facts),
                MIGRATIONS.plural: _Intake(self.migrations, migration_facts),
                INSTANCETYPES.plural: _Intake(self.instancetypes, instancetype_facts),
                CLUSTER_INSTANCETYPES.plural: _Intake(self.cluster_instancetypes, instancetype_facts),
            }
        )

    # What the watches say

    def follow(self, resource: Resource[Any], told: Sequence[ListWatchEvent[Manifest]]) -> Iterator[Outgoing]:
        """Take in what the list-watch of a resource tells, and give the events that follow from it, all to be taken.

        What happened to one object is told step by step, however quickly it came: create and delete in one burst are
        two events, and a delete carries the last state there was.
        """
        for turn in turns(told):
            self.apply(resource, turn)
            yield from self.take_events()

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

    def version(self, resource: Resource[Any]) -> int:
        """Up to which resourceVersion everything of a resource has been taken in; 0: not known."""
        return self._intakes[resource.plural].store.version

    def set_unavailable(self, resource: Resource[Any], *, unavailable: bool) -> None:
        """Note that a resource can, or cannot, be read in this cluster: do not wait for its first list."""
        self._intakes[resource.plural].store.unavailable = unavailable

    def known(self, resource: Resource[Any]) -> int | None:
        """How many objects of a resource there are; None before the first complete list."""
        store = self._intakes[resource.plural].store
        return len(store.items) if store.listed else None

    def deletions(self, resource: Resource[Any]) -> tuple[int, int]:
        """How many objects of a resource are known, and how many the list under way has not contained.

        Before the first list of VMs what is known is what the log says.
        """
        store = self._intakes[resource.plural].store
        if resource is not VIRTUAL_MACHINES or store.listed:
            return len(store.items), store.unlisted
        published = [uid for uid, vm in self.ledger.vms.items() if _IS_VM in vm.state]
        return len(published), sum(not store.is_listing(uid) for uid in published)

    def _vm_changed(self, change: Change[VmFacts]) -> None:
        if _is_only_newer(change):
            return
        self._touched_vms[change.uid] = None
        if change.facts is None:
            self._gone[change.uid] = change
            self._forget_name(self._vm_by_name, change.before, change.uid)
            return
        self._gone.pop(change.uid, None)
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
            self._gone[change.uid] = change
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
            self._gone[change.uid] = change
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

    # What the log does not say yet

    @property
    def complete(self) -> bool:
        """The first lists of all that makes up a VM are in, or known not to be had. Once so, it stays so."""
        return self._told or (
            self.vms.listed
            and all(store.settled for store in (self.vmis, self.instancetypes, self.cluster_instancetypes))
        )

    def take_events(self) -> Iterator[Outgoing]:
        """The events that bring the log up to what is known; ends first, since a name may have returned.

        Each event is in the ledger as soon as it is taken, so take all of them.
        """
        if not self.complete:
            return
        if not self._told:
            self._told = True
            self._touched_vms.update(dict.fromkeys(self.ledger.vms))
        self._touch_vms_of_instancetypes()
        touched, self._touched_vms = self._touched_vms, {}
        gone = [uid for uid in touched if uid not in self.vms.items and not self._is_standalone(uid)]
        for uid in gone:
            if event := self._vm_gone(uid):
                yield event
        for uid in touched.keys() - gone:
            if event := self._vm_event(uid):
                yield event
        yield from self._migration_events()

    def observed(self, older_than: timedelta) -> Iterator[Outgoing]:
        """Repeat the state of each VM, and of each migration under way, that the log has not spoken of for so long.

        A migration that has ended does not change any more: the tables keep it, and the log may forget it.
        """
        now = self._clock()
        for uid in [uid for uid, published in self.ledger.vms.items() if now - published.at > older_than]:
            yield events.vm_observed(self.ledger, uid, now)
        for uid, published in list(self.ledger.migrations.items()):
            if now - published.at > older_than and _IS_UNDER_WAY in published.state:
                yield events.migration_observed(self.ledger, uid, now)

    def _touch_vms_of_instancetypes(self) -> None:
        if not self._touched_instancetypes:
            return
        touched, self._touched_instancetypes = self._touched_instancetypes, set()
        self._touched_vms.update(
            (uid, None) for uid, facts in self.vms.items.items() if instancetype_key(facts) in touched
        )

    def _is_standalone(self, uid: Uid) -> bool:
        vmi = self.vmis.get(uid)
        return vmi is not None and not vmi.owner_uid

    def _vm_event(self, uid: Uid) -> Outgoing | None:
        facts = self.vms.get(uid)
        vmi = self.instance_of(uid) if facts else self.vmis.get(uid)
        key = instancetype_key(facts) if facts else None
        instancetype = self._instancetype_by_key.get(key) if key else None
        vm = join_vm(facts, vmi, instancetype, cluster=self.ledger.cluster, datacenter=self.ledger.datacenter)
        last = self.ledger.vms.get(uid)
        if last is not None:
            vm = with_what_was_known(
                vm,
                vmi,
                last.state,
                instances_were_read=self.vmis.listed,
                instancetypes_were_read=self.instancetypes.listed and self.cluster_instancetypes.listed,
            )
        versions = Versions(
            vm=facts.resource_version if facts else 0,
            # Never lower than before: a VM that stops has no instance, but is newer than the VM that ran.
            vmi=max(
                vmi.resource_version if vmi else 0,
                self._vmi_versions.pop(uid, 0),
                last.version.vmi if last else 0,
            ),
            instancetype=instancetype.resource_version if instancetype else 0,
        )
        return events.vm_event(self.ledger, vm, versions, self._clock())

    def instance_of(self, vm: Uid) -> VmiFacts | None:
        """The instance that shows a VM: a live one rather than one that has ended, then the newest."""
        uids = self._vmis_of.get(vm, ())
        if len(uids) <= 1:
            return self.vmis.get(uids[0]) if uids else None
        instances = [vmi for uid in uids if (vmi := self.vmis.get(uid))]
        return max(instances, key=lambda vmi: (not vmi.is_final, vmi.resource_version), default=None)

    def _vm_gone(self, uid: Uid) -> Outgoing | None:
        if not self._may_judge(uid):
            self._touched_vms[uid] = None
            return None
        change = self._gone.pop(uid, None)
        self._vmi_versions.pop(uid, None)
        last = self.ledger.vms.get(uid)
        listed = self.vms if last is None or _IS_VM in last.state else self.vmis
        version = change.version if change else listed.list_version
        by_comparison = change.by_comparison if change else True
        return events.vm_gone(self.ledger, uid, version, self._clock(), by_comparison=by_comparison)

    def _may_judge(self, uid: Uid) -> bool:
        """An instance without a VM cannot be called gone while instances cannot be listed."""
        last = self.ledger.vms.get(uid)
        return self.vmis.listed or last is None or Vm.model_validate_json(last.state).kind == "VirtualMachine"

    def _migration_events(self) -> Iterator[Outgoing]:
        if not self.migrations.listed:
            return
        if not self._told_migrations:
            self._told_migrations = True
            self._touched_migrations.update(dict.fromkeys(self.ledger.migrations))
        touched, self._touched_migrations = self._touched_migrations, {}
        for uid in touched:
            event = self._migration_event(uid) if uid in self.migrations.items else self._migration_gone(uid)
            if event:
                yield event

    def _migration_event(self, uid: Uid) -> Outgoing | None:
        facts = self.migrations.items[uid]
        name = (facts.namespace, facts.vmi_name)
        vmi = self.vmis.get(self._vmi_by_name.get(name))
        vm_uid = (vmi.owner_uid or vmi.uid) if vmi else self._vm_by_name.get(name)
        migration = join_migration(facts, vmi, vm_uid, cluster=self.ledger.cluster, datacenter=self.ledger.datacenter)
        return events.migration_event(self.ledger, migration, facts.resource_version, self._clock())

    def _migration_gone(self, uid: Uid) -> Outgoing | None:
        change = self._gone.pop(uid, None)
        version = change.version if change else self.migrations.list_version
        by_comparison = change.by_comparison if change else True
        return events.migration_gone(self.ledger, uid, version, self._clock(), by_comparison=by_comparison)


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
