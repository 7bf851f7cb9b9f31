"""Waiting longer after each failure."""

from hypothesis import given
from hypothesis import strategies as st

from summit_runtime.backoff import Backoff


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_delays_double_up_to_the_cap_with_jitter_of_up_to_the_same_again() -> None:
    """0.8 s doubling to 15 s, each sleep in [d, 2d): no attempt is later than the 30 s that the documents name."""
    backoff = Backoff(clock=Clock())
    for expected in (0.8, 1.6, 3.2, 6.4, 12.8, 15.0, 15.0, 15.0):
        assert expected <= backoff.next_seconds() <= min(2 * expected, 30.0)


def test_two_healthy_minutes_start_it_again() -> None:
    """A failure long after the last one is the first of a new series."""
    clock = Clock()
    backoff = Backoff(clock=clock)
    for _ in range(5):
        backoff.next_seconds()
    clock.now += 200.0
    assert backoff.next_seconds() < 1.6
    assert backoff.attempt == 1


@given(st.floats(min_value=0, max_value=600))
def test_the_server_may_ask_for_more(retry_after: float) -> None:
    """Retry-After is a lower bound, never shortened by the backoff."""
    assert Backoff(clock=Clock()).next_seconds(at_least=retry_after) >= retry_after
