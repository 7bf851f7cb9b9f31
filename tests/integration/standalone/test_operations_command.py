"""`summit-connect operations`: the list, one with its steps, watching, and cancel."""

import json
from collections.abc import AsyncIterator

import pytest
from support.acting import ERP, WATCHER, WEB
from support.commanding import Commanding, commanding

from summit_models.operation import OperationState


@pytest.fixture
async def stack(nats_url: str, database_url: str) -> AsyncIterator[Commanding]:
    async with commanding(nats_url, database_url) as stack:
        yield stack


async def ask(stack: Commanding, path: str) -> str:
    answer = await stack.api.ask("POST", path)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def test_list_has_a_line_for_each_operation_newest_first(stack: Commanding) -> None:
    """With the api's filters."""
    start, stop = await ask(stack, f"/vms/{WEB}/start"), await ask(stack, f"/vms/{ERP}/stop")
    await stack.api.claim(stop)
    await stack.api.end(stop, OperationState.FAILED, "VM is not running")
    header, *lines = (await stack.run("operations")).stdout.splitlines()
    assert header.split() == ["ID", "ACTION", "VM", "CLUSTER", "STATE", "AGE", "TOOK", "BY", "MESSAGE"]
    assert [line.split()[:5] for line in lines] == [
        [stop, "stop", "prod/erp", "vulcan", "failed"],
        [start, "start", "prod/web", "vulcan", "pending"],
    ]
    assert lines[0].endswith("VM is not running")
    for filters in (("--active",), ("--state", "pending"), ("--action", "start", "--since", "1h"), ("--vm", WEB)):
        found = json.loads((await stack.run("operations", *filters, "-o", "json")).stdout)["items"]
        assert [operation["id"] for operation in found] == [start], filters
    assert (await stack.run("operations", "--by", "nobody")).stdout == "there is no such operation\n"
    assert len((await stack.run("operations", "--limit", "1")).stdout.splitlines()) == 2


async def test_one_is_shown_with_its_steps_oldest_first(stack: Commanding) -> None:
    """Who did what when."""
    id_ = await ask(stack, f"/vms/{WEB}/start")
    await stack.api.claim(id_)
    await stack.api.progress(id_, "Scheduling on node-1")
    await stack.api.end(id_, message="it runs on node-1")
    result = await stack.run("operations", id_)
    members, _, steps = result.stdout.partition("\n\n")
    shown = dict(line.split("   ", 1) for line in members.splitlines())
    assert {name: text.strip() for name, text in shown.items()}.items() >= {
        ("operation", id_),
        ("action", "start"),
        ("VM", f"prod/web ({WEB})"),
        ("cluster", "vulcan (dc-solna)"),
        ("state", "succeeded"),
        ("message", "it runs on node-1"),
        ("watcher", WATCHER),
    }
    assert [line.split(maxsplit=2)[1:] for line in steps.splitlines()] == [
        ["STATE", "WHAT"],
        ["pending", "<none>"],
        ["running", f"watcher {WATCHER}"],
        ["running", "Scheduling on node-1"],
        ["succeeded", "it runs on node-1"],
    ]
    (as_json,) = json.loads((await stack.run("operations", id_, "-o", "json")).stdout)["items"]
    assert (as_json["state"], len(as_json["steps"])) == ("succeeded", 4)


async def test_watch_of_one_ends_with_it(stack: Commanding) -> None:
    """The exit code is that of its outcome; one that has ended is shown as it is."""
    id_ = await ask(stack, f"/vms/{WEB}/start")
    running = stack.start("operations", id_, "-w")
    await stack.api.claim(id_)
    await stack.api.end(id_, OperationState.FAILED, "no node takes it")
    result = await running
    assert result.exit_code == 1
    assert result.stderr == "summit-connect: prod/web (vulcan): start failed: no node takes it\n"
    again = await stack.run("operations", "-w", id_)
    assert (again.exit_code, again.stderr) == (1, result.stderr)


async def test_cancel_says_what_it_is_now(stack: Commanding) -> None:
    """A pending one is canceled at once; one that has ended cannot be, and the api says so."""
    id_ = await ask(stack, f"/vms/{WEB}/start")
    result = await stack.run("operations", "cancel", id_)
    assert result.exit_code == 0
    assert "prod/web (vulcan): start canceled" in result.output
    again = await stack.run("operations", "cancel", id_)
    assert again.exit_code == 1
    assert again.stderr == f"summit-connect: operation {id_} has ended: it is canceled\n"


async def test_filters_beside_ids_are_a_mistake(stack: Commanding) -> None:
    """One of them would have no effect."""
    assert (await stack.run("operations", WEB, "--active")).exit_code == 2
