"""What one watcher takes and hands over, by what the bucket shows."""

from collections.abc import Iterable
from datetime import UTC, datetime

from summit_models.contract import ClusterName, DatacenterId
from summit_models.watcher import Lease, Member, Place
from summit_watcher.leases.plan import Plan, plan
from summit_watcher.leases.spread import Able

SINCE = datetime(2026, 11, 29, tzinfo=UTC)
ME = "me"


def place(name: str, datacenter: str = "here") -> Place:
    return Place(DatacenterId(datacenter), ClusterName(name))


A, B, C, D = map(place, "abcd")


def member(run: str, *declared: Place, unreadable: Iterable[Place] = (), leaving: Iterable[Place] = ()) -> Member:
    places = {"declared": declared, "unreadable": unreadable, "leaving": leaving}
    texts = {name: list(map(str, found)) for name, found in places.items()}
    return Member(watcher=f"watch-1/{run}", run=run, since=SINCE, **texts)


def leases(run: str, places: Iterable[Place]) -> dict[Place, Lease]:
    return {place: Lease(watcher=f"watch-1/{run}", run=run, since=SINCE) for place in places}


def test_a_watcher_that_is_alone_takes_all() -> None:
    """Also before it sees itself in the bucket."""
    assert plan(ME, Able({A, B}), set(), [], {}) == Plan([A, B], [], {})


def test_what_another_has_is_not_taken_before_it_is_handed_over() -> None:
    """One that joins waits for its share."""
    other = member("other", A, B, C, D)
    assert plan(ME, Able({A, B, C, D}), set(), [other, member(ME)], leases("other", [A, B, C, D])).take == []
    assert plan(ME, Able({A, B, C, D}), set(), [other], leases("other", [C, D])).take == [A, B]


def test_one_that_has_more_than_its_share_hands_it_over() -> None:
    """To a watcher that may have it."""
    assert len(plan(ME, Able({A, B, C}), {A, B, C}, [member("other", A, B, C)], {}).hand_over) == 1
    assert plan(ME, Able({A, B, C}), {A, B, C}, [member("other", D)], {}).hand_over == []


def test_a_cluster_that_is_not_declared_any_more_is_handed_over_to_nobody() -> None:
    """It is retired."""
    assert plan(ME, Able({A}), {A, B}, [], leases(ME, [A, B])) == Plan([], [B], {})


def test_the_clusters_of_a_watcher_that_leaves_are_taken_when_it_leaves_them() -> None:
    """It is no member any more, and still has them for a moment."""
    assert plan(ME, Able({A, B}), {A}, [], leases("leaving", [B])).take == []
    assert plan(ME, Able({A, B}), {A}, [], {}).take == [B]


def test_a_cluster_that_moves_to_another_datacenter_waits_until_it_is_retired() -> None:
    """Whoever still has it where it was: another watcher, or this one."""
    there = place("a", "there")
    for run in ("other", ME):
        waits = plan(ME, Able({there, B}), set(), [], leases(run, [A]))
        assert (waits.take, waits.waiting) == ([B], {there: f"watch-1/{run}"})
        waits = plan(ME, Able({there, B}), set(), [member(run, leaving=[A])], {})
        assert (waits.take, waits.waiting) == ([B], {there: f"watch-1/{run}"})
    assert plan(ME, Able({there, B}), set(), [], {}).take == [B, there]


def test_a_cluster_goes_to_a_watcher_that_can_read_its_kubeconfig() -> None:
    """The others make the shares as even as they can without it."""
    able = Able({A, B, C, D}, {A, B})
    other = member("other", A, B, C, D)
    assert plan(ME, able, set(), [other], {}).take == [C, D]
    assert plan(ME, able, {A, C}, [other], leases("other", [B, D])).hand_over == [A]
    assert plan(ME, Able({A, B}), {A}, [member("other", A, B, unreadable=[A, B])], {}).take == [B]


def test_a_cluster_whose_kubeconfig_nobody_can_read_stays_where_it_is() -> None:
    """Its watcher reports what is wrong, and it does not go back and forth."""
    able, other = Able({A, B}, {A, B}), member("other", A, B, unreadable=[A, B])
    assert plan(ME, able, {A}, [other], leases("other", [B])) == Plan([], [], {})
    assert plan(ME, able, set(), [], {}).take == [A, B]
