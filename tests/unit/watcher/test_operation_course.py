"""Any schedule of watchers, kills, suspensions, lost requests and answers: one effect at most, and always an end.

The decisions and the steps are the product's own. The log, the cluster, the time, and the order of acts in `Execution`
are a model of a page.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
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
HARMFUL_TWICE = ("restart", "softreboot", "reset")
"""By KubeVirt's virt-api. Kubernetes itself makes a second request for anything else harmless."""
OUTCOMES = ("answered", "answer lost", "answer lost", "request lost", "executed later", "refused", "not sent")


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
        self.nats_is_away = False
        self.effects = 0
        self.sent_to_ended = 0
        self.under_way: list[Action] = []
        """Requests that are executed later, when nobody waits for them any more."""

    @property
    def newest(self) -> Operation:
        return self.log[-1]

    def execute(self, action: Action) -> bool:
        """Whether the cluster does it."""
        if action in HARMFUL_TWICE or not self.effects:
            self.effects += 1
            return True
        return False

    def request(self, operation: Operation, outcome: str) -> str:
        """Send a request; what its sender learns of it."""
        assert not operation.accepted
        self.sent_to_ended += self.newest.has_ended
        match outcome:
            case "answered":
                return "accepted" if self.execute(operation.action) else "refused"
            case "answer lost":
                self.execute(operation.action)
            case "executed later":
                self.under_way.append(operation.action)
            case "refused" | "not sent":
                return outcome
        return "lost"

    def append(self, operation: Operation, basis: int) -> bool:
        """Compare and set: a step is stored only onto the one that it was made from."""
        if self.nats_is_away or basis != len(self.log):
            return False
        self.log.append(operation)
        return True


class LostError(Exception):
    """Somebody else has made the next step."""


Course = Iterator[None]
"""What a watcher does, act by act: at each `yield` it stands still, perhaps for long or for ever."""


class Watcher:
    """One watcher of one operation. It may be suspended or killed between any two acts."""

    def __init__(self, name: str, world: World) -> None:
        self.name, self.world = name, world
        self.outcome = ""
        """What becomes of a request that it sends next."""
        self.is_behind = False
        """It has not received what the log has by now."""
        self.course = self._run()

    def act(self, outcome: str, *, is_behind: bool = False) -> None:
        self.outcome, self.is_behind = outcome, is_behind
        next(self.course)

    def _run(self) -> Course:
        while True:
            yield from self._take()
            with suppress(LostError):
                yield from self._execute()
            yield

    def _take(self) -> Course:
        """Wait until it is pending, or has had no step for so long that no request of another can go out any more."""
        world, seen, since = self.world, 0, self.world.now
        while True:
            if len(world.log) != seen:
                seen, since = len(world.log), world.now
            self.step, self.revision = world.newest, seen
            is_free = self.step.state is S.PENDING or world.now - since > CLAIM
            if is_free and not self.step.has_ended:
                return
            yield

    def _execute(self) -> Course:
        self.may_be_done = self.step.state is not S.PENDING
        self.is_answered = False
        self.stored_at = BEGIN - CLAIM * 2
        while (act := self._next_act()) is not Act.NONE:
            match act:
                case Act.CLAIM:
                    yield from self._append(lambda o: claimed(o, self.name, None, self.world.now))
                case Act.ASK:
                    yield from self._ask()
                case Act.OBSERVE:
                    yield from self._observe()
                case Act.EXPIRE:
                    yield from self._end(S.EXPIRED, "nobody began it")
                case Act.CANCEL:
                    yield from self._end(S.CANCELED, "before it was asked")
                case Act.GIVE_UP:
                    yield from self._end(S.FAILED, "could not be asked")
            yield

    def _next_act(self) -> Act:
        if not self.is_behind:
            self._read()
        act = next_act(self.step, self.name, self.world.now, may_be_done=self.may_be_done)
        return Act.OBSERVE if act is Act.ASK and self.is_answered else act

    def _read(self) -> None:
        newest = self.world.newest
        if len(self.world.log) > self.revision:
            if newest.has_ended or newest.executor != self.name:
                raise LostError
            self.step, self.revision = newest, len(self.world.log)

    def _ask(self) -> Course:
        yield  # it reads the VM
        while self.world.now - self.stored_at > CLAIM:
            yield from self._append(lambda o: progressed(o, "asking"))
        if self._next_act() is not Act.ASK:
            return
        could_be_done, self.may_be_done = self.may_be_done, True
        reaction = self.world.request(self.step, self.outcome)
        yield  # the answer is on its way
        match reaction:
            case "accepted":
                yield from self._append(lambda o: accepted(o, ""))
            case "lost":
                pass
            case "not sent":
                self.may_be_done = could_be_done
            case _ if could_be_done:
                self.is_answered = True  # refused, perhaps because it is done already
            case _:
                yield from self._end(S.FAILED, "refused")

    def _observe(self) -> Course:
        world, operation = self.world, self.step
        is_invisible = operation.action in ("softreboot", "reset")
        if operation.accepted or (world.effects and not is_invisible):
            yield from self._end(S.SUCCEEDED, "")
        elif is_invisible or operation.deadline <= world.now:
            yield from self._end(S.FAILED, "not known")

    def _end(self, state: S, message: str) -> Course:
        yield from self._append(lambda o: ended(o, state, message, self.world.now))

    def _append(self, make: Callable[[Operation], Operation]) -> Course:
        """As `Steps.append`: however long NATS is away, and onto our own step that somebody wants canceled as well."""
        while True:
            sent_at, step = self.world.now, make(self.step)
            assert step.executor in (None, self.name)
            if self.world.append(step, self.revision):
                break
            if self.world.nats_is_away:
                yield
            else:
                self._read()
        self.step, self.revision, self.stored_at = step, len(self.world.log), sent_at
        yield  # the answer of NATS is on its way


