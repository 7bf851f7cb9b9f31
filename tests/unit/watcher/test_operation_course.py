"""Any schedule of watchers, kills, suspensions, lost requests and answers: one effect at most, and always an end.

The decisions and the steps are the product's own; the log, the cluster and the time are a model of a page.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from summit_models.contract import ClusterName, DatacenterId, Uid
from summit_models.operation import (
    NEVER_REPEATED,
    NEXT,
    Action,
    Operation,
    accepted,
    canceling,
    claimed,
    ended,
    overdue,
    progressed,
)
from summit_models.operation import OperationState as S
from summit_watcher.operations.course import Act, next_act

CLAIM = timedelta(seconds=5)
"""How long a request may go out after a step of its watcher, and how long another watcher waits for that."""
OVERDUE = timedelta(seconds=30)
BEGIN = datetime(2026, 11, 29, tzinfo=UTC)
OUTCOMES = ("answered", "answer lost", "request lost", "executed later", "refused", "not sent")


class World:
    """The log of one operation, the cluster, and the time."""

    def __init__(self, action: Action, seconds: int) -> None:
        self.now = BEGIN
        self.log = [
            Operation(
                id=Uid("op"), action=action, vm_id=Uid("vm"), vm_name="web", namespace="prod",
                cluster=ClusterName("vulcan"), datacenter=DatacenterId("dc-solna"),
                requested_at=BEGIN, deadline=BEGIN + timedelta(seconds=seconds),
            )
        ]  # fmt: skip
        self.effects = 0
        self.sent_to_ended = 0
        self.under_way: list[Action] = []
        """Requests that are executed later, when nobody waits for them any more."""

    @property
    def newest(self) -> Operation:
        return self.log[-1]

    def execute(self, action: Action) -> bool:
        """Kubernetes itself makes a second request harmless, but for restart, softreboot and reset."""
        if action in NEVER_REPEATED or not self.effects:
            self.effects += 1
            return True
        return False

    def append(self, operation: Operation, basis: int) -> bool:
        """Compare and set: a step is stored only onto the one that it was made from."""
        if basis != len(self.log):
            return False
        self.log.append(operation)
        return True


class Watcher:
    """One watcher: what it knows, and one act at a time. It may be suspended between any two."""

    def __init__(self, name: str, world: World) -> None:
        self.name, self.world = name, world
        self.step = world.newest
        self.revision = 0
        self.seen_at = world.now
        self.has_it = self.may_be_done = self.is_answered = self.is_prepared = False
        self.stored_at = BEGIN - CLAIM * 2

    def act(self, outcome: str, *, is_behind: bool = False) -> None:
        """One act. Who is behind has not received what the log has by now."""
        if not self.has_it:
            self._look()
            return
        if not is_behind:
            self._read()
        if self.has_it:
            self._do(outcome)

    def _look(self) -> None:
        """Take it if it is pending, or had no step for so long that no request of another can go out any more."""
        world = self.world
        if len(world.log) != self.revision:
            self.step, self.revision, self.seen_at = world.newest, len(world.log), world.now
        patience = timedelta(0) if self.step.state is S.PENDING else CLAIM
        if not self.step.has_ended and world.now - self.seen_at >= patience:
            self.has_it, self.may_be_done = True, self.step.state is not S.PENDING
            self.is_answered = self.is_prepared = False

    def _read(self) -> None:
        newest = self.world.newest
        if len(self.world.log) > self.revision:
            if newest.has_ended or newest.executor != self.name:
                self.has_it = False
                return
            self.step, self.revision = newest, len(self.world.log)

    def _do(self, outcome: str) -> None:
        now = self.world.now
        act = next_act(self.step, self.name, now, may_be_done=self.may_be_done)
        match Act.OBSERVE if act is Act.ASK and self.is_answered else act:
            case Act.CLAIM:
                self._append(lambda o: claimed(o, self.name, None, now))
            case Act.ASK if not self.is_prepared:
                self.is_prepared = True  # it has read the VM, and may be suspended here
            case Act.ASK:
                self.is_prepared = False
                self._ask(outcome)
            case Act.OBSERVE:
                self._observe()
            case Act.EXPIRE:
                self._append(lambda o: ended(o, S.EXPIRED, "", now))
            case Act.CANCEL:
                self._append(lambda o: ended(o, S.CANCELED, "before it was asked", now))
            case Act.GIVE_UP:
                self._append(lambda o: ended(o, S.FAILED, "could not be asked", now))
            case Act.NONE:
                self.has_it = False

    def _ask(self, outcome: str) -> None:
        world = self.world
        if world.now - self.stored_at > CLAIM and not self._append(lambda o: progressed(o, "asking")):
            return
        if next_act(self.step, self.name, world.now, may_be_done=self.may_be_done) is not Act.ASK:
            return
        world.sent_to_ended += world.newest.has_ended
        could_be_done, self.may_be_done = self.may_be_done, True
        match outcome:
            case "answered" if world.execute(self.step.action) or not could_be_done:
                self._append(lambda o: accepted(o, ""))
            case "answered":
                self.is_answered = True  # refused, as it is done already
            case "answer lost":
                world.execute(self.step.action)
            case "executed later":
                world.under_way.append(self.step.action)
            case "refused" if could_be_done:
                self.is_answered = True
            case "refused":
                self._append(lambda o: ended(o, S.FAILED, "refused", world.now))
            case "not sent":
                self.may_be_done = could_be_done

    def _observe(self) -> None:
        world, operation = self.world, self.step
        is_invisible = operation.action in (Action.SOFTREBOOT, Action.RESET)
        if operation.accepted or (world.effects and not is_invisible):
            self._append(lambda o: ended(o, S.SUCCEEDED, "", world.now))
        elif is_invisible or operation.deadline <= world.now:
            self._append(lambda o: ended(o, S.FAILED, "not known", world.now))

    def _append(self, make: Callable[[Operation], Operation]) -> bool:
        """As `Steps.append`: onto our own step that somebody wants canceled as well."""
        sent_at = self.world.now
        while not self.world.append(make(self.step), self.revision):
            self._read()
            if not self.has_it:
                return False
        self.step, self.revision, self.stored_at = self.world.newest, len(self.world.log), sent_at
        return True


EVENTS = ("act",) * 12 + ("wait", "wait", "kill", "suspend", "wake up", "execute late", "cancel", "end overdue")


class Schedule:
    """Two watchers of one operation, and what happens to them."""

    def __init__(self, action: Action, seconds: int) -> None:
        self.world = World(action, seconds)
        self.count = 0
        self.watchers = [self.another(), self.another()]
        self.suspended: list[Watcher] = []

    def another(self) -> Watcher:
        self.count += 1
        return Watcher(f"w{self.count}", self.world)

    def happens(self, event: str, number: int, outcome: str) -> None:
        which = number % len(self.watchers)
        match event:
            case "act":
                self.watchers[which].act(outcome, is_behind=number > 6)
            case "wait":
                self.world.now += timedelta(seconds=number)
            case "kill":
                self.watchers[which] = self.another()
            case "suspend":
                self.suspended.append(self.watchers[which])
                self.watchers[which] = self.another()
            case "wake up" if self.suspended:
                self.watchers[which] = self.suspended.pop()
            case "execute late" if self.world.under_way:
                self.world.execute(self.world.under_way.pop())
            case "cancel":
                self.cancel()
            case "end overdue":
                self.end_overdue()

    def cancel(self) -> None:
        newest = self.world.newest
        if newest.state is S.PENDING:
            self.world.append(ended(newest, S.CANCELED, "before it was asked", self.world.now), len(self.world.log))
        elif newest.state is S.RUNNING:
            self.world.append(canceling(newest, ""), len(self.world.log))

    def end_overdue(self) -> None:
        if end := overdue(self.world.newest, self.world.now, OVERDUE):
            self.world.append(end, len(self.world.log))

    def run_out(self) -> None:
        """One healthy watcher ends it, or else the time does; all that was suspended wakes up, and is behind."""
        last = self.another()
        for _ in range(120 + OVERDUE.seconds):
            if self.world.newest.has_ended:
                break
            for _ in range(2):
                last.act("answered")
            self.world.now += timedelta(seconds=1)
            self.end_overdue()
        for zombie in [*self.suspended, *self.watchers]:
            for _ in range(5):
                zombie.act("answered", is_behind=True)

    def check(self) -> None:
        """What holds at any moment."""
        world, end = self.world, self.world.newest
        assert world.effects <= 1
        assert world.sent_to_ended == 0
        assert all(after.state in NEXT[before.state] for before, after in zip(world.log, world.log[1:], strict=False))
        if end.state is S.SUCCEEDED:
            assert world.effects == 1
        elif end.state is S.EXPIRED or end.message in ("before it was asked", "could not be asked", "refused"):
            assert not world.effects
            assert not world.under_way


@settings(max_examples=600, deadline=None)
@given(
    action=st.sampled_from(list(Action)),
    seconds=st.sampled_from([5, 20, 100]),
    schedule=st.lists(
        st.tuples(st.sampled_from(EVENTS), st.integers(1, 9), st.sampled_from(OUTCOMES)), min_size=20, max_size=60
    ),
)
def test_any_schedule_has_one_effect_at_most_and_one_true_end(
    action: Action, seconds: int, schedule: list[tuple[str, int, str]]
) -> None:
    """Kills, suspensions, take-overs, cancels, lost requests and answers, requests that are executed late."""
    one = Schedule(action, seconds)
    for event, number, outcome in schedule:
        one.happens(event, number, outcome)
        one.check()
    one.run_out()
    one.check()
    assert one.world.newest.has_ended


@pytest.mark.parametrize("action", sorted(NEVER_REPEATED))
def test_a_taken_over_one_that_must_not_be_repeated_is_only_observed(action: Action) -> None:
    """Its request may have gone out."""
    running = claimed(World(action, 60).newest, "first", None, BEGIN)
    assert next_act(running, "second", BEGIN, may_be_done=True) is Act.CLAIM
    taken_over = claimed(running, "second", None, BEGIN)
    assert next_act(taken_over, "second", BEGIN, may_be_done=True) is Act.OBSERVE
