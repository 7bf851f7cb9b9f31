"""Which watcher has which cluster: evenly, with as few moves as possible, and the same answer in each watcher. Pure.

Each watcher computes it by itself from what the bucket shows, so nobody leads and nobody has to agree. It is rendezvous
hashing with a bound: a cluster stays with the watcher that has it, one that nobody has goes to the emptiest watcher
that may have it, and among equally empty ones to the one with the highest hash of both. Then clusters move, one after
the other, as long as a watcher has two more than another that may have one of them.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from summit_models.watcher import Place

Run = str
"""One run of a watcher."""


class _Move(NamedTuple):
    """A possible move; the greatest is the best one."""

    gap: int
    is_free: bool
    """Nobody has the cluster yet, so this move costs nothing."""
    weight: int
    place: Place
    to: Run


def spread(may: Mapping[Run, AbstractSet[Place]], owners: Mapping[Place, Run]) -> Mapping[Place, Run]:
    """The owner that each cluster should have. `may`: what each watcher may have; `owners`: who has what now.

    Each cluster that a watcher may have gets one that may have it, and that one has at most one cluster more than any
    other that may have it too.
    """
    places = sorted(set().union(*may.values()))
    found = {place: owners[place] for place in places if place in may.get(owners.get(place, ""), ())}
    loads = Counter(found.values())
    for place in sorted(set(places) - found.keys(), key=lambda place: (_choice(may, place), place)):
        found[place] = min((r for r in may if place in may[r]), key=lambda r: (loads[r], -weight(r, place), r))
        loads[found[place]] += 1
    while best := max(_moves(may, found, owners, loads), default=None):
        loads[found[best.place]] -= 1
        loads[best.to] += 1
        found[best.place] = best.to
    return found


def _choice(may: Mapping[Run, AbstractSet[Place]], place: Place) -> int:
    """How many may have it: what only one may have is given first."""
    return sum(place in places for places in may.values())


def _moves(
    may: Mapping[Run, AbstractSet[Place]],
    found: Mapping[Place, Run],
    owners: Mapping[Place, Run],
    loads: Mapping[Run, int],
) -> Iterator[_Move]:
    """The moves that make the loads more even."""
    lowest = min((loads[run] for run in may), default=0)
    for place, owner in found.items():
        if loads[owner] < lowest + 2:
            continue
        for run, allowed in may.items():
            gap = loads[owner] - loads[run]
            if gap >= 2 and place in allowed:
                yield _Move(gap, owners.get(place) != owner, weight(run, place), place, run)


@lru_cache(maxsize=1 << 14)
def weight(run: Run, place: Place) -> int:
    """The rank of a watcher for a cluster, as good as random and the same everywhere."""
    return int.from_bytes(blake2b(f"{run} {place}".encode(), digest_size=8).digest())
