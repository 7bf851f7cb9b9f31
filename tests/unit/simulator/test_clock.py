"""The simulator's clock moves only by hand or with its speed."""

from datetime import UTC, datetime, timedelta

from summit_simulator.objects.clock import Clock

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def test_timers_fire_in_order_at_their_own_time() -> None:
    """A timer may set others on the way."""
    clock = Clock(epoch=EPOCH)
    fired: list[tuple[str, datetime]] = []

    def first() -> None:
        fired.append(("first", clock.now()))
        clock.call_after(1, lambda: fired.append(("second", clock.now())))

    clock.call_after(5, lambda: fired.append(("third", clock.now())))
    clock.call_after(2, first)
    clock.call_after(4, lambda: fired.append(("never", clock.now()))).cancel()
    clock.advance(10)
    assert fired == [(name, EPOCH + timedelta(seconds=at)) for name, at in (("first", 2), ("second", 3), ("third", 5))]
    assert clock.now() == EPOCH + timedelta(seconds=10)
