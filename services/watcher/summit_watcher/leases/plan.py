"""Which clusters one watcher takes and hands over next, by what the bucket shows and what it has. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from summit_models.watcher import Lease, Member, Place
from summit_watcher.leases.spread import Able, Run, possible, spread


class Plan(NamedTuple):
    take: Sequence[Place]
    """Free clusters that should be ours."""
    hand_over: Sequence[Place]
    """Clusters of ours that should not be: another watcher should have them, or they are not declared any more."""
    waiting: Mapping[Place, str]
    """Clusters that nobody takes yet, by the watcher that still has them in another datacenter."""


def plan(
    me: Run,
    able: Able,
    held: AbstractSet[Place],
    members: Sequence[Member],
    leases: Mapping[Place, Lease],
) -> Plan:
    """Plan by the spread over all members.

    `able` is what this watcher may have, and `held` what it has. A cluster that moves to another datacenter is retired
    first where it was, also while a watcher leaves it to others whose files may still have it there: the deletes of the
    retirement, in a later epoch, would count for its VMs here.
    """
    others = {place: lease for place, lease in leases.items() if lease.run != me}
    all_able = {m.run: Able(_places(m.declared), _places(m.unreadable)) for m in members} | {me: able}
    owners = {place: lease.run for place, lease in others.items()} | dict.fromkeys(held, me)
    ours = {place for place, run in spread(possible(all_able), owners).items() if run == me}
    left = {place: member.watcher for member in members for place in _places(member.leaving)}
    there = left | {place: lease.watcher for place, lease in leases.items()}
    still_there = {place.cluster: watcher for place, watcher in there.items() if place not in able.may}
    waiting = {place: still_there[place.cluster] for place in able.may if place.cluster in still_there}
    return Plan(sorted(ours - held - others.keys() - waiting.keys()), sorted(held - ours), waiting)


def _places(texts: Iterable[str]) -> AbstractSet[Place]:
    return set(map(Place.of, texts))
