"""`summit-connect start web` and its siblings against a real api: what people read, and the exit code."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.acting import DB, ERP, WEB
from support.api_stack import placed_vm
from support.callers import new_tokens, policy_file
from support.commanding import Commanding, commanding
from support.published import vm_event
from support.tcp_proxy import tcp_proxy
from support.waiting import until

from summit_api.access.identify import Access
from summit_models.operation import OperationState
from summit_models.vm import VmStatus


@pytest.fixture
async def stack(nats_url: str, database_url: str) -> AsyncIterator[Commanding]:
    async with commanding(nats_url, database_url) as stack:
        yield stack


async def test_each_step_is_a_line_and_the_outcome_the_exit_code(stack: Commanding) -> None:
    """Without a terminal nothing is drawn over."""
    running = stack.start("start", "web")
    (id_,) = await stack.asked()
    await stack.api.claim(id_)
    await stack.api.accept(id_)
    await stack.api.progress(id_, "Scheduling on node-1: 0/6 nodes are available:\ninsufficient memory")
    await stack.api.end(id_, message="it runs on node-1")
    result = await running
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        f"prod/web (vulcan): start pending, operation {id_}",
        "prod/web (vulcan): start running",
        "prod/web (vulcan): start running: the cluster has accepted it",
        "prod/web (vulcan): start running: Scheduling on node-1: 0/6 nodes are available: insufficient memory",
        "prod/web (vulcan): start succeeded: it runs on node-1",
    ]


@pytest.mark.parametrize("word", ["prod/web", WEB])
async def test_vm_is_named_by_namespace_and_name_or_by_id(stack: Commanding, word: str) -> None:
    """`--no-wait` prints only the id, for scripts."""
    result = await stack.run("start", word, "--no-wait")
    assert (result.exit_code, result.stderr) == (0, "")
    assert [result.stdout.strip()] == await stack.asked()


async def test_failure_of_one_is_the_exit_code_and_its_words_are_on_stderr(stack: Commanding) -> None:
    """The others go on. The last line names the operation whose steps say more."""
    running = stack.start("stop", "erp", "db")
    for id_ in await stack.asked(2):
        await stack.api.claim(id_)
        operation = (await stack.api.ask("GET", f"/operations/{id_}")).json()
        if operation["vmId"] == DB:
            failed = id_
            await stack.api.end(id_, OperationState.FAILED, "admission webhook denied the request: frozen")
        else:
            await stack.api.end(id_, message="its instance is gone")
    result = await running
    assert result.exit_code == 1
    assert "prod/erp (vulcan): stop succeeded: its instance is gone" in result.stdout
    assert result.stderr.splitlines() == [
        "summit-connect: prod/db (vulcan): stop failed: admission webhook denied the request: frozen",
        f"summit-connect: 1 of 2 did not succeed; summit-connect operations {failed} shows the steps",
    ]


async def test_refusal_shows_the_words_of_the_api(stack: Commanding) -> None:
    """Which VM, why, and nothing is stored for it; the other one is started."""
    result = await stack.run("start", "web", "erp", "--no-wait")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "summit-connect: prod/erp (vulcan): start refused: VM erp runs already: it is running",
        "summit-connect: 1 of 2 did not succeed",
    ]
    assert [result.stdout.strip()] == await stack.asked()
    as_json = json.loads((await stack.run("start", "erp", "-o", "json")).stdout)
    assert as_json["items"] == []
    assert as_json["refused"][0]["reason"] == "alreadyRunning"


async def test_parameters_reach_the_api_in_its_units(stack: Commanding) -> None:
    """Durations and sizes as kubectl takes them."""
    commands = (
        ("stop", "erp", "--grace-period", "60", "--timeout", "10m"),
        ("resize", "web", "--cpu", "2", "--memory", "2Gi"),
    )
    for command in commands:
        assert (await stack.run(*command, "--no-wait")).exit_code == 0
    operations = [(await stack.api.ask("GET", f"/operations/{id_}")).json() for id_ in await stack.asked(2)]
    found = {operation["action"]: operation["parameters"] for operation in operations}
    assert found == {"stop": {"gracePeriodSeconds": 60, "timeout": 600}, "resize": {"cpu": 2, "memory": 2048}}
    result = await stack.run("migrate", "erp", "--node-selector", "zone=b,disk=ssd", "-o", "json", "--no-wait")
    assert result.exit_code == 1
    assert "VM erp has a stop under way" in result.stdout


async def test_grace_period_of_zero_is_given(stack: Commanding) -> None:
    """0 equals False, and was left out: the guest got the grace period of its VM instead."""
    assert (await stack.run("stop", "erp", "--grace-period", "0", "--no-wait")).exit_code == 0
    (id_,) = await stack.asked()
    assert (await stack.api.ask("GET", f"/operations/{id_}")).json()["parameters"] == {"gracePeriodSeconds": 0}


async def test_ambiguous_name_is_a_question_and_nothing_is_done(stack: Commanding) -> None:
    """All candidates are listed, and the ways in which they differ."""
    await stack.api.publish(
        placed_vm("web", namespace="test", status=VmStatus.STOPPED),
        placed_vm("web", cluster="romulus", datacenter="dc-uppsala", status=VmStatus.STOPPED),
    )
    result = await stack.run("start", "web")
    assert (result.exit_code, result.stdout) == (1, "")
    first, header, *rows, how, nothing = result.stderr.splitlines()
    assert first == "summit-connect: 3 VMs are called web:"
    assert header.split() == ["NAME", "CLUSTER", "DATACENTER", "STATUS", "ID"]
    assert {tuple(row.split()[:4]) for row in rows} == {
        ("prod/web", "vulcan", "dc-solna", "stopped"),
        ("test/web", "vulcan", "dc-solna", "stopped"),
        ("prod/web", "romulus", "dc-uppsala", "stopped"),
    }
    assert how.startswith("choose one by its namespace (")
    assert "with --cluster " in how
    assert "with --datacenter " in how
    assert nothing == "nothing was done"
    assert (await stack.run("start", "web", "--cluster", "vulcan", "-n", "prod", "--no-wait")).exit_code == 0
    assert len(await stack.asked()) == 1


async def test_one_unknown_name_stops_the_whole_command(stack: Commanding) -> None:
    """A typing error is noticed before half of the VMs have stopped."""
    result = await stack.run("stop", "erp", "wbe", "--datacenter", "dc-solna")
    assert result.exit_code == 1
    assert result.stderr == (
        "summit-connect: there is no VM wbe in datacenter dc-solna, or you may not see it\nnothing was done\n"
    )
    assert await stack.api.steps() == []


async def test_id_in_two_clusters_needs_its_cluster(stack: Commanding) -> None:
    """As in a cluster that was restored beside the original."""
    await stack.api.publish(vm_event("web", cluster="copy", status=VmStatus.STOPPED))
    result = await stack.run("start", WEB)
    assert result.stderr == (
        f"summit-connect: several clusters show the VM {WEB}: choose one with --cluster (copy, vulcan)\n"
    )
    assert (await stack.run("start", WEB, "--cluster", "vulcan", "--no-wait")).exit_code == 0


async def test_delete_needs_a_confirmation(stack: Commanding) -> None:
    """Without a terminal there is nobody to ask; --yes is the confirmation."""
    result = await stack.run("delete", "web")
    assert result.exit_code == 1
    assert result.stderr == (
        "summit-connect: deleting prod/web needs a confirmation, and there is no terminal to ask at: use --yes; "
        "nothing was done\n"
    )
    assert await stack.api.steps() == []
    assert (await stack.run("delete", "web", "--yes", "--no-wait")).exit_code == 0
    assert (await stack.api.steps()) == ["pending"]


async def test_dry_run_says_what_would_happen(stack: Commanding) -> None:
    """Without a watcher that answers in time, the api says 202, and the command waits for the rest."""
    running = stack.start("delete", "web", "--dry-run")
    (id_,) = await stack.asked()
    await stack.api.claim(id_)
    await stack.api.end(id_, message="the cluster would accept it")
    result = await running
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == ("prod/web (vulcan): delete would succeed: the cluster would accept it")


async def test_lost_answer_acts_once(stack: Commanding) -> None:
    """The request is sent again under its Idempotency-Key, and meets the operation that it has made."""
    async with tcp_proxy(stack.url) as proxy:
        proxy.marker, proxy.lose = b"POST /api/v1/vms/", "answer"
        stack.url = proxy.url
        result = await stack.run("start", "web", "--no-wait")
    assert proxy.lost == 1
    assert (result.exit_code, result.stderr) == (0, "")
    assert [result.stdout.strip()] == await stack.asked()


async def test_broken_connection_continues_where_it_was(stack: Commanding) -> None:
    """The end comes while the command has no connection: the feed has it afterwards."""
    async with tcp_proxy(stack.url) as proxy:
        stack.url = proxy.url
        running = stack.start("start", "web")
        (id_,) = await stack.asked()
        await stack.followed()
        port, proxy.port = proxy.port, 1
        proxy.break_all()
        before = proxy.connections
        await stack.api.claim(id_)
        await stack.api.end(id_, message="it runs on node-1")
        await until(lambda: proxy.connections, lambda connections: connections > before + 1)
        proxy.port = port
        result = await running
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "prod/web (vulcan): start succeeded: it runs on node-1"
    assert result.stderr == (
        f"summit-connect: the api at {proxy.url} does not answer: it closed the connection; waiting for it\n"
    )


async def test_token_decides_and_a_missing_one_is_one_sentence(
    nats_url: str, database_url: str, tmp_path: Path
) -> None:
    """A viewer may look and not act; the sentence is that of the api."""
    callers = {role: f"role: {role}" for role in ("viewer", "operator")}
    tokens = new_tokens(callers)
    (tmp_path / "token").write_text(f"{tokens['operator']}\n")
    async with commanding(nats_url, database_url, Access(policy=policy_file(tmp_path, callers, tokens))) as stack:
        nobody = await stack.run("start", "web")
        assert (nobody.exit_code, nobody.stdout) == (1, "")
        assert nobody.stderr == (
            f"summit-connect: the api at {stack.url} refuses the request: this needs a token; send it as "
            "'Authorization: Bearer …'; set SUMMIT_TOKEN or --token-file\n"
        )
        stack.environment["SUMMIT_TOKEN"] = tokens["viewer"]
        viewer = await stack.run("start", "web")
        assert viewer.exit_code == 1
        assert viewer.stderr.startswith("summit-connect: prod/web (vulcan): start refused: ")
        assert "operator" in viewer.stderr
        stack.environment["SUMMIT_TOKEN_FILE"] = str(tmp_path / "token")
        assert (await stack.run("start", "web", "--no-wait")).exit_code == 0
        assert "admin" in (await stack.run("delete", "erp", "--yes")).stderr


async def test_vm_added_by_hand_is_refused_with_the_reason(stack: Commanding) -> None:
    """No cluster runs it."""
    body = {"id": "by-hand", "name": "by-hand", "status": "stopped"}
    assert (await stack.api.ask("POST", "/admin/datacenters/dc-solna/vms", body)).status_code == 200
    result = await stack.run("start", "by-hand")
    assert result.stderr.startswith("summit-connect: by-hand: start refused: VM by-hand was added by hand: ")


async def test_api_that_is_not_there_is_one_sentence() -> None:
    """Nothing was asked for, so there is nothing to follow."""
    stack = Commanding(None, "http://127.0.0.1:1")  # type: ignore[arg-type]
    result = await stack.run("stop", ERP)
    assert result.exit_code == 1
    assert result.stderr == "summit-connect: the api at http://127.0.0.1:1 does not answer: Connection refused\n"
