"""Who has which cluster: evenly among those that may, and with as few moves as possible."""

import random
from collections import Counter
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from time import process_time

from hypothesis import given
from hypothesis import strategies as st

from summit_models.contract import ClusterName, DatacenterId
from summit_models.watcher import Place
from summit_watcher.leases.spread import Run, spread


def places(count: int) -> list[Place]:
    return [Place(DatacenterId("dc"), ClusterName(f"c{n}")) for n in range(count)]


RUNS = tuple("abcdef")
PLACES = places(12)

some_runs = st.lists(st.sampled_from(RUNS), min_size=1, max_size=6, unique=True)
anywhere = st.builds(lambda runs, count: ({run: set(places(count)) for run in runs}), some_runs, st.integers(0, 40))
"""Watchers that may all have the same clusters."""
limited = st.dictionaries(st.sampled_from(RUNS), st.sets(st.sampled_from(PLACES)), min_size=1)
"""Watchers that each may have some."""
owned = st.dictionaries(st.sampled_from(PLACES), st.sampled_from((*RUNS, "dead")))


def loads(may: Mapping[Run, AbstractSet[Place]], found: Mapping[Place, Run]) -> Mapping[Run, int]:
    return Counter(found.values()) + Counter()


@given(limited, owned)
def test_each_cluster_that_a_watcher_may_have_gets_one_that_may_have_it(
    may: Mapping[Run, AbstractSet[Place]], owners: Mapping[Place, Run]
) -> None:
    """A cluster that none may have gets none."""
    found = spread(may, owners)
    assert found.keys() == set().union(*may.values())
    assert all(place in may[run] for place, run in found.items())


@given(limited, owned)
def test_no_watcher_has_two_more_than_another_that_may_have_one_of_its_clusters(
    may: Mapping[Run, AbstractSet[Place]], owners: Mapping[Place, Run]
) -> None:
    """The bound of the rendezvous hashing."""
    found = spread(may, owners)
    load = Counter(found.values())
    for place, owner in found.items():
        assert all(load[owner] - load[run] <= 1 for run, allowed in may.items() if place in allowed)


@given(limited, owned)
def test_what_is_spread_stays(may: Mapping[Run, AbstractSet[Place]], owners: Mapping[Place, Run]) -> None:
    """And the order in which a watcher has learned of the others does not matter."""
    found = spread(may, owners)
    assert spread(may, found) == found
    assert spread(dict(reversed(may.items())), dict(reversed(owners.items()))) == found


@given(anywhere)
def test_a_watcher_that_joins_gets_its_share_and_nobody_else_gets_anything(
    may: Mapping[Run, AbstractSet[Place]],
) -> None:
    """Exactly so many clusters move as it needs for an even share."""
    before = spread(may, {})
    after = spread({**may, "new": set(before)}, before)
    moved = {place for place in before if after[place] != before[place]}
    assert {after[place] for place in moved} <= {"new"}
    assert len(moved) == len(before) // (len(may) + 1)


@given(anywhere, st.data())
def test_only_the_clusters_of_a_watcher_that_leaves_move(
    may: Mapping[Run, AbstractSet[Place]], data: st.DataObject
) -> None:
    """The others keep what they have."""
    gone = data.draw(st.sampled_from(sorted(may)))
    before = spread(may, {})
    after = spread({run: allowed for run, allowed in may.items() if run != gone}, before)
    assert {place for place in after if after[place] != before[place]} <= {
        p for p, run in before.items() if run == gone
    }


@given(anywhere, st.integers(0, 2**32))
def test_moves_that_happen_one_by_one_in_any_order_are_no_more_than_are_needed(
    may: Mapping[Run, AbstractSet[Place]], seed: int
) -> None:
    """Each watcher acts by what the bucket shows: it gives up what is not its own, or takes what is free."""
    chance = random.Random(seed)  # noqa: S311  to be repeated, not to be secret
    owners = dict(spread(may, {}))
    may = {**may, "new": set(owners)}
    given_up = 0
    while (wanted := spread(may, owners)) != owners:
        place = chance.choice([place for place in wanted if wanted[place] != owners.get(place)])
        if place in owners:
            del owners[place]
            given_up += 1
        else:
            owners[place] = wanted[place]
    assert given_up == len(owners) // len(may)


def test_clusters_that_nobody_had_are_scattered() -> None:
    """Neighbours in the file are in one room, and fail together: one watcher does not get the first ten of them."""
    found = spread({"a": set(places(40)), "b": set(places(40))}, {})
    assert [found[place] for place in places(40)] not in (["a", "b"] * 20, ["b", "a"] * 20)
    assert Counter(found.values()) == {"a": 20, "b": 20}


def test_a_thousand_clusters_are_spread_in_a_moment() -> None:
    """It stops all watches meanwhile, after each change that the bucket shows: three hundred clusters took 0.2 s."""
    one_has_all = dict.fromkeys(places(1000), "0")
    begun_at = process_time()
    found = spread({str(run): set(one_has_all) for run in range(10)}, one_has_all)
    assert process_time() - begun_at < 1
    assert set(Counter(found.values()).values()) == {100}
