"""Operations on many VMs: the plan and its token, the limits, and pause, resume and cancel."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from support.builders import uid_of
from support.bulk import ROMULUS, VULCAN, Many, many, vms
from support.editing import SOLNA
from support.waiting import until

from summit_api.bulk.plan import MAX_VMS
from summit_api.query import bulk_operations
from summit_models.bulk_operation import ClusterTargets
from summit_models.contract import Revision
from summit_models.event import bulk_operation_event
from summit_models.operation import OperationState
from summit_models.vm import VmStatus
from summit_runtime.nats.streams.unapplied import Unapplied

STOPPED = {"status": VmStatus.STOPPED}


@pytest.fixture
async def api(nats_url: str, database_url: str) -> AsyncIterator[Many]:
    async with many(nats_url, database_url) as api:
        yield api


async def test_plan_lists_vms_and_refusals_and_stores_nothing(api: Many) -> None:
    """In the order of their turns; each refusal has the reason that the single action would give."""
    await api.publish(*vms("b", "a", **STOPPED), *vms("c", cluster=ROMULUS, **STOPPED), *vms("up"))
    plan = await api.plan("namespace=prod", action="start", parameters={"paused": True})
    assert [(vm["cluster"], vm["name"]) for vm in plan["vms"]] == [(ROMULUS, "c"), (VULCAN, "a"), (VULCAN, "b")]
    assert [(vm["name"], vm["reason"]) for vm in plan["refused"]] == [("up", "alreadyRunning")]
    assert (plan["filters"], plan["parameters"]) == ({"namespace": ["prod"]}, {"paused": True})
    assert plan["confirm"]
    assert plan["asOf"]
    again = await api.plan("namespace=prod", action="start", parameters={"paused": True})
    other = await api.plan("namespace=prod", action="start")
    assert plan["confirm"] == again["confirm"] != other["confirm"]
    assert (await api.plan("namespace=none", action="start"))["confirm"] is None
    assert await api.steps() == []


async def test_confirmed_operation_acts_on_each_vm(api: Many) -> None:
    """Each VM gets an ordinary operation with its parent; the parent ends with the last of them."""
    await api.publish(*vms("a", "b", **STOPPED), *vms("c", cluster=ROMULUS, **STOPPED))
    answer = await api.confirm("status=stopped", action="start", parameters={"timeout": 60})
    assert answer.status_code == 202, answer.text
    parent = answer.json()
    assert answer.headers["Location"] == f"/api/v1/bulk-operations/{parent['id']}"
    assert (parent["state"], parent["total"], parent["counts"]["waiting"]) == ("running", 3, 3)
    await api.counts(parent["id"], waiting=0, pending=3)
    shown = await api.play(parent["id"])
    assert (shown["state"], shown["counts"]["succeeded"], shown["message"]) == ("succeeded", 3, "3 succeeded")
    clusters = {cluster["cluster"]: cluster["counts"]["succeeded"] for cluster in shown["clusters"]}
    assert clusters == {VULCAN: 2, ROMULUS: 1}
    children = (await api.ask("GET", f"/operations?parent={parent['id']}")).json()["items"]
    assert sorted((c["vmName"], c["state"], c["parameters"]["timeout"]) for c in children) == [
        (name, "succeeded", 60) for name in "abc"
    ]
    listed = (await api.ask("GET", "/bulk-operations?ended=true&action=start")).json()["items"]
    assert [(item["id"], item["counts"]["succeeded"]) for item in listed] == [(parent["id"], 3)]
    steps = (await api.ask("GET", f"/bulk-operations/{parent['id']}/events")).json()["items"]
    assert [step["type"] for step in steps] == ["summit.bulk_operation.succeeded", "summit.bulk_operation.running"]
    assert {change["field"]: change["to"] for change in steps[0]["changes"]}["state"] == "succeeded"


async def test_changed_list_has_to_be_confirmed_again(api: Many) -> None:
    """Nothing is stored; the answer has what is needed to confirm the new list."""
    await api.publish(*vms("a", **STOPPED))
    old = (await api.plan("status=stopped", action="start"))["confirm"]
    await api.publish(*vms("b", **STOPPED))
    body = {"action": "start", "confirm": old}
    answer = await api.ask("POST", "/operations:bulk?status=stopped", body)
    assert (answer.status_code, answer.json()["title"]) == (409, "List changed")
    assert [vm["name"] for vm in answer.json()["vms"]] == ["a", "b"]
    assert (await api.ask("GET", "/bulk-operations")).json()["items"] == []
    body["confirm"] = answer.json()["confirm"]
    assert (await api.ask("POST", "/operations:bulk?status=stopped", body)).status_code == 202
    for other in ({"action": "stop"}, {"parameters": {"paused": True}}):
        assert (await api.ask("POST", "/operations:bulk?status=stopped", body | other)).status_code == 409


async def test_limits_hold_per_cluster_and_per_node(api: Many) -> None:
    """Two on a node and three in a cluster at once, and all have their turn."""
    nodes = {f"vm-{n}": f"node-{n % 2}" for n in range(12)}
    for name, node in nodes.items():
        await api.publish(*vms(name, node_name=node), *vms(name, cluster=ROMULUS, node_name=f"{node}-r"))
    limits = {"maxParallelPerCluster": 3, "maxParallelPerNode": 2}
    parent = await api.begin("status=running", action="stop", **limits)
    await api.counts(parent, pending=6)
    shown = await api.play(parent)
    assert shown["counts"]["succeeded"] == 24
    assert api.most_at_once(lambda step: step.cluster) == {VULCAN: 3, ROMULUS: 3}
    assert set(api.most_at_once(lambda step: (step.cluster, nodes[step.vm_name])).values()) <= {1, 2}


async def test_it_stops_after_failures(api: Many) -> None:
    """No further VM begins; those that waited are skipped with the reason, and what is under way is awaited."""
    await api.publish(*vms(*(f"vm-{n}" for n in range(6)), **STOPPED))
    parent = await api.begin("status=stopped", action="start", maxParallelPerCluster=2, maxFailures=2)
    await api.counts(parent, pending=2)
    first, second = api.under_way()
    await api.done([first], OperationState.FAILED)
    await api.counts(parent, pending=2, failed=1)
    third = next(step for step in api.under_way() if step.id != second.id)
    await api.done([second], OperationState.FAILED)
    await api.counts(parent, pending=1, failed=2, skipped=3, waiting=0)
    assert (await api.shown(parent))["state"] == "running"
    await api.done([third])
    shown = await api.reaches(parent, "failed")
    assert shown["message"] == "1 succeeded, 2 failed, 3 skipped"
    skipped = (await api.ask("GET", f"/operations?parent={parent}&state=skipped")).json()["items"]
    assert {item["message"] for item in skipped} == {
        "the bulk operation stopped before its turn, because 2 operations had failed"
    }


async def test_paused_operation_begins_nothing_until_it_is_resumed(api: Many) -> None:
    """What is under way goes on."""
    await api.publish(*vms("a", "b", "c", **STOPPED))
    parent = await api.begin("status=stopped", action="start", maxParallelPerCluster=1)
    await api.counts(parent, pending=1)
    paused = await api.ask("POST", f"/bulk-operations/{parent}/pause")
    assert (paused.status_code, paused.json()["state"]) == (202, "paused")
    assert (await api.ask("POST", f"/bulk-operations/{parent}/pause")).status_code == 200
    await api.done(api.under_way())
    await api.counts(parent, succeeded=1)
    await api.driver_steps()
    assert (await api.shown(parent))["counts"]["waiting"] == 2
    resumed = await api.ask("POST", f"/bulk-operations/{parent}/resume")
    assert (resumed.status_code, resumed.json()["state"]) == (202, "running")
    assert (await api.play(parent))["counts"]["succeeded"] == 3
    for method, path in (("POST", "/pause"), ("POST", "/resume"), ("DELETE", "")):
        answer = await api.ask(method, f"/bulk-operations/{parent}{path}")
        assert (answer.status_code, answer.json()["title"]) == (409, "Operation ended")


async def test_canceled_operation_cancels_what_is_under_way(api: Many) -> None:
    """VMs that wait are not acted on, and the parent is canceled when the last operation has ended."""
    await api.publish(*vms(*"abcd", **STOPPED))
    parent = await api.begin("status=stopped", action="start", maxParallelPerCluster=2)
    await api.counts(parent, pending=2)
    first, second = api.under_way()
    await api.claim_by(first)
    answer = await api.ask("DELETE", f"/bulk-operations/{parent}")
    assert (answer.status_code, answer.json()["state"]) == (202, "canceling")
    counts = await api.counts(parent, canceling=1, canceled=3)
    assert counts["waiting"] == 0
    assert (await api.ask("DELETE", f"/bulk-operations/{parent}")).status_code == 200
    await api.end_by(first, OperationState.SUCCEEDED)
    shown = await api.reaches(parent, "canceled")
    assert shown["message"] == "1 succeeded, 3 canceled"
    assert second.id in {item["id"] for item in await api.children(parent, "canceled")}


async def test_vm_that_changed_meanwhile_is_skipped_with_the_reason(api: Many) -> None:
    """It was started by somebody else, is gone, or was moved away from the node."""
    await api.publish(*vms(*"abcde", node_name="node-1"))
    parent = await api.begin("node=node-1", action="stop", maxParallelPerCluster=1)
    await api.counts(parent, pending=1)
    await api.publish(
        *vms("b", node_name="node-1", status=VmStatus.STOPPED, versions=(2, 0)),
        *vms("c", node_name="node-2", versions=(2, 0)),
    )
    await api.delete("d", node_name="node-1")
    shown = await api.play(parent)
    assert (shown["state"], shown["message"]) == ("succeeded", "2 succeeded, 3 skipped")
    skipped = {item["vmName"]: item["message"] for item in await api.children(parent, "skipped")}
    assert skipped == {
        "b": "VM b does not run: it is stopped already",
        "c": "VM c does not meet the filters of the bulk operation any more",
        "d": "the VM is gone",
    }


async def test_node_is_evacuated(api: Many) -> None:
    """`migrate` of the VMs of a node: those that cannot be migrated are refused in the plan, two go at once."""
    await api.publish(
        *vms(*"abcd", node_name="node-1", live_migratable=True),
        *vms("fixed", node_name="node-1", live_migratable=False),
        *vms("elsewhere", node_name="node-2", live_migratable=True),
    )
    plan = await api.plan("node=node-1", action="migrate")
    assert [vm["name"] for vm in plan["vms"]] == list("abcd")
    assert [(vm["name"], vm["reason"]) for vm in plan["refused"]] == [("fixed", "notLiveMigratable")]
    parent = await api.begin("node=node-1", action="migrate")
    await api.counts(parent, pending=2)
    shown = await api.play(parent)
    assert shown["counts"]["succeeded"] == 4
    assert max(api.most_at_once(lambda step: step.cluster).values()) == 2


async def test_vm_waits_in_one_bulk_operation(api: Many) -> None:
    """A request that is sent twice acts once: the second one finds the VMs waiting."""
    await api.publish(*vms(*"abc"))
    body = {"action": "restart", "maxParallelPerCluster": 1}
    confirm = (await api.plan("status=running", **body))["confirm"]
    first = await api.ask("POST", "/operations:bulk?status=running", body | {"confirm": confirm})
    assert first.status_code == 202
    second = await api.ask("POST", "/operations:bulk?status=running", body | {"confirm": confirm})
    assert (second.status_code, second.json()["vms"], second.json()["confirm"]) == (409, [], None)
    await api.counts(first.json()["id"], pending=1)
    refused = (await api.plan("status=running", **body))["refused"]
    assert [vm["reason"] for vm in refused] == ["operationActive", "bulkActive", "bulkActive"]


async def test_key_finds_the_same_bulk_operation(api: Many) -> None:
    """The answer was lost, say; another request under the key is refused."""
    await api.publish(*vms(*"ab", **STOPPED))
    first = await api.confirm("status=stopped", key="k1", action="start")
    body = {"action": "start", "confirm": await api.token_of(first.json()["id"])}
    headers = {"Idempotency-Key": "k1"}
    again = await api.http.post("/api/v1/operations:bulk?status=stopped", json=body, headers=headers)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    other = await api.http.post("/api/v1/operations:bulk?name=a", json=body, headers=headers)
    assert (other.status_code, other.json()["title"]) == (409, "Idempotency-Key reused")
    assert len((await api.ask("GET", "/bulk-operations")).json()["items"]) == 1


async def test_cluster_that_nobody_watches_is_waited_for(api: Many) -> None:
    """Its VMs are refused in a plan; in a confirmed operation they wait, and the others go on."""
    await api.publish(*vms("a", **STOPPED), *vms("b", cluster=ROMULUS, **STOPPED))
    limits = {"action": "start", "maxParallelPerCluster": 1}
    await api.publish(*vms("c", cluster=ROMULUS, **STOPPED))
    parent = await api.begin("status=stopped", **limits)
    await api.counts(parent, pending=2, waiting=1)
    api.silence(ROMULUS)
    await api.done(api.under_way())
    shown = await until(lambda: api.shown(parent), lambda shown: shown["counts"]["succeeded"] == 2)
    assert {c["cluster"]: c["available"] for c in shown["clusters"]} == {VULCAN: True, ROMULUS: False}
    await api.driver_steps()
    assert (await api.shown(parent))["counts"]["waiting"] == 1
    refused = (await api.plan("cluster=romulus", action="start"))["refused"]
    assert {vm["reason"] for vm in refused} == {"clusterUnavailable"}
    api.heartbeats(ROMULUS)
    assert (await api.play(parent))["counts"]["succeeded"] == 3


async def test_tables_that_do_not_follow_are_waited_for(api: Many) -> None:
    """What they show of a VM is no reason to skip it."""
    await api.publish(*vms("a", "b", **STOPPED))
    parent = await api.begin("status=stopped", action="start", maxParallelPerCluster=1)
    await api.counts(parent, pending=1, waiting=1)
    now = datetime.now(UTC)
    for _ in range(2):
        api.services.freshness.lag.note(Unapplied(3, now - timedelta(hours=1)), now, timedelta(seconds=30))
    assert (await api.ask("POST", "/operations:bulk", {"action": "stop"})).status_code == 503
    await api.done(api.under_way())
    await until(lambda: api.shown(parent), lambda shown: shown["counts"]["succeeded"] == 1)
    await api.driver_steps()
    assert (await api.shown(parent))["counts"]["waiting"] == 1
    api.services.freshness.lag.note(Unapplied(), now, timedelta(seconds=30))
    assert (await api.play(parent))["counts"]["succeeded"] == 2


async def test_operation_on_many_vms_has_an_end(nats_url: str, database_url: str) -> None:
    """At its deadline VMs that still wait expire, also while it is paused; what is under way is awaited."""
    async with many(nats_url, database_url, driven=False) as api:
        await api.publish(*vms(*"abc", **STOPPED))
        parent = await api.begin("status=stopped", action="start", maxParallelPerCluster=1, timeout=60)
        await api.driver_steps()
        assert (await api.ask("POST", f"/bulk-operations/{parent}/pause")).status_code == 202
        await api.driver_steps(59)
        await api.counts(parent, pending=1, waiting=2)
        await api.driver_steps(61)
        await api.counts(parent, pending=1, expired=2)
        await api.done(api.under_way())
        await api.counts(parent, succeeded=1)
        await api.driver_steps(61)
        shown = await api.reaches(parent, "failed")
        assert shown["message"] == "1 succeeded, 2 expired"


async def test_filter_that_this_version_does_not_know_holds_up_no_other(api: Many) -> None:
    """A newer api has stored it, say: its VMs wait for that one, since this one cannot see who still meets it."""
    await api.publish(*vms("a", "b", **STOPPED))
    other = await api.begin("name=b", action="start")
    async with api.services.read_models.transaction() as transaction:
        step = await bulk_operations.step_of(transaction, other)
    assert step is not None
    newer = {"id": uid_of("newer"), "filters": {"colour": ["red"]}, "targets": [targets_of("a")]}
    now = datetime.now(UTC)
    operation = step.operation.model_copy(update=newer)
    await api.publish(bulk_operation_event(operation, Revision(0), writer="api-newer", time=now))
    assert (await api.play(other))["state"] == "succeeded"
    await api.driver_steps()
    assert (await api.shown(uid_of("newer")))["counts"]["waiting"] == 1


def targets_of(name: str) -> ClusterTargets:
    return ClusterTargets(datacenter=SOLNA, cluster=VULCAN, vms={"prod": [uid_of(VULCAN, "prod", name)]})


@pytest.mark.slow
async def test_too_many_vms_are_refused(api: Many) -> None:
    """Their ids have to fit into one event. As many as may be are planned and confirmed."""
    await api.publish(*vms(*(f"vm-{n:04}" for n in range(MAX_VMS)), **STOPPED), *vms("one-more", **STOPPED))
    api.heartbeats(VULCAN, ROMULUS)
    answer = await api.ask("POST", "/operations:bulk", {"action": "start"})
    assert (answer.status_code, answer.json()["title"]) == (422, "Too many VMs")
    answer = await api.confirm("q=vm", action="start", maxParallelPerCluster=1)
    assert (answer.status_code, answer.json()["total"]) == (202, MAX_VMS), answer.text
    await api.counts(answer.json()["id"], pending=1)
    assert (await api.ask("DELETE", f"/bulk-operations/{answer.json()['id']}")).status_code == 202
    assert (await api.reaches(answer.json()["id"], "canceled"))["counts"]["canceled"] == MAX_VMS


async def test_wrong_requests_are_answered_with_what_is_wrong(api: Many) -> None:
    """Members, parameters of the action, filters, and an id that nobody knows."""
    wrong = {
        "action": {"action": "explode"},
        "parameters.cpu": {"action": "resize", "parameters": {"cpu": 0}},
        "parameters.force": {"action": "start", "parameters": {"force": True}},
        "maxParallelPerCluster": {"action": "start", "maxParallelPerCluster": 0},
        "maxFailure": {"action": "start", "maxFailure": 1},
    }
    for field, body in wrong.items():
        answer = await api.ask("POST", "/operations:bulk", body)
        assert (answer.status_code, [e["field"] for e in answer.json()["errors"]]) == (400, [field])
    assert (await api.ask("POST", "/operations:bulk?stauts=stopped", {"action": "start"})).status_code == 422
    for method, path in (("GET", ""), ("GET", "/events"), ("POST", "/pause"), ("POST", "/resume"), ("DELETE", "")):
        assert (await api.ask(method, f"/bulk-operations/none{path}")).status_code == 404
