"""What the log does not say yet of one cluster: what is known of it now, compared with the ledger.

Nothing is told before the first lists are complete: half a picture is full of stopped VMs. Nor does anything count as
gone because it is missing from a list that left something out.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from summit_models.contract import Uid
from summit_watcher import events
from summit_watcher.events import Outgoing
from summit_watcher.ledger import Ledger, Versions
from summit_watcher.listwatch_events import ListWatchEvent, turns
from summit_watcher.manifests import Manifest
from summit_watcher.normalize import join_migration, join_vm
from summit_watcher.picture import End, Picture
from summit_watcher.remembered import with_what_was_known
from summit_watcher.resources import VIRTUAL_MACHINES, Resource
from summit_watcher.store import Change, Store

_IS_UNDER_WAY = b'"completed":false'


def _now() -> datetime:
    return datetime.now(UTC)


class Inventory:
    def __init__(self, ledger: Ledger, clock: Callable[[], datetime] = _now) -> None:
        self.ledger = ledger
        self.picture = Picture()
        self._clock = clock
        self._judged_by: tuple[bool, ...] | None = None
        """How complete the picture was when all that the ledger has was last looked at; None: never yet."""
        self._migrations_judged_by: bool | None = None

    def follow(self, resource: Resource[Any], told: Sequence[ListWatchEvent[Manifest]]) -> Iterator[Outgoing]:
        """Take in what the list-watch of a resource tells, and give the events that follow from it, all to be taken.

        What happened to one object is told step by step, however quickly it came: create and delete in one burst are
        two events, and a delete carries the last state there was.
        """
        for turn in turns(told):
            self.picture.apply(resource, turn)
            yield from self.take_events()

    def deletions(self, resource: Resource[Any]) -> tuple[int, int]:
        """How many objects of a resource are known, and how many the list under way has not contained.

        Before the first complete list of VMs what is known is what the log says.
        """
        store = self.picture.store_of(resource)
        if resource is not VIRTUAL_MACHINES or store.complete:
            return len(store.items), store.unlisted
        published = [uid for uid, vm in self.ledger.vms.items() if _is_vm(vm.state)]
        return len(published), sum(not store.is_listing(uid) for uid in published)

    @property
    def complete(self) -> bool:
        """The first lists of all that makes up a VM are in, or known not to be had. Once so, it stays so."""
        return self._judged_by is not None or self.picture.is_whole

    def take_events(self) -> Iterator[Outgoing]:
        """The events that bring the log up to what is known; ends first, since a name may have returned.

        Each event is in the ledger as soon as it is taken, so take all of them.
        """
        if not self.complete:
            return
        touched = self.picture.take_touched_vms()
        if self._judged_by != self.picture.completeness:
            self._judged_by = self.picture.completeness
            touched |= dict.fromkeys(self.ledger.vms)
        gone = [uid for uid in touched if not self.picture.has_vm(uid)]
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

    def _vm_event(self, uid: Uid) -> Outgoing | None:
        picture = self.picture
        facts = picture.vms.get(uid)
        vmi = picture.instance_of(uid) if facts else picture.vmis.get(uid)
        instancetype = picture.instancetype_of(facts)
        vm = join_vm(facts, vmi, instancetype, cluster=self.ledger.cluster, datacenter=self.ledger.datacenter)
        last = self.ledger.vms.get(uid)
        if last is not None:
            vm = with_what_was_known(
                vm,
                vmi,
                last.state,
                instances_were_read=picture.vmis.complete or vmi is not None,
                instancetypes_were_read=picture.instancetypes.complete and picture.cluster_instancetypes.complete,
            )
        versions = Versions(
            vm=facts.resource_version if facts else 0,
            # Never lower than before: a VM that stops has no instance, but is newer than the VM that ran.
            vmi=max(
                vmi.resource_version if vmi else 0,
                picture.take_vmi_version(uid),
                last.version.vmi if last else 0,
            ),
            instancetype=instancetype.resource_version if instancetype else 0,
        )
        return events.vm_event(self.ledger, vm, versions, self._clock())

    def _vm_gone(self, uid: Uid) -> Outgoing | None:
        last = self.ledger.vms.get(uid)
        end = self._end(uid, self.picture.vms if last is None or _is_vm(last.state) else self.picture.vmis)
        return end and events.vm_gone(self.ledger, uid, end.version, self._clock(), by_comparison=end.by_comparison)

    def _migration_events(self) -> Iterator[Outgoing]:
        migrations = self.picture.migrations
        if not migrations.listed:
            return
        touched = self.picture.take_touched_migrations()
        if self._migrations_judged_by != migrations.complete:
            self._migrations_judged_by = migrations.complete
            touched |= dict.fromkeys(self.ledger.migrations)
        for uid in touched:
            event = self._migration_event(uid) if uid in migrations.items else self._migration_gone(uid)
            if event:
                yield event

    def _migration_event(self, uid: Uid) -> Outgoing | None:
        facts = self.picture.migrations.items[uid]
        vmi, vm_uid = self.picture.migrated(facts)
        migration = join_migration(facts, vmi, vm_uid, cluster=self.ledger.cluster, datacenter=self.ledger.datacenter)
        return events.migration_event(self.ledger, migration, facts.resource_version, self._clock())

    def _migration_gone(self, uid: Uid) -> Outgoing | None:
        end, now = self._end(uid, self.picture.migrations), self._clock()
        return end and events.migration_gone(self.ledger, uid, end.version, now, by_comparison=end.by_comparison)

    def _end(self, uid: Uid, listed: Store[Any]) -> End | None:
        """How something has gone that is not there.

        None if it was not seen to go and may be what a list has left out: it is looked at again when one has not.
        """
        seen = self.picture.take_end(uid)
        if seen or not listed.complete:
            return seen
        return Change(uid, None, None, listed.list_version, by_comparison=True)


def _is_vm(state: bytes) -> bool:
    """Whether a state is that of a VirtualMachine, not of an instance that stands alone.

    Parsing ten thousand takes too long for that. Names before it cannot contain it; labels after it can.
    """
    return state.partition(b'"kind":"')[2].startswith(b'VirtualMachine"')
