"""Which watcher has which cluster: evenly, with as few moves as possible, and the same answer in each watcher. Pure.

Each watcher computes it by itself from what the bucket shows, so nobody leads and nobody has to agree. It is rendezvous
hashing with a bound: a cluster stays with the watcher that has it, one that nobody has goes to the emptiest watcher
that may have it, and among equally empty ones to the one with the highest hash of both. Then clusters move, one after
the other, as long as a watcher has two more than another that may have one of them.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from heapq import heappop, heappush
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from summit_models.watcher import Place

Run = str
"""One run of a watcher."""


class Able(NamedTuple):
    """What a watcher may have, and those of them whose kubeconfig it cannot read."""

    may: AbstractSet[Place]
    unreadable: AbstractSet[Place] = frozenset()


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
    if max((loads[run] for run in may), default=0) - min((loads[run] for run in may), default=0) >= 2:
        _Levelling(may, owners, found, loads).run()
    return found


def possible(able: Mapping[Run, Able]) -> Mapping[Run, AbstractSet[Place]]:
    """What each watcher may have, without those that only others have the kubeconfig of.

    A cluster that none has it of goes to one all the same, which reports what is wrong with it.
    """
    readable = {run: may - unreadable for run, (may, unreadable) in able.items()}
    hopeless = set().union(*(may for may, _ in able.values())) - set().union(*readable.values())
    return {run: readable[run] | (may & hopeless) for run, (may, _) in able.items()}


def _choice(may: Mapping[Run, AbstractSet[Place]], place: Place) -> int:
    """How many may have it: what only one may have is given first."""
    return sum(place in places for places in may.values())


class _Candidate(NamedTuple):
    """A cluster that may move from one watcher to another; the least is the best one."""

    is_had: bool
    """False: nobody has the cluster yet, so this move costs nothing."""
    negative_weight: int
    place: Place


@dataclass
class _Levelling:
    """Moves clusters from the fullest watchers to the emptiest, as long as that makes the loads more even.

    Candidates are sorted once: to compare all of them before each move took a minute with three hundred clusters.
    """

    may: Mapping[Run, AbstractSet[Place]]
    owners: Mapping[Place, Run]
    found: dict[Place, Run]
    loads: Counter[Run]

    def __post_init__(self) -> None:
        self._candidates: defaultdict[tuple[Run, Run], list[_Candidate]] = defaultdict(list)
        """A heap for each pair of watchers. A cluster that has moved on is removed when its turn comes."""
        for place in self.found:
            self._offer(place)

    def run(self) -> None:
        while best := self._best():
            place, to = best
            self.loads[self.found[place]] -= 1
            self.loads[to] += 1
            self.found[place] = to
            self._offer(place)

    def _offer(self, place: Place) -> None:
        """Note where a cluster may move to from the watcher that it is given to now."""
        owner = self.found[place]
        is_had = self.owners.get(place) == owner
        for run, allowed in self.may.items():
            if run != owner and place in allowed:
                heappush(self._candidates[owner, run], _Candidate(is_had, -weight(run, place), place))

    def _best(self) -> tuple[Place, Run] | None:
        """The move between the most uneven pair that there is one for, and its watcher; None: no other one helps."""
        gaps = sorted(((self.loads[owner] - self.loads[to], owner, to) for owner, to in self._candidates), reverse=True)
        for gap, pairs in groupby(gaps, key=itemgetter(0)):
            if gap < 2:
                return None
            found = [(first, to) for _, owner, to in pairs if (first := self._first(owner, to))]
            if found:
                first, to = min(found)
                return first.place, to
        return None

    def _first(self, owner: Run, to: Run) -> _Candidate | None:
        candidates = self._candidates[owner, to]
        while candidates and self.found[candidates[0].place] != owner:
            heappop(candidates)
        return candidates[0] if candidates else None


@lru_cache(maxsize=1 << 14)
def weight(run: Run, place: Place) -> int:
    """The rank of a watcher for a cluster, as good as random and the same everywhere."""
    return int.from_bytes(blake2b(f"{run} {place}".encode(), digest_size=8).digest())
