"""The clock of the NATS server: what its answers say, and what the clock of this machine does to it."""

import time
from datetime import UTC, datetime, timedelta

from summit_runtime.nats.connection.clock import Clock

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class Machine:
    """A machine whose clock somebody sets."""

    def __init__(self) -> None:
        self.time = NOON
        self.uptime = 1000.0
        self.clock = Clock(lambda: self.time, lambda: self.uptime)

    def passes(self, seconds: float) -> None:
        self.time += seconds * SECOND
        self.uptime += seconds


def test_the_time_is_that_of_this_machine_until_the_server_has_answered() -> None:
    """A process without NATS has no better one."""
    machine = Machine()
    assert machine.clock.now() == machine.clock.shared(machine.time) == NOON
    assert machine.clock.offset_seconds is None


def test_a_machine_that_is_a_day_ahead_has_the_time_of_the_server() -> None:
    """Moments that its own clock has given are converted."""
    machine = Machine()
    machine.clock.note(NOON - timedelta(days=1), 1000.0, 1000.0)
    machine.passes(5)
    assert machine.clock.now() == NOON - timedelta(days=1) + 5 * SECOND
    assert machine.clock.shared(NOON) == NOON - timedelta(days=1)
    assert machine.clock.offset_seconds == 86400


def test_a_clock_that_is_set_back_changes_no_time() -> None:
    """Somebody sets it, or NTP does after a restart: events stay in order."""
    machine = Machine()
    machine.clock.note(NOON, 1000.0, 1000.0)
    machine.time -= timedelta(minutes=10)
    machine.passes(1)
    assert machine.clock.now() == NOON + SECOND
    assert machine.clock.offset_seconds == -600


def test_time_goes_on_while_the_machine_is_suspended() -> None:
    """What was published after a night was dated the evening before, until the server was asked again."""
    clock, since_boot = Clock(), time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
    clock.note(NOON, since_boot - 3600, since_boot - 3600)
    assert abs(clock.now() - NOON - 3600 * SECOND) < 60 * SECOND


def test_the_time_does_not_tremble_with_the_network() -> None:
    """An answer that took a second changes nothing if what is known is possible by it."""
    machine = Machine()
    machine.clock.note(NOON, 1000.0, 1000.0)
    machine.passes(10)
    machine.clock.note(NOON + 9.5 * SECOND, 1009.0, 1010.0)
    assert machine.clock.now() == NOON + 10 * SECOND
    machine.clock.note(NOON + 20 * SECOND, 1010.0, 1010.0)
    assert machine.clock.now() == NOON + 20 * SECOND


def test_what_cannot_be_undone_waits_for_both_clocks() -> None:
    """Either may be ahead; nobody knows before the server has answered."""
    machine = Machine()
    assert machine.clock.earlier() is None
    machine.clock.note(NOON + timedelta(days=1), 1000.0, 1000.0)
    assert machine.clock.earlier() == NOON
    machine.time += timedelta(days=400)
    assert machine.clock.earlier() == NOON + timedelta(days=1)
