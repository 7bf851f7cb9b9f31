"""Acting on a VM: the operation is in the log and in the tables with the answer, or the refusal says why it is not."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from prometheus_client import REGISTRY
from support.acting import DB, ERP, PLACE, WEB, Acting, acting
from support.api_stack import placed_vm
from support.builders import uid_of
from support.editing import SOLNA
from support.published import CLUSTER, migration_event, unmanaged_event, vm_event
from support.tcp_proxy import tcp_proxy
from support.waiting import until

from summit_api.settings import ApiTimes
from summit_api.shapes.inventory import OperationItem
from summit_models.event import VmEventType
from summit_models.operation import Action, OperationState
from summit_models.vm import VmStatus
from summit_runtime.nats.streams.unapplied import Unapplied


@pytest.fixture
async def api(nats_url: str, database_url: str) -> AsyncIterator[Acting]:
    async with acting(nats_url, database_url) as api:
        yield api


async def ask(api: Acting, path: str, body: Any = None, *, key: str = "") -> Any:
    """The operation that an accepted request has made."""
    headers = {"Idempotency-Key": key} if key else {}
    answer = await api.http.post(f"/api/v1{path}", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    return answer.json()


async def test_action_is_an_operation(api: Acting) -> None:
    """It is pending in the log under its own subject, and where `Location` says, with the answer."""
    answer = await api.ask("POST", f"/vms/{WEB}/start", {"paused": True, "timeout": 90})
    assert answer.status_code == 202
    operation = answer.json()
    assert (operation["action"], operation["state"], operation["vmName"]) == ("start", "pending", "web")
    assert operation["parameters"] == {"paused": True, "timeout": 90}
    requested, deadline = (datetime.fromisoformat(operation[name]) for name in ("requestedAt", "deadline"))
    assert deadline - requested == timedelta(seconds=90)
    shown = (await api.http.get(answer.headers["Location"])).json()
    assert OperationItem.model_validate(shown) == OperationItem.model_validate(operation)
    (event,) = (await api.newest(f"summit.operations.{SOLNA}.{CLUSTER}.{operation['id']}")).values()
    assert (event["type"], event["subject"]) == ("summit.operation.pending", "prod/web")


BODIES: dict[Action, tuple[str, dict[str, Any]]] = {
    Action.START: (WEB, {"paused": True}),
    Action.STOP: (ERP, {"gracePeriodSeconds": 30}),
    Action.RESTART: (ERP, {"force": True}),
    Action.PAUSE: (ERP, {}),
    Action.SOFTREBOOT: (ERP, {"timeout": 60}),
    Action.RESET: (ERP, {}),
    Action.MIGRATE: (ERP, {"nodeSelector": {"zone": "b"}}),
    Action.RESIZE: (ERP, {"cpu": 4, "memory": 8192}),
}


@pytest.mark.parametrize("action", BODIES)
async def test_each_action_takes_its_parameters(api: Acting, action: Action) -> None:
    """By id with a body, and by names."""
    vm, body = BODIES[action]
    operation = await ask(api, f"/vms/{vm}/{action}", body)
    assert (operation["action"], operation["parameters"]) == (action, body)
    await api.end(operation["id"], OperationState.FAILED)
    by_name = await ask(api, f"{PLACE}/{operation['vmName']}/{action}", body)
    assert (by_name["vmId"], by_name["state"]) == (vm, "pending")


async def test_paused_vm_is_unpaused(api: Acting) -> None:
    """Only an instance that is paused can be."""
    await api.publish(vm_event("erp", status=VmStatus.PAUSED, versions=(2, 0)))
    assert (await ask(api, f"/vms/{ERP}/unpause"))["action"] == "unpause"


async def test_delete_wants_the_name(api: Acting) -> None:
    """A wrong id is noticed before it is too late; in an address by names the name is there anyway."""
    for query in ("", "?name=web"):
        answer = await api.ask("DELETE", f"/vms/{ERP}{query}")
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "name")
    assert await api.steps() == []
    answer = await api.ask("DELETE", f"/vms/{ERP}?name=erp")
    assert (answer.status_code, answer.json()["action"]) == (202, "delete")
    assert (await api.ask("DELETE", f"{PLACE}/web")).status_code == 202


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("start", {"gracePeriodSeconds": 5}, "gracePeriodSeconds"),
    ("stop", {"gracePeriodSeconds": -1}, "gracePeriodSeconds"),
    ("stop", {"gracePeriodSeconds": 5, "force": True}, "body"),
    ("stop", {"grace": 5}, "grace"),
    ("restart", {"gracePeriodSeconds": 5}, "gracePeriodSeconds"),
    ("migrate", {"nodeSelector": ["a"]}, "nodeSelector"),
    ("migrate", {"nodeSelector": {"zone": "a\0"}}, "nodeSelector.zone"),
    ("migrate", {"nodeSelector": {"zone": "not a label"}}, "nodeSelector.zone"),
    ("resize", {}, "body"),
    ("resize", {"cpu": 0}, "cpu"),
    ("resize", {"cpu": "4"}, "cpu"),
    ("pause", {"timeout": 0}, "timeout"),
]


@pytest.mark.parametrize(("action", "body", "field"), WRONG)
async def test_wrong_body_is_refused(api: Acting, action: str, body: dict[str, Any], field: str) -> None:
    """The answer names the member, and nothing is stored."""
    answer = await api.ask("POST", f"/vms/{ERP}/{action}", body)
    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (400, [field])
    assert await api.steps() == []


@pytest.mark.parametrize("key", ["a\0", "", "../..", "a b", "a/b/c", "/zone", "-zone", "Zone.Example/zone"])
async def test_key_that_is_no_label_is_refused(api: Acting, key: str) -> None:
    """With a NUL the operation was stored, was begun, and was in no table: nobody saw it, and a second one was free."""
    answer = await api.ask("POST", f"/vms/{ERP}/migrate", {"nodeSelector": {key: "b"}})
    assert answer.status_code == 400, answer.text
    assert await api.steps() == []


@pytest.mark.parametrize("key", ["zone", "topology.kubernetes.io/zone", "kubernetes.io/hostname", "A_b.c-d", "1"])
async def test_key_that_is_a_label_is_taken(api: Acting, key: str) -> None:
    """An empty value is one, too."""
    await ask(api, f"/vms/{ERP}/migrate", {"nodeSelector": {key: ""}})


async def test_unknown_vm_and_unknown_parameter(api: Acting) -> None:
    """A misspelt `dryRun` is not the real thing."""
    assert (await api.ask("POST", "/vms/none/start")).status_code == 404
    assert (await api.ask("POST", f"{PLACE}/none/start")).status_code == 404
    assert (await api.ask("POST", f"/vms/{WEB}/start?dryrun=true")).status_code == 422
    assert await api.steps() == []


async def test_tables_that_show_another_day_are_no_ground_to_act(api: Acting) -> None:
    """With a projector that hung, the first operation on each VM was checked against its state of then."""
    now = datetime.now(UTC)
    for _ in range(2):
        api.services.freshness.lag.note(Unapplied(3, now - timedelta(hours=1)), now, timedelta(seconds=30))
    answer = await api.ask("POST", f"/vms/{WEB}/start")
    assert (answer.status_code, answer.json()["type"]) == (503, "/docs#tables-behind")
    assert "the projector has not applied 3 events" in answer.json()["detail"]
    assert await api.steps() == []


async def refused(api: Acting, path: str, body: Any = None) -> str:
    """The reason of a refusal, after which nothing is in the log."""
    before = await api.steps()
    answer = await api.ask("POST", path, body)
    assert (answer.status_code, answer.json()["title"]) == (409, "Operation refused"), answer.text
    assert await api.steps() == before
    return str(answer.json()["reason"])


async def test_what_is_known_beforehand_is_refused(api: Acting) -> None:
    """By what the tables show of the VM; `test_refusals` has all rules."""
    assert await refused(api, f"/vms/{ERP}/start") == "alreadyRunning"
    assert await refused(api, f"/vms/{WEB}/stop") == "notRunning"
    assert await refused(api, f"/vms/{WEB}/migrate") == "notRunning"
    assert await refused(api, f"/vms/{DB}/migrate") == "notLiveMigratable"
    assert await refused(api, f"/vms/{ERP}/resize", {"cpu": 2}) == "sameSize"


async def test_vm_without_a_cluster_is_refused(api: Acting) -> None:
    """One that was added by hand runs nowhere."""
    await api.publish(unmanaged_event("vm-001"))
    assert await refused(api, "/vms/vm-001/stop") == "unmanaged"
    keyed = await api.http.post("/api/v1/vms/vm-001/stop", headers={"Idempotency-Key": "k1"})  # was answered 500
    assert (keyed.status_code, keyed.json()["reason"]) == (409, "unmanaged")


async def test_one_operation_at_a_time(api: Acting) -> None:
    """The refusal names the other one; when that has ended the next one is taken."""
    first = await ask(api, f"/vms/{ERP}/migrate")
    answer = await api.ask("POST", f"/vms/{ERP}/stop")
    assert (answer.status_code, answer.json()["reason"]) == (409, "operationActive")
    assert answer.json()["operation"] == first["id"]
    await ask(api, f"/vms/{WEB}/start")
    await api.claim(first["id"])
    assert await refused(api, f"/vms/{ERP}/stop") == "operationActive"
    await api.end(first["id"])
    await ask(api, f"/vms/{ERP}/stop")


async def test_migration_that_somebody_else_began(api: Acting) -> None:
    """`kubectl` or a drain of the node; stopping the VM remains possible."""
    await api.publish(migration_event("kubevirt-evacuation-1", vm_name="erp", phase="Running"))
    assert await refused(api, f"/vms/{ERP}/migrate") == "migrationActive"
    assert await refused(api, f"/vms/{ERP}/resize", {"cpu": 4}) == "migrationActive"
    await ask(api, f"/vms/{ERP}/stop")


async def test_cluster_that_nobody_watches(api: Acting) -> None:
    """503: nobody could do it, and it must not be done hours later when somebody can."""
    api.heartbeat(last_contact=datetime.now(UTC) - timedelta(seconds=91))
    answer = await api.ask("POST", f"/vms/{WEB}/start")
    assert (answer.status_code, answer.json()["title"]) == (503, "Cluster not watched")
    assert answer.headers["Retry-After"]
    assert await api.steps() == []


async def test_credentials_that_do_not_allow_it(api: Acting) -> None:
    """The answer says what to apply; other actions work."""
    api.heartbeat(may=["start"])
    answer = await api.ask("POST", f"/vms/{ERP}/stop")
    assert (answer.status_code, answer.json()["reason"]) == (409, "notAllowed")
    assert "the part summit-connect:operator-power of config/rbac/operator.yaml" in answer.json()["detail"]
    await ask(api, f"/vms/{WEB}/start")


async def test_same_key_is_the_same_operation(api: Acting) -> None:
    """Also when it has ended, and when the VM would refuse it by now."""
    first = await ask(api, f"/vms/{WEB}/start", {"paused": True}, key="k1")
    again = await ask(api, f"/vms/{WEB}/start", {"paused": True}, key="k1")
    assert again["id"] == first["id"]
    await api.claim(first["id"])
    await api.end(first["id"])
    await api.publish(vm_event("web", versions=(2, 0)))
    assert (await ask(api, f"/vms/{WEB}/start", {"paused": True}, key="k1"))["state"] == "succeeded"
    assert await api.steps() == ["succeeded"]


async def test_same_key_is_the_same_operation_when_its_vm_is_gone(api: Acting) -> None:
    """Whose answer to a delete was lost asks again, and the VM may be deleted by then."""
    path, headers = f"/api/v1/vms/{WEB}", {"Idempotency-Key": "k1"}
    first = await api.http.delete(path, params={"name": "web"}, headers=headers)
    await api.claim(first.json()["id"])
    await api.publish(vm_event("web", VmEventType.DELETED, versions=(2, 0)))
    await api.end(first.json()["id"])
    again = await api.http.delete(path, params={"name": "web"}, headers=headers)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert (await api.http.post(f"{path}/start", headers=headers)).json()["title"] == "Idempotency-Key reused"
    assert (await api.http.delete(path, params={"name": "web"})).status_code == 404


async def test_request_that_is_stored_already_is_not_refused(nats_url: str, database_url: str) -> None:
    """The tables did not have the operation yet, and something is in the way by now: "nothing was stored" was false."""
    async with acting(nats_url, database_url, times=ApiTimes(applied_seconds=2.0)) as api:
        locking = await asyncpg.connect(database_url)
        await locking.execute("BEGIN; LOCK TABLE operations IN SHARE MODE")
        first = await ask(api, f"/vms/{WEB}/start", key="k1")
        assert await locking.fetchval("SELECT count(*) FROM operations") == 0
        api.heartbeat(may=[])
        again = asyncio.create_task(ask(api, f"/vms/{WEB}/start", key="k1"))
        await locking.close()
        assert (await again)["id"] == first["id"]
        assert (await api.ask("POST", f"/vms/{WEB}/start")).json()["reason"] == "notAllowed"


async def test_request_that_nats_gets_twice_is_stored_once_and_acknowledged(nats_url: str, database_url: str) -> None:
    """As nats-py sends it after a reconnect: the answer was that another operation, which was itself, is under way."""
    async with tcp_proxy(nats_url) as proxy, acting(proxy.url, database_url) as api:
        proxy.marker, proxy.lose = b"ingest.summit.operations", "first answer"
        answer = await api.ask("POST", f"/vms/{WEB}/start")
        assert (answer.status_code, proxy.lost) == (202, 1)
        assert await api.steps() == ["pending"]


async def test_key_of_another_request_is_refused(api: Acting) -> None:
    """Another body, another action or another VM."""
    first = await ask(api, f"/vms/{WEB}/start", key="k1")
    for path, body in ((f"/vms/{WEB}/start", {"paused": True}), (f"/vms/{ERP}/stop", None), (f"/vms/{DB}/stop", None)):
        answer = await api.http.post(f"/api/v1{path}", json=body, headers={"Idempotency-Key": "k1"})
        assert (answer.status_code, answer.json()["title"]) == (409, "Idempotency-Key reused")
        assert answer.json()["operation"] == first["id"]


async def test_repeated_delete_is_answered_with_its_operation(api: Acting) -> None:
    """The answer to the first was lost, and the VM has gone since: it was answered 404, as if it had not been done."""
    headers = {"Idempotency-Key": "k1"}
    paths = (f"/api/v1/vms/{WEB}?name=web", f"/api/v1{PLACE}/web")
    first = await api.http.delete(paths[0], headers=headers)
    await api.claim(first.json()["id"])
    await api.end(first.json()["id"], message="the VM is gone")
    await api.publish(vm_event("web", VmEventType.DELETED, versions=(2, 0)))
    for path in paths:
        again = await api.http.delete(path, headers=headers)
        assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
        assert again.json()["state"] == "succeeded"
    for path, key in ((paths[0], "k2"), (f"/api/v1/vms/{WEB[:-1]}0?name=web", "k1")):
        assert (await api.http.delete(path, headers={"Idempotency-Key": key})).status_code == 404


async def test_same_request_many_times_at_once_is_one_operation(api: Acting) -> None:
    """A client that did not wait for the answer asks again."""
    path, headers = f"/api/v1/vms/{WEB}/start", {"Idempotency-Key": "k1"}
    answers = await asyncio.gather(*(api.http.post(path, headers=headers) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert await api.steps() == ["pending"]


@pytest.mark.parametrize("at_once", [True, False])
async def test_key_used_in_two_clusters_is_one_operation(api: Acting, at_once: bool) -> None:
    """Two operations had the same id, and one of them was lost to the tables. Now the second request is refused."""
    await api.publish(*(placed_vm(f"vm-{n}", cluster="romulus", status=VmStatus.STOPPED) for n in range(4)))
    api.heartbeat("romulus")
    ids = [WEB, *(uid_of("romulus", "prod", f"vm-{n}") for n in range(4))]
    headers = {"Idempotency-Key": "k1"}
    requests = [api.http.post(f"/api/v1/vms/{id_}/start", headers=headers) for id_ in ids]
    answers = await asyncio.gather(*requests) if at_once else [await request for request in requests]
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409, 409]
    assert {answer.json()["title"] for answer in answers if answer.status_code == 409} == {"Idempotency-Key reused"}
    assert await api.steps() == ["pending"]


async def test_of_different_requests_at_once_one_is_stored(api: Acting) -> None:
    """Each api checks what it reads, and the log takes an operation only if nothing came in between."""
    actions = ("stop", "migrate", "pause", "restart", "reset")
    answers = await asyncio.gather(*(api.ask("POST", f"/vms/{ERP}/{action}") for action in actions))
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409, 409]
    assert {answer.json()["reason"] for answer in answers if answer.status_code == 409} == {"operationActive"}
    assert await api.steps() == ["pending"]


async def test_requests_for_many_vms_at_once_are_all_stored(api: Acting) -> None:
    """Those of one cluster wait for each other, and none is lost."""
    names = [f"vm-{n}" for n in range(100)]
    await api.publish(*(vm_event(name, status=VmStatus.STOPPED, run_strategy="Halted") for name in names))
    answers = await asyncio.gather(*(api.ask("POST", f"{PLACE}/{name}/start") for name in names))
    assert {answer.status_code for answer in answers} == {202}
    assert await api.steps() == ["pending"] * len(names)


async def test_requests_are_stored_while_other_operations_of_the_cluster_have_a_step_every_few_milliseconds(
    api: Acting,
) -> None:
    """The tables are never at the newest step then: "stored at the same time, again and again" was the answer."""
    names = [f"vm-{n}" for n in range(20)]
    await api.publish(*(vm_event(name, status=VmStatus.STOPPED, run_strategy="Halted") for name in names))
    busy = (await ask(api, f"/vms/{ERP}/stop"))["id"]
    await api.claim(busy)
    async with asyncio.TaskGroup() as tasks:
        steps = tasks.create_task(api.progress_without_end(busy, seconds=0.003))
        answers = [await api.ask("POST", f"{PLACE}/{name}/start") for name in names]
        steps.cancel()
    assert [answer.status_code for answer in answers] == [202] * 20
    assert (await api.ask("POST", f"/vms/{ERP}/stop")).json()["reason"] == "operationActive"


async def test_dry_run_is_answered_with_its_outcome(api: Acting) -> None:
    """200 when the watcher has asked Kubernetes; it does not keep others from acting on the VM."""
    asking = asyncio.create_task(api.ask("POST", f"/vms/{WEB}/start?dryRun=true"))
    pending = await until(lambda: api.newest("summit.operations.>"), bool)
    ((event),) = pending.values()
    assert event["data"]["dryRun"] is True
    real = await ask(api, f"/vms/{WEB}/start")
    await api.claim(event["data"]["id"])
    await api.end(event["data"]["id"], message="the cluster would do it")
    answer = await asking
    assert (answer.status_code, answer.json()["message"]) == (200, "the cluster would do it")
    assert real["state"] == "pending"


async def test_dry_run_waits_for_tables_that_do_not_have_it_yet(nats_url: str, database_url: str) -> None:
    """It was answered 404, though the cluster was asked."""
    async with acting(nats_url, database_url, times=ApiTimes(applied_seconds=0.1)) as api:
        locking = await asyncpg.connect(database_url)
        await locking.execute("BEGIN; LOCK TABLE operations IN SHARE MODE")
        asking = asyncio.create_task(api.ask("POST", f"/vms/{WEB}/start?dryRun=true"))
        pending = await until(lambda: api.newest("summit.operations.>"), bool)
        done, _ = await asyncio.wait({asking}, timeout=0.5)
        assert not done
        await locking.close()
        ((event),) = pending.values()
        await api.claim(event["data"]["id"])
        await api.end(event["data"]["id"], message="the cluster would do it")
        assert (await asking).json()["message"] == "the cluster would do it"


async def test_without_nats_nothing_is_stored(api: Acting) -> None:
    """The caller can ask again: nothing will be done later that nobody remembers."""
    api.services.log.client = None
    answer = await api.ask("POST", f"/vms/{WEB}/start")
    assert (answer.status_code, answer.json()["title"]) == (503, "Log unavailable")
    assert "nothing was done" in answer.json()["detail"]


async def test_refusals_are_counted_by_their_reason(api: Acting) -> None:
    """An alert on `notAllowed`, or a dashboard of what people try in vain."""

    def counts() -> list[float]:
        of = ("notRunning", "notWatched", "keyReused")
        return [REGISTRY.get_sample_value("summit_operations_refused_total", {"reason": r}) or 0.0 for r in of]

    before = counts()
    await refused(api, f"/vms/{WEB}/stop")
    await ask(api, f"/vms/{WEB}/start", key="k1")
    await api.http.post(f"/api/v1/vms/{ERP}/stop", headers={"Idempotency-Key": "k1"})
    api.heartbeat(last_contact=datetime.now(UTC) - timedelta(seconds=91))
    await api.ask("POST", f"/vms/{ERP}/stop")
    assert [new - old for new, old in zip(counts(), before, strict=True)] == [1, 1, 1]
