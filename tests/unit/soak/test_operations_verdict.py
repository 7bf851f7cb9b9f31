"""The verdict of a soak on operations finds each mistake: one thing is spoilt at a time, and its claim reports it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from soak.operations.asking import Asked
from soak.operations.judging import CLAIMS, Courses, judge
from soak.operations.recorder import Moment, Recorder

from summit_models.contract import ClusterName, DatacenterId, Uid
from summit_models.operation import Action, Operation, OperationState, accepted, claimed, ended
from summit_simulator.api.acts import Act
from summit_simulator.cluster import SimulatedCluster

NOW = datetime(2026, 11, 29, tzinfo=UTC)
AT = NOW.timestamp()
PROMISES, ENDS, TRAIL, TWICE, EFFECT, WANTED, API = CLAIMS


@pytest.fixture
def seen() -> Courses:
    """All is well: one restart, which was acknowledged, executed once, and seen."""
    recorder = Recorder(SimulatedCluster("vulcan").store)
    recorder.vms["vm"] += [
        Moment(AT - 60, exists=True, instance="first", phase="Running"),
        Moment(AT + 3, exists=True, instance="second", phase="Running"),
    ]
    pending = Operation(
        id=Uid("op"), action=Action.RESTART, vm_id=Uid("vm"), vm_name="web", namespace="prod",
        cluster=ClusterName("vulcan"), datacenter=DatacenterId("dc-solna"),
        requested_at=NOW, deadline=NOW + timedelta(minutes=1),
    )  # fmt: skip
    running = claimed(pending, "w1", Uid("first"), NOW + timedelta(seconds=1))
    taken = accepted(running, "yes")
    end = ended(taken, OperationState.SUCCEEDED, "another instance runs", NOW + timedelta(seconds=4))
    asked = Asked(action=Action.RESTART, vm_id="vm", cluster="vulcan", dry_run=False, answers=[0, 202], ids={"op"})
    return Courses(
        [asked],
        {"op": [pending, running, taken, end]},
        {"vulcan": [Act("restart", "prod", "web", code=202, arrived_at=AT + 2)]},
        {"vulcan": recorder},
        [{"id": "op", "state": "succeeded"}],
    )


def test_a_consistent_course_has_no_findings(seen: Courses) -> None:
    """So the findings of the other tests come from what they spoil."""
    assert not any(judge(seen).values())


def _steps(seen: Courses) -> Any:
    return seen.steps["op"]


def _late_act(seen: Courses, **fields: Any) -> None:
    seen.acts["vulcan"].append(seen.acts["vulcan"][0]._replace(**fields))  # type: ignore[attr-defined]


SPOILT: dict[str, tuple[str, Callable[[Any], object]]] = {
    "acknowledged and lost": (PROMISES, lambda seen: seen.asked[0].ids.add("other")),
    "refused and stored": (
        PROMISES,
        lambda seen: (
            seen.asked[0].ids.clear(),
            seen.asked[0].answers.append(404),
            seen.asked[0].answers.pop(0),
            seen.asked[0].answers.pop(0),
        ),
    ),
    "no end": (ENDS, lambda seen: _steps(seen).pop()),
    "two ends": (ENDS, lambda seen: _steps(seen).append(_steps(seen)[-1])),
    "begins in the middle": (TRAIL, lambda seen: _steps(seen).pop(0)),
    "a step after the end": (TRAIL, lambda seen: _steps(seen).append(_steps(seen)[1])),
    "another VM": (TRAIL, lambda seen: _steps(seen).append(_steps(seen)[2].model_copy(update={"vm_id": "x"}))),
    "restarted twice": (TWICE, lambda seen: _late_act(seen, arrived_at=AT + 2.5)),
    "restarted by a zombie": (TWICE, lambda seen: _late_act(seen, arrived_at=AT + 60)),
    "accepted and never executed": (EFFECT, lambda seen: seen.acts["vulcan"].clear()),
    "no other instance": (EFFECT, lambda seen: seen.recorders["vulcan"].vms["vm"].pop()),
    "another instance too late": (
        EFFECT,
        lambda seen: (
            seen.recorders["vulcan"].vms["vm"].append(seen.recorders["vulcan"].vms["vm"].pop()._replace(at=AT + 30))
        ),
    ),
    "executed and not wanted": (WANTED, lambda seen: _late_act(seen, action="stop")),
    "not shown": (API, lambda seen: seen.listed.clear()),
    "shown otherwise": (API, lambda seen: seen.listed[0].update(state="failed")),
}


@pytest.mark.parametrize("what", SPOILT)
def test_what_is_spoilt_is_found_by_its_claim(seen: Courses, what: str) -> None:
    """A check that cannot fail proves nothing."""
    claim, spoil = SPOILT[what]
    spoil(seen)
    assert judge(seen)[claim]


def test_an_attempt_without_an_answer_may_be_stored_after_a_later_one_was_refused(seen: Courses) -> None:
    """Nobody was promised anything."""
    seen.asked[0].ids.clear()
    seen.asked[0].answers[:] = [0, 409]
    assert not judge(seen)[PROMISES]
    seen.asked[0].answers[:] = [409]
    assert judge(seen)[PROMISES]
