"""Which clusters one watcher takes and hands over next, by what the bucket shows and what it has. Pure."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from summit_models.watcher import Lease, Member, Place
from summit_watcher.leases.spread import Run, spread


class Plan(NamedTuple):
    take: Sequence[Place]
    """Free clusters that should be ours."""
    hand_over: Sequence[Place]
    """Clusters of ours that should not be: another watcher should have them, or they are not declared any more."""
    waiting: Mapping[Place, str]
    """Clusters that nobody takes yet, by the watcher that still has them in another datacenter."""


def plan(
    me: Run,
    may: AbstractSet[Place],
    held: AbstractSet[Place],
    members: Sequence[Member],
    leases: Mapping[Place, Lease],
) -> Plan:
    """Plan by the spread over all members. `may` is what this watcher may have, and `held` what it has.

    A cluster that moves to another datacenter is retired first where it was: two epochs of one number could begin at
    once, and nobody would know which is the newer one.
    """
    others = {place: lease for place, lease in leases.items() if lease.run != me}
    all_may = {member.run: set(map(Place.of, member.declared)) for member in members} | {me: may}
    owners = {place: lease.run for place, lease in others.items()} | dict.fromkeys(held, me)
    ours = {place for place, run in spread(all_may, owners).items() if run == me}
    still_there = {place.cluster: lease.watcher for place, lease in leases.items() if place not in may}
    waiting = {place: still_there[place.cluster] for place in may if place.cluster in still_there}
    return Plan(sorted(ours - held - others.keys() - waiting.keys()), sorted(held - ours), waiting)
