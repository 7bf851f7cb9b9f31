"""`summit-connect stop -l app=web` against a real api: the plan, the confirmation, and the course to its end."""

import json
import re
from collections.abc import AsyncIterator

import pytest
from support.bulk import Many, many, vms
from support.commanding import Commanding, serving
from support.waiting import until

from summit_models.operation import Operation, OperationState
from summit_models.vm import VmStatus

WEB = {"labels": {"app": "web"}}


@pytest.fixture
async def stack(nats_url: str, database_url: str) -> AsyncIterator[Commanding]:
    """Three VMs of the app web run, one is stopped, and there is another VM."""
    async with many(nats_url, database_url) as api:
        await api.publish(
            *vms("web-1", "web-2", "web-3", node_name="node-1", **WEB),
            *vms("web-4", status=VmStatus.STOPPED, **WEB),
            *vms("db"),
        )
        async with serving(api) as stack:
            yield stack


def api_of(stack: Commanding) -> Many:
    assert isinstance(stack.api, Many)
    return stack.api


async def test_dry_run_lists_and_stores_nothing(stack: Commanding) -> None:
    """Those that it would act on, and those that are refused, with the reason."""
    result = await stack.run("stop", "-l", "app=web", "--dry-run")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "stop acts on 3 VMs:"
    assert [line.split()[0] for line in lines[2:5]] == ["prod/web-1", "prod/web-2", "prod/web-3"]
    assert lines[5] == "1 VM would be refused and stays as it is:"
    assert lines[7].endswith("VM web-4 does not run: it is stopped already")
    plan = json.loads((await stack.run("stop", "--on-node", "node-1", "--dry-run", "-o", "json")).stdout)
    assert len(plan["vms"]) == 3
    nothing = await stack.run("stop", "-l", "app=nothing", "--dry-run")
    assert (nothing.exit_code, nothing.stdout) == (1, "no VM matches\n")
    assert await stack.api.steps() == []


async def test_without_a_terminal_it_needs_yes(stack: Commanding) -> None:
    """Nobody is there to ask."""
    result = await stack.run("stop", "-l", "app=web")
    assert result.exit_code == 1
    assert result.stderr == (
        "summit-connect: stop of 3 VMs needs a confirmation, and there is no terminal to ask at: use --yes; "
        "nothing was done\n"
    )
    nothing = await stack.run("start", "--status", "running", "--yes")
    assert nothing.exit_code == 1
    assert nothing.stderr.endswith("nothing was done\n")
    assert await stack.api.steps() == []


async def begun(stack: Commanding) -> str:
    """The id of the newest bulk operation, when there is one under way."""

    async def ids() -> list[str]:
        items = (await stack.api.ask("GET", "/bulk-operations?ended=false")).json()["items"]
        return [item["id"] for item in items]

    return (await until(ids))[0]


async def test_each_vm_has_a_line_and_all_must_succeed(stack: Commanding) -> None:
    """The last line counts them. What failed is on stderr."""

    def outcome(operation: Operation) -> OperationState:
        return OperationState.FAILED if operation.vm_name == "web-2" else OperationState.SUCCEEDED

    running = stack.start("stop", "-l", "app=web", "--yes")
    id_ = await begun(stack)
    await api_of(stack).play(id_, outcome)
    result = await running
    shows = f"summit-connect operations --parent {id_} shows each VM"
    assert result.exit_code == 1
    assert sorted(result.stdout.splitlines()) == [
        "prod/web-1 (vulcan): stop succeeded: done",
        "prod/web-3 (vulcan): stop succeeded: done",
    ]
    assert result.stderr.splitlines() == [
        "summit-connect: prod/web-2 (vulcan): stop failed: done",
        f"summit-connect: stop of 3 VMs failed: 2 succeeded, 1 failed; {shows}",
    ]
    parts = await stack.run("operations", "--parent", id_, "--state", "failed")
    assert [line.split()[2] for line in parts.stdout.splitlines()] == ["VM", "prod/web-2"]


async def test_success_of_all_is_exit_code_0(stack: Commanding) -> None:
    """In JSON there are the bulk operation and the operation on each VM."""
    running = stack.start("pause", "--search", "web-1", "--yes", "-o", "json")
    id_ = await begun(stack)
    await api_of(stack).play(id_)
    result = await running
    assert (result.exit_code, result.stderr) == (0, "")
    answer = json.loads(result.stdout)
    assert (answer["bulkOperation"]["id"], answer["bulkOperation"]["counts"]["succeeded"]) == (id_, 1)
    assert [item["vmName"] for item in answer["items"]] == ["web-1"]


async def test_bulk_operation_is_followed_paused_and_canceled_by_its_id(stack: Commanding) -> None:
    """`--no-wait` prints it. `operations` knows both kinds of operations."""
    stored = await stack.run("stop", "-l", "app=web", "--yes", "--no-wait", "--max-per-cluster", "1")
    assert stored.exit_code == 0
    id_ = stored.stdout.strip()
    paused = await stack.run("operations", "pause", id_)
    assert paused.exit_code == 0
    assert paused.stdout.startswith("stop of 3 VMs paused: ")
    assert (await stack.run("operations", "resume", id_)).stdout.startswith("stop of 3 VMs running: ")
    shown = await stack.run("operations", id_)
    assert re.search(rf"^bulk operation +{id_}$", shown.stdout, re.MULTILINE)
    assert re.search(r"^VMs +3$", shown.stdout, re.MULTILINE)
    assert re.search(r"^at once +1 per cluster, 5 per node$", shown.stdout, re.MULTILINE)
    listed = await stack.run("operations", "--bulk")
    assert listed.stdout.splitlines()[1].split()[:4] == [id_, "stop", "running", "0/3"]
    await until(lambda: api_of(stack).under_way())
    assert (await stack.run("operations", "cancel", id_)).exit_code == 0
    following = stack.start("operations", "-w", id_)
    await api_of(stack).play(id_)
    result = await following
    assert result.exit_code == 1
    assert "prod/web-2 (vulcan): stop canceled: " in result.stderr
    last = result.stderr.splitlines()[-1]
    assert last.startswith(
        "summit-connect: stop of 3 VMs canceled: 1 succeeded, 2 canceled; summit-connect operations "
    )
    again = await stack.run("operations", "cancel", id_)
    assert again.exit_code == 1
    assert again.stderr == f"summit-connect: bulk operation {id_} is canceled\n"
