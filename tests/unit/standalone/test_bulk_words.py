"""What people read of a plan for many VMs, and of its course: pure."""

import io
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from summit_standalone.bulk.acting import going_on
from summit_standalone.bulk.course import Course
from summit_standalone.bulk.plan import as_text
from summit_standalone.cli import app
from summit_standalone.operating.live_table import table


def bulk(**members: Any) -> dict[str, Any]:
    return {"id": "b1", "action": "stop", "state": "running", "message": "", "total": 4, "revision": 5} | members


def part(name: str, state: str, revision: int = 6, **members: Any) -> dict[str, Any]:
    return {
        "id": f"op-{name}",
        "action": "stop",
        "vmId": f"id-{name}",
        "vmName": name,
        "namespace": "prod",
        "cluster": "vulcan",
        "state": state,
        "message": "",
        "progress": None,
        "parent": "b1",
        "requestedAt": "2026-11-29T06:00:00Z",
        "endedAt": "2026-11-29T06:00:09Z",
        "revision": revision,
    } | members


def vm(name: str, **members: Any) -> dict[str, Any]:
    place = {"namespace": "prod", "cluster": "vulcan", "datacenter": "dc-solna"}
    return {"id": name, "name": name, **place, "nodeName": "worker-3", "status": "running"} | members


def test_plan_lists_what_is_acted_on_and_what_is_refused() -> None:
    """A long list is cut before a question, and says how to see all of it."""
    refused = vm("d", detail="VM d does not run:\nit is stopped", reason="notRunning", status="stopped")
    plan = {"vms": [vm("a"), vm("b"), vm("c", nodeName=None)], "refused": [refused]}
    lines = as_text("stop", plan, 2).splitlines()
    assert lines[0] == "stop acts on 3 VMs:"
    assert [line.split() for line in lines[1:4]] == [
        ["NAME", "CLUSTER", "NODE", "STATUS"],
        ["prod/a", "vulcan", "worker-3", "running"],
        ["prod/b", "vulcan", "worker-3", "running"],
    ]
    assert lines[4] == "… and 1 more; --dry-run shows all"
    assert lines[5] == "1 VM would be refused and stays as it is:"
    assert lines[7].endswith("VM d does not run:\\nit is stopped")
    assert "prod/c   vulcan    <none>" in as_text("stop", plan)
    assert as_text("stop", {"vms": [], "refused": []}) == "no VM matches"


def test_course_counts_every_vm_once() -> None:
    """One without an operation waits for its turn; an older step changes nothing."""
    course = Course(bulk())
    for step in (part("a", "running"), part("a", "succeeded", 9), part("a", "running", 8), part("b", "failed")):
        course.take_part(step)
    assert course.text == "stop of 4 VMs running: 2 waiting, 1 succeeded, 1 failed"
    assert not course.has_succeeded
    assert not course.take(bulk(state="failed", revision=4))
    assert course.take(bulk(state="paused", message="ada has paused it", revision=10))
    assert course.text == "stop of 4 VMs paused: 2 waiting, 1 succeeded, 1 failed; ada has paused it"


def test_one_that_was_skipped_is_no_success() -> None:
    """Its state may be `succeeded`: nothing failed. But it was not done to each of the VMs."""
    course = Course(bulk(total=2, state="succeeded"))
    course.take_part(part("a", "succeeded"))
    course.take_part(part("b", "skipped", message="VM b does not run"))
    assert course.has_ended
    assert not course.has_succeeded
    course.take_part(part("b", "succeeded", 9))
    assert course.has_succeeded


def test_table_shows_what_is_under_way_first_and_counts_all() -> None:
    """A thousand VMs that have succeeded would hide the one that failed."""
    course = Course(bulk())
    for step in (part("a", "succeeded"), part("b", "failed", message="no"), part("c", "running", progress="Stopping")):
        course.take_part(step)
    out = io.StringIO()
    Console(file=out, width=100).print(table(course.interesting()))
    assert [line.split()[0] for line in out.getvalue().splitlines()] == ["VM", "prod/c", "prod/b"]


def test_interrupted_bulk_operation_can_be_followed_paused_and_canceled() -> None:
    """Before it is stored there is nothing to follow."""
    assert going_on(Course()) == []
    assert going_on(Course(bulk(state="canceled"))) == []
    assert going_on(Course(bulk()))[1:] == [
        "  to follow: summit-connect operations -w b1",
        "  to pause:  summit-connect operations pause b1",
        "  to cancel: summit-connect operations cancel b1",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["stop"], "which VMs? Name them"),
        (["stop", "web", "-l", "app=web"], "--selector is not for"),
        (["migrate", "web", "--on-node", "worker-3"], "--on-node is not for"),
        (["stop", "web", "--max-failures", "2"], "--max-failures is not for"),
        (["operations", "b1", "--bulk"], "leave out either the ids or the filters"),
        (["operations", "--bulk", "-w"], "is watched by its id"),
    ],
)
def test_mistake_in_the_choice_of_vms_is_exit_code_2(arguments: list[str], words: str) -> None:
    """Nothing is asked of any api."""
    result = CliRunner(env={"SUMMIT_URL": "http://127.0.0.1:1", "COLUMNS": "300"}).invoke(app, arguments)
    assert result.exit_code == 2
    assert words in result.stderr
