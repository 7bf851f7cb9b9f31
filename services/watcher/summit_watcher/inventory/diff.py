"""What the log does not say yet of one cluster: what is known of it now, compared with the published_state.

Nothing is told before the first lists are complete: half a picture is full of stopped VMs. Nor does anything count as
gone because it is missing from a list that left something out.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from summit_models.contract import Uid
from summit_watcher.inventory import events
from summit_watcher.inventory.carry_over import carried_over
from summit_watcher.inventory.cluster_cache import ClusterCache, End
from summit_watcher.inventory.events import Outgoing
from summit_watcher.inventory.published import PublishedState, Versions
from summit_watcher.inventory.store import Change, Store
from summit_watcher.kube.manifests import Manifest
from summit_watcher.kube.resources import VIRTUAL_MACHINES, Resource
from summit_watcher.listwatch.events import ListWatchEvent, turns
from summit_watcher.normalize import join_migration, join_vm

_IS_UNDER_WAY = b'"completed":false'


def _now() -> datetime:
    return datetime.now(UTC)


class Diff:
    def __init__(self, published_state: PublishedState, clock: Callable[[], datetime] = _now) -> None:
        self.published_state = published_state
        self.cache = ClusterCache()
        self._clock = clock
        self._judged_by: tuple[bool, ...] | None = None
        """How complete the picture was when all that the published_state has was last looked at; None: never yet."""
        self._migrations_judged_by: bool | None = None

    def follow(self, resource: Resource[Any], told: Sequence[ListWatchEvent[Manifest]]) -> Iterator[Outgoing]:
        """Take in what the list-watch of a resource tells, and give the events that follow from it, all to be taken.

        What happened to one object is told step by step, however quickly it came: create and delete in one burst are
        two events, and a delete carries the last state there was.
        """
        for turn in turns(told):
            self.cache.apply(resource, turn)
            yield from self.take_events()

    def deletions(self, resource: Resource[Any]) -> tuple[int, int]:
        """How many objects of a resource are known, and how many the list under way has not contained.

        Before the first complete list of VMs what is known is what the log says.
        """
        store = self.cache.store_of(resource)
        if resource is not VIRTUAL_MACHINES or store.complete:
            return len(store.items), store.unlisted
        published = [uid for uid, vm in self.published_state.vms.items() if _is_vm(vm.state)]
        return len(published), sum(not store.is_listing(uid) for uid in published)

    @property
    def complete(self) -> bool:
        """The first lists of all that makes up a VM are in, or known not to be had. Once so, it stays so."""
        return self._judged_by is not None or self.cache.is_whole

    def take_events(self) -> Iterator[Outgoing]:
        """The events that bring the log up to what is known; ends first, since a name may have returned.

        Each event is in the published_state as soon as it is taken, so take all of them.
        """
        if not self.complete:
            return
        touched = self.cache.take_touched_vms()
        if self._judged_by != self.cache.completeness:
            self._judged_by = self.cache.completeness
            touched |= dict.fromkeys(self.published_state.vms)
        gone = [uid for uid in touched if not self.cache.has_vm(uid)]
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
        for uid in [uid for uid, published in self.published_state.vms.items() if now - published.at > older_than]:
            yield events.vm_observed(self.published_state, uid, now)
        for uid, published in list(self.published_state.migrations.items()):
            if now - published.at > older_than and _IS_UNDER_WAY in published.state:
                yield events.migration_observed(self.published_state, uid, now)

    def _vm_event(self, uid: Uid) -> Outgoing | None:
        cache = self.cache
        facts = cache.vms.get(uid)
        vmi = cache.instance_of(uid) if facts else cache.vmis.get(uid)
        instancetype = cache.instancetype_of(facts)
        vm = join_vm(
            facts, vmi, instancetype, cluster=self.published_state.cluster, datacenter=self.published_state.datacenter
        )
        last = self.published_state.vms.get(uid)
        if last is not None:
            vm = carried_over(
                vm,
                vmi,
                last.state,
                instances_were_read=cache.vmis.complete or vmi is not None,
                instancetypes_were_read=cache.instancetypes.complete and cache.cluster_instancetypes.complete,
            )
        versions = Versions(
            vm=facts.resource_version if facts else 0,
            # Never lower than before: a VM that stops has no instance, but is newer than the VM that ran.
            vmi=max(
                vmi.resource_version if vmi else 0,
                cache.take_vmi_version(uid),
                last.version.vmi if last else 0,
            ),
            instancetype=instancetype.resource_version if instancetype else 0,
        )
        return events.vm_event(self.published_state, vm, versions, self._clock())

    def _vm_gone(self, uid: Uid) -> Outgoing | None:
        last = self.published_state.vms.get(uid)
        end = self._end(uid, self.cache.vms if last is None or _is_vm(last.state) else self.cache.vmis)
        return end and events.vm_gone(
            self.published_state, uid, end.version, self._clock(), by_comparison=end.by_comparison
        )

    def _migration_events(self) -> Iterator[Outgoing]:
        migrations = self.cache.migrations
        if not migrations.listed:
            return
        touched = self.cache.take_touched_migrations()
        if self._migrations_judged_by != migrations.complete:
            self._migrations_judged_by = migrations.complete
            touched |= dict.fromkeys(self.published_state.migrations)
        for uid in touched:
            event = self._migration_event(uid) if uid in migrations.items else self._migration_gone(uid)
            if event:
                yield event

    def _migration_event(self, uid: Uid) -> Outgoing | None:
        facts = self.cache.migrations.items[uid]
        vmi, vm_uid = self.cache.migrated(facts)
        migration = join_migration(
            facts, vmi, vm_uid, cluster=self.published_state.cluster, datacenter=self.published_state.datacenter
        )
        return events.migration_event(self.published_state, migration, facts.resource_version, self._clock())

    def _migration_gone(self, uid: Uid) -> Outgoing | None:
        end, now = self._end(uid, self.cache.migrations), self._clock()
        return end and events.migration_gone(
            self.published_state, uid, end.version, now, by_comparison=end.by_comparison
        )

    def _end(self, uid: Uid, listed: Store[Any]) -> End | None:
        """How something has gone that is not there.

        None if it was not seen to go and may be what a list has left out: it is looked at again when one has not.
        """
        seen = self.cache.take_end(uid)
        if seen or not listed.complete:
            return seen
        return Change(uid, None, None, listed.list_version, by_comparison=True)


def _is_vm(state: bytes) -> bool:
    """Whether a state is that of a VirtualMachine, not of an instance that stands alone.

    Parsing ten thousand takes too long for that. Names before it cannot contain it; labels after it can.
    """
    return state.partition(b'"kind":"')[2].startswith(b'VirtualMachine"')