EVENTS = ("act",) * 12 + ("wait", "wait", "kill", "suspend", "wake up", "execute late", "cancel", "end overdue", "NATS")


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
        match event:
            case "act" | "kill" | "suspend" | "wake up":
                self.happens_to(number % len(self.watchers), event, number, outcome)
            case "wait":
                self.world.now += timedelta(seconds=number)
            case "execute late" if self.world.under_way:
                self.world.execute(self.world.under_way.pop())
            case "NATS":
                self.world.nats_is_away = not self.world.nats_is_away
            case "cancel":
                self.cancel()
            case "end overdue":
                self.end_overdue()

    def happens_to(self, which: int, event: str, number: int, outcome: str) -> None:
        match event:
            case "act":
                for _ in range(1 + number % 3):
                    self.watchers[which].act(outcome, is_behind=number > 6)
            case "kill":
                self.watchers[which] = self.another()
            case "suspend":
                self.suspended.append(self.watchers[which])
                self.watchers[which] = self.another()
            case "wake up" if self.suspended:
                self.watchers[which] = self.suspended.pop()

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
        self.world.nats_is_away = False
        last = self.another()
        for _ in range(120 + OVERDUE.seconds):
            if self.world.newest.has_ended:
                break
            for _ in range(3):
                last.act("answered")
            self.world.now += timedelta(seconds=1)
            self.end_overdue()
        for zombie in [*self.suspended, *self.watchers]:
            for _ in range(8):
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
    action=st.sampled_from([*Action, *3 * sorted(NEVER_REPEATED | set(map(Action, HARMFUL_TWICE)))]),
    seconds=st.sampled_from([5, 20, 100]),
    schedule=st.lists(
        st.tuples(st.sampled_from(EVENTS), st.integers(1, 9), st.sampled_from(OUTCOMES)), min_size=20, max_size=60
    ),
)
def test_any_schedule_has_one_effect_at_most_and_one_true_end(
    action: Action, seconds: int, schedule: list[tuple[str, int, str]]
) -> None:
    """Kills, suspensions, take-overs, cancels, NATS away, requests and answers that are lost or late."""
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
