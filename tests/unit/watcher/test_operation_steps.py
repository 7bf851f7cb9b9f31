"""Steps as they are read from the log, and the newest one of each operation that is done here."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from summit_models.contract import ClusterName, DatacenterId, Revision, Uid
from summit_models.event import operation_event
from summit_models.operation import Action, Operation, claimed, ended, overdue
from summit_models.operation import OperationState as S
from summit_models.subject import subject_of_operation
from summit_watcher.operations.newest import Newest
from summit_watcher.operations.steps import Step, read

NOW = datetime(2026, 11, 29, tzinfo=UTC)


def operation(**fields: Any) -> Operation:
    given: dict[str, Any] = {"id": Uid("op"), "vm_name": "web", "namespace": "prod", **fields}
    return Operation(
        action=Action.START, vm_id=Uid("vm"), cluster=ClusterName("vulcan"), datacenter=DatacenterId("dc-solna"),
        requested_at=NOW, deadline=NOW + timedelta(minutes=1), **given,
    )  # fmt: skip


def body(of: Operation) -> bytes:
    return operation_event(of, Revision(0), writer="api", time=NOW).model_dump_json(by_alias=True).encode()


def step(revision: int, of: Operation | None = None) -> Step:
    return Step(of or operation(), Revision(revision), f"event {revision}")


RUNNING = claimed(operation(), "w", None, NOW)
ENDED = ended(RUNNING, S.SUCCEEDED, "", NOW)


def test_a_step_is_read_with_its_revision() -> None:
    """From the body of its event."""
    found = read("summit.operations.dc-solna.vulcan.op", body(operation()), 7)
    assert found is not None
    assert (found.operation, found.revision) == (operation(), 7)


def test_a_step_under_the_subject_of_another_operation_is_none() -> None:
    """Whoever may write one subject writes no other."""
    assert read("summit.operations.dc-solna.vulcan.other", body(operation()), 7) is None


@pytest.mark.parametrize("bad", [b"", b"{}", b'{"data": 1}', b"\xff"])
def test_what_cannot_be_read_is_none(bad: bytes) -> None:
    """It stops no other operation."""
    assert read("summit.operations.dc-solna.vulcan.op", bad, 7) is None


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "Web", "a?b", "-a", "a\n"])
@pytest.mark.parametrize("field", ["vm_name", "namespace"])
def test_a_name_that_could_be_another_path_is_none(field: str, name: str) -> None:
    """`..` in a path would lead to another object."""
    odd = operation(**{field: name})
    assert read(subject_of_operation(odd), body(odd), 7) is None


@pytest.mark.parametrize("of", [operation(), RUNNING])
def test_a_deadline_at_the_end_of_all_times_is_not_overdue(of: Operation) -> None:
    """One such event in the log ended every watcher, again and again."""
    late = of.model_copy(update={"deadline": datetime.max.replace(tzinfo=UTC)})
    assert overdue(late, NOW, timedelta(minutes=15)) is None


def test_an_operation_begins_once() -> None:
    """Later steps are noted, whoever made them."""
    newest = Newest()
    assert newest.begins(step(1))
    assert not newest.begins(step(2, RUNNING))
    assert newest[Uid("op")].revision == 2


def test_one_that_has_ended_here_does_not_begin_again_by_its_own_earlier_steps() -> None:
    """The log shows them after we have made the last one."""
    newest = Newest()
    assert newest.begins(step(1))
    newest.note(step(3, ENDED))
    newest.leave(Uid("op"))
    assert not newest.begins(step(2, RUNNING))
    assert not newest.begins(step(3, ENDED))
    assert newest.operations() == []


def test_one_that_was_lost_begins_again_by_a_later_step() -> None:
    """Another watcher had it, and may be gone."""
    newest = Newest()
    assert newest.begins(step(1))
    newest.leave(Uid("op"))
    assert not newest.begins(step(1))
    assert newest.begins(step(2, RUNNING))


def test_one_that_has_ended_never_begins() -> None:
    """As most of what the log has."""
    assert not Newest().begins(step(9, ENDED))


def test_a_step_wakes_its_own_operation_only() -> None:
    """Of a thousand that are under way; each has a step every second."""
    newest = Newest()
    assert newest.begins(step(1))
    mine, others = newest.changed(Uid("op")), newest.changed(Uid("other"))
    newest.note(step(2, RUNNING))
    assert mine.is_set()
    assert not others.is_set()
    assert newest.changed(Uid("op")) is not mine
