"""The schedule of a soak is the same for the same seed, and ends in time."""

import pytest
from soak.chaos import ACTS, SPARING_SERVICES
from soak.schedule import schedule

SECONDS, HEAL_SECONDS = 60.0, 20.0


def test_a_seed_makes_the_same_schedule_again() -> None:
    """A failure can be repeated."""
    first, again, other = (schedule(ACTS, seed=seed, seconds=SECONDS, heal_seconds=60) for seed in (7, 7, 8))
    assert first == again
    assert first != other


@pytest.mark.parametrize("seed", range(20))
def test_every_act_ends_within_the_round_and_can_heal_in_time(seed: int) -> None:
    """So no act disturbs the verdict."""
    for act in schedule(ACTS, seed=seed, seconds=SECONDS, heal_seconds=HEAL_SECONDS):
        assert act.at + act.lasts <= SECONDS
        assert act.at + act.lasts + ACTS[act.act].heals_seconds <= SECONDS + HEAL_SECONDS


def test_acts_that_have_not_been_seen_come_first() -> None:
    """A short soak shows as many kinds of faults as it can."""
    unseen = {"garbage", "freeze nats", "token rotated"}
    planned = schedule(ACTS, seed=1, seconds=SECONDS, heal_seconds=HEAL_SECONDS, first=unseen)
    assert {act.act for act in planned[:3]} == unseen


def test_services_live_through_the_second_round() -> None:
    """Otherwise their size would prove nothing."""
    assert not any(name.endswith(("watcher", "projector", "api")) and "freeze" not in name for name in SPARING_SERVICES)
