"""Whether each operation that somebody was promised has one true end, one effect at most, and a complete trail."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from soak.operations.asking import Asked
from soak.operations.recorder import CLOCK_SECONDS, Recorder, has_effect
from soak.report import acts_table

from summit_models.event import OperationEvent
from summit_models.operation import NEVER_REPEATED, NEXT, Action, Operation, OperationState
from summit_runtime.nats.streams.consumer import StreamMessage
from summit_simulator.api.acts import Act

UNCHANGED = (
    *("id", "action", "vm_id", "vm_name", "namespace", "cluster", "datacenter", "parameters", "dry_run", "by"),
    *("parent", "requested_at", "deadline"),
)
"""Fields that no step may change."""
LATE_SECONDS = 90.0
"""How long a request may lie in a connection that is half-open, and arrive when nobody waits for it any more."""
_ACTIONS = frozenset(map(str, Action))
Place = tuple[str, str, str, Action]
"""Cluster, namespace, name of a VM, and what was asked for."""


@dataclass
class Courses:
    """What was asked for, what the log has of it, and what the clusters did."""

    asked: Sequence[Asked]
    steps: Mapping[str, Sequence[Operation]]
    """By id, in the order of the log."""
    acts: Mapping[str, Sequence[Act]]
    """By cluster: the requests that arrived, oldest first."""
    recorders: Mapping[str, Recorder]
    listed: Sequence[Mapping[str, Any]]
    """As the API shows them."""

    @property
    def ends(self) -> Sequence[Operation]:
        return [steps[-1] for steps in self.steps.values()]


def steps_of(messages: Sequence[StreamMessage]) -> dict[str, list[Operation]]:
    found: defaultdict[str, list[Operation]] = defaultdict(list)
    for message in messages:
        if message.subject.startswith("summit.operations."):
            step = OperationEvent.model_validate_json(message.body, by_alias=True, by_name=False).data
            found[step.id].append(step)
    return found


def promises_are_kept(seen: Courses) -> Iterator[str]:
    """What was acknowledged is in the log, one operation for each key; what was refused is not."""
    acknowledged = {id_ for asked in seen.asked for id_ in asked.ids}
    yield from (f"{id_} was acknowledged and is not in the log" for id_ in acknowledged - seen.steps.keys())
    for asked in seen.asked:
        if len(asked.ids) > 1:
            yield f"one key made {len(asked.ids)} operations: {sorted(asked.ids)}"
        if asked.ids and asked.is_refused:
            yield f"{asked.action} of VM {asked.vm_id} was acknowledged and refused: {asked.answers}"
    unknown = Counter((asked.action, asked.vm_id) for asked in seen.asked if asked.is_unanswered)
    surplus = Counter((end.action, end.vm_id) for end in seen.ends if end.id not in acknowledged)
    for (action, vm_id), count in (surplus - unknown).items():
        asked_for = [asked.answers for asked in seen.asked if (asked.action, asked.vm_id) == (action, vm_id)]
        yield f"{count} x {action} of VM {vm_id} in the log, though refused or not asked for: answers {asked_for}"


def each_has_one_end(seen: Courses) -> Iterator[str]:
    """Those that a person may still be waiting for have ended by now: their deadlines are over."""
    for id_, steps in seen.steps.items():
        if (count := sum(step.has_ended for step in steps)) != 1:
            last = steps[-1]
            yield f"{_name(last)} has {count} ends; {id_} is {last.state}, its deadline was {last.deadline}"


def the_trail_is_complete(seen: Courses) -> Iterator[str]:
    for steps in seen.steps.values():
        if steps[0].state is not OperationState.PENDING:
            yield f"{_name(steps[0])} begins with {steps[0].state}"
        for before, after in pairwise(steps):
            yield from _broken(before, after)
        yield from _times(steps[-1])


def _broken(before: Operation, after: Operation) -> Iterator[str]:
    if after.state not in NEXT[before.state]:
        yield f"{_name(after)}: {after.state} after {before.state}"
    if changed := [name for name in UNCHANGED if getattr(before, name) != getattr(after, name)]:
        yield f"{_name(after)}: {changed} changed"
    if before.accepted and not after.accepted:
        yield f"{_name(after)}: it was accepted, and is not any more"
    if before.started_at and before.instance != after.instance:
        yield f"{_name(after)}: another instance {after.instance}, before {before.instance}"


def _times(end: Operation) -> Iterator[str]:
    times = [time for time in (end.requested_at, end.started_at, end.ended_at) if time]
    if any((after - before).total_seconds() < -CLOCK_SECONDS for before, after in pairwise(times)):
        yield f"{_name(end)}: its times are not in order: {[str(time) for time in times]}"
    if end.state in (OperationState.SUCCEEDED, OperationState.FAILED) and not (end.ended_at and end.message):
        yield f"{_name(end)}: an end without its time or its reason"


def nothing_is_done_twice(seen: Courses) -> Iterator[str]:
    """Each request that differs from the one before it belongs to an operation of its own."""
    acts, operations = _acts(seen), defaultdict[Place, list[Operation]](list)
    for end in seen.ends:
        if not end.dry_run and end.started_at:
            operations[_place(end)].append(end)
    for place, arrived in acts.items():
        if place[3] in NEVER_REPEATED:
            yield from _unmatched(place, arrived, operations[place])
    for cluster, recorder in seen.recorders.items():
        for name, course in recorder.migrations.items():
            if name.startswith("summit-") and len(uids := {uid for _, uid, _ in course}) > 1:
                yield f"{cluster}: {len(uids)} migrations are called {name}"


def _unmatched(place: Place, arrived: Sequence[Act], operations: Sequence[Operation]) -> Iterator[str]:
    """Requests without an operation of their own that can have sent them. The one that ends first is taken first."""
    free = sorted(operations, key=_ended_at)
    for act in sorted(arrived, key=lambda act: act.arrived_at):
        mine = next((one for one in free if _may_be_of(act, one)), None)
        if mine is None:
            cluster, namespace, name, action = place
            yield f"{cluster}: a {action} of VM {namespace}/{name} at {_shown(act.arrived_at)} is one too many"
        else:
            free.remove(mine)


def _may_be_of(act: Act, operation: Operation) -> bool:
    assert operation.started_at is not None
    is_accepted = operation.accepted or operation.state is OperationState.SUCCEEDED
    late = CLOCK_SECONDS if is_accepted else LATE_SECONDS
    return operation.started_at.timestamp() - CLOCK_SECONDS <= act.arrived_at <= _ended_at(operation) + late


def no_success_without_effect(seen: Courses) -> Iterator[str]:
    acts = _acts(seen)
    for end in seen.ends:
        if end.state is not OperationState.SUCCEEDED or end.dry_run:
            continue
        if end.accepted and not any(_may_be_of(act, end) for act in acts.get(_place(end), ())) and not _is_gone(end):
            yield f"{_name(end)} was accepted ({end.message}), and no such request was executed"
        if not has_effect(end, seen.recorders[end.cluster]):
            yield f"{_name(end)} has succeeded ({end.message}) at {end.ended_at}, and the cluster did not show it"


def dry_runs_do_nothing(seen: Courses) -> Iterator[str]:
    """Each request that the clusters executed belongs to an operation that wanted it."""
    wanted = {_place(end) for end in seen.ends if not end.dry_run and end.started_at}
    yield from (f"{place} was executed, and nobody wanted it" for place in _acts(seen).keys() - wanted)


def the_api_shows_them(seen: Courses) -> Iterator[str]:
    listed = {item["id"]: item["state"] for item in seen.listed}
    ends = {end.id: end.state for end in seen.ends}
    if len(listed) < len(seen.listed):
        yield f"{len(seen.listed) - len(listed)} operations are on two pages"
    for id_ in listed.keys() | ends.keys():
        if listed.get(id_) != ends.get(id_):
            yield f"operation {id_}: the API shows {listed.get(id_)}, the log has {ends.get(id_)}"


CLAIMS = {
    "what was acknowledged is in the log once, and what was refused is not": promises_are_kept,
    "each operation has exactly one end": each_has_one_end,
    "the trail of each operation is complete and in order": the_trail_is_complete,
    "no request was executed twice where twice differs": nothing_is_done_twice,
    "no operation succeeded without its effect": no_success_without_effect,
    "no request was executed that nobody wanted": dry_runs_do_nothing,
    "the API shows each operation as the log has it": the_api_shows_them,
}


def judge(seen: Courses) -> dict[str, list[str]]:
    """Each claim with the findings against it."""
    return {claim: list(check(seen)) for claim, check in CLAIMS.items()}


def figures(seen: Courses, cancels: Sequence[int]) -> list[str]:
    """What was asked for and what came of it, for people."""
    answers = Counter(code for asked in seen.asked for code in asked.answers)
    ends = Counter(f"{end.action} {end.state}" for end in seen.ends)
    taken_over = sum(len({step.executor for step in steps if step.executor}) > 1 for steps in seen.steps.values())
    unanswered = sum(asked.is_unanswered for asked in seen.asked)
    asked = f"{len(seen.asked)} requests for operations, {unanswered} never answered"
    return [
        f"{asked}; answers {dict(sorted(answers.items()))}",
        f"{len(seen.steps)} operations, {taken_over} taken over; {len(cancels)} cancels {dict(Counter(cancels))}",
        *acts_table(ends),
    ]


def _acts(seen: Courses) -> Mapping[Place, Sequence[Act]]:
    """What was executed of what operations ask for."""
    found = defaultdict[Place, list[Act]](list)
    for cluster, acts in seen.acts.items():
        for act in acts:
            if act.action in _ACTIONS and not act.dry_run and act.code < 400:
                found[(cluster, act.namespace, act.name, Action(act.action))].append(act)
    return found


def _place(operation: Operation) -> Place:
    return operation.cluster, operation.namespace, operation.vm_name, operation.action


def _is_gone(end: Operation) -> bool:
    """Somebody else was faster: a delete of what is gone is accepted without a request."""
    return end.action is Action.DELETE


def _ended_at(operation: Operation) -> float:
    return operation.ended_at.timestamp() if operation.ended_at else float("inf")


def _name(operation: Operation) -> str:
    return f"{operation.cluster}: {operation.action} of VM {operation.namespace}/{operation.vm_name} ({operation.id})"


def _shown(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().isoformat(timespec="milliseconds")
