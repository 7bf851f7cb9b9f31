"""Log lines about something that is wrong for a while."""

import logging

import pytest

from summit_runtime.condition import Condition, duration

logger = logging.getLogger("summit.test")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def away(clock: Clock, caplog: pytest.LogCaptureFixture) -> Condition:
    caplog.set_level(logging.INFO, "summit.test")
    return Condition(logger, clock=clock)


def test_a_condition_is_logged_when_it_begins_every_five_minutes_and_when_it_ends(
    away: Condition, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """However many attempts fail, an outage of eleven minutes makes four lines; the last has its length."""
    for second in range(660):
        clock.now = float(second)
        away.holds("NATS is away (%s)", f"attempt {second}")
    clock.now = 660.0
    away.ends("NATS is there again")
    assert caplog.messages == [
        "NATS is away (attempt 0)",
        "NATS is away (attempt 300) (for 5 min so far)",
        "NATS is away (attempt 600) (for 10 min so far)",
        "NATS is there again, after 11 min",
    ]


def test_a_success_without_a_failure_before_logs_nothing(away: Condition, caplog: pytest.LogCaptureFixture) -> None:
    """`ends` may be called at each success, whether or not the condition held."""
    assert not away.active
    away.ends("NATS is there again")
    away.holds("NATS is away")
    assert away.active
    away.ends("NATS is there again")
    away.ends("NATS is there again")
    assert not away.active
    assert caplog.messages == ["NATS is away", "NATS is there again, after 0.0 s"]


def test_a_condition_that_returns_is_logged_again_at_once(
    away: Condition, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """The five minutes are those of one outage; the next one has its own begin and length."""
    away.holds("away")
    clock.now = 2.0
    away.ends("back")
    away.holds("away")
    clock.now = 5.5
    away.ends("back")
    assert caplog.messages == ["away", "back, after 2.0 s", "away", "back, after 3.5 s"]


def test_another_cause_is_logged_at_once_and_each_cause_every_five_minutes(
    away: Condition, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Two causes that take turns make a line each, not a line each time; one line ends both."""
    for _ in range(3):
        away.holds("away: no route", cause="route")
        away.holds("away: refused", cause="refused")
        clock.now += 10
    away.ends("back")
    assert caplog.messages == ["away: no route", "away: refused", "back, after 30 s"]


def test_level_is_the_condition_s_own_and_the_end_is_never_an_error(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """One line may have a level of its own; a debugging condition ends in a debugging line."""
    caplog.set_level(logging.DEBUG, "summit.test")
    for level in (logging.DEBUG, logging.ERROR):
        condition = Condition(logger, level, clock=clock)
        condition.holds("broken")
        condition.holds("broken otherwise", cause="otherwise", level=logging.INFO)
        condition.ends("mended")
    assert [record.levelname for record in caplog.records] == ["DEBUG", "INFO", "DEBUG", "ERROR", "INFO", "WARNING"]


def test_machines_get_the_extra_fields_and_the_duration(
    away: Condition, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A line keeps what it is given as `extra`; the last has `duration_seconds` besides."""
    away.holds("100% away", extra={"cluster": "vulcan"})
    clock.now = 1.25
    away.ends("back", extra={"cluster": "vulcan"})
    first, last = (vars(record) for record in caplog.records)
    assert first["message"] == "100% away"
    assert (first["cluster"], last["cluster"], last["duration_seconds"]) == ("vulcan", "vulcan", 1.25)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (60, "1 min"), (3599, "1 h 0 min"),
     (7500, "2 h 5 min")],
)  # fmt: skip
def test_durations_are_as_exact_as_people_need_them(seconds: float, text: str) -> None:
    """Tenths below ten seconds, minutes from one minute on."""
    assert duration(seconds) == text
