"""Who may act on many VMs: as for one, and on what they see; who sees only some of its VMs does not see the whole."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from support.api_stack import served
from support.bulk import Many, many, vms
from support.callers import new_tokens, policy_file
from support.feeding import listening
from support.waiting import until

from summit_api.access.identify import Access
from summit_models.vm import VmStatus

CALLERS = {
    "viewer": "role: viewer",
    "operator": "role: operator",
    "admin": "role: admin",
    "prod": "role: operator, namespaces: [prod]",
    "dev": "role: operator, namespaces: [dev]",
    "uppsala": "role: operator, datacenters: [dc-uppsala]",
}
TOKENS = new_tokens(CALLERS)
STOPPED = {"status": VmStatus.STOPPED}


@pytest.fixture
async def api(nats_url: str, database_url: str, tmp_path: Path) -> AsyncIterator[Many]:
    async with many(nats_url, database_url, Access(policy=policy_file(tmp_path, CALLERS, TOKENS))) as api:
        await api.publish(*vms("a", **STOPPED), *vms("b", namespace="dev", **STOPPED))
        yield api


async def ask(api: Many, caller: str, method: str, path: str, body: Any = None) -> httpx2.Response:
    return await api.ask(method, path, body, token=TOKENS[caller])


async def begin(api: Many, caller: str, query: str = "", **body: Any) -> dict[str, Any]:
    plan = (await ask(api, caller, "POST", f"/operations:bulk?{query}", body)).json()
    answer = await ask(api, caller, "POST", f"/operations:bulk?{query}", body | {"confirm": plan["confirm"]})
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


async def children(api: Many, caller: str, parent: str) -> list[dict[str, Any]]:
    """Operations on its VMs, as far as the caller sees them."""
    return list((await ask(api, caller, "GET", f"/operations?parent={parent}")).json()["items"])


async def test_limited_operators_act_on_what_they_see(api: Many) -> None:
    """Nothing else is in the plan, and the token of somebody who sees more is for another list."""
    plans = {name: (await ask(api, name, "POST", "/operations:bulk", {"action": "start"})).json() for name in CALLERS}
    seen = {name: [vm["name"] for vm in plan["vms"]] for name, plan in plans.items() if "vms" in plan}
    assert seen == {"operator": ["b", "a"], "admin": ["b", "a"], "prod": ["a"], "dev": ["b"], "uppsala": []}
    stolen = {"action": "start", "confirm": plans["operator"]["confirm"]}
    answer = await ask(api, "prod", "POST", "/operations:bulk", stolen)
    assert (answer.status_code, [vm["name"] for vm in answer.json()["vms"]]) == (409, ["a"])
    parent = await begin(api, "prod", action="start")
    assert (parent["by"], parent["namespaces"]) == ("token:prod", ["prod"])
    (child,) = await until(lambda: children(api, "prod", parent["id"]))
    assert (child["vmName"], child["by"]) == ("a", "token:prod")


async def test_viewers_do_nothing_and_admins_delete(api: Many) -> None:
    """Also not the plan; and only admins resume what deletes."""
    answer = await ask(api, "viewer", "POST", "/operations:bulk", {"action": "start"})
    assert answer.status_code == 403
    assert (await api.ask("POST", "/operations:bulk", {"action": "start"})).status_code == 401
    assert (await ask(api, "operator", "POST", "/operations:bulk", {"action": "delete"})).status_code == 403
    parent = await begin(api, "admin", action="delete", maxParallelPerCluster=1)
    path = f"/bulk-operations/{parent['id']}"
    for method, way in (("POST", "/pause"), ("POST", "/resume"), ("DELETE", "")):
        assert (await ask(api, "viewer", method, path + way)).status_code == 403
    assert (await ask(api, "operator", "POST", f"{path}/pause")).status_code == 202
    assert (await ask(api, "operator", "POST", f"{path}/resume")).status_code == 403
    assert (await ask(api, "admin", "POST", f"{path}/resume")).status_code == 202
    assert (await ask(api, "operator", "DELETE", path)).status_code == 202


async def test_bulk_operation_exists_for_those_who_see_all_of_it(api: Many) -> None:
    """In lists, by id, with its steps, to be changed, and in the feed. Its operations are visible as their VMs are."""
    async with (
        served(api.app, before_end=api.services.feed.hub.close) as base_url,
        httpx2.AsyncClient(base_url=base_url) as http,
        listening(http, token=TOKENS["viewer"], types="bulk-operation") as everything,
        listening(http, token=TOKENS["dev"], types=["bulk-operation", "operation"]) as dev,
    ):
        for client in (everything, dev):
            await client.joined()
        parent = await begin(api, "operator", action="start")
        id_ = parent["id"]
        for caller in ("prod", "dev", "uppsala"):
            assert (await ask(api, caller, "GET", "/bulk-operations")).json()["items"] == []
            for method, way in (("GET", ""), ("GET", "/events"), ("POST", "/pause"), ("DELETE", "")):
                assert (await ask(api, caller, method, f"/bulk-operations/{id_}{way}")).status_code == 404
        for caller in ("viewer", "operator"):
            assert [i["id"] for i in (await ask(api, caller, "GET", "/bulk-operations")).json()["items"]] == [id_]
            assert (await ask(api, caller, "GET", f"/bulk-operations/{id_}/events")).status_code == 200
        assert (await ask(api, "operator", "POST", f"/bulk-operations/{id_}/pause")).status_code == 202
        await everything.until(lambda: len(everything.messages) == 2)
        await dev.until(lambda: dev.messages)
    kinds = [(message["type"], message["payload"]["bulkOperation"]["state"]) for message in everything.messages]
    assert kinds == [("bulk-operation:added", "running"), ("bulk-operation:updated", "paused")]
    assert "targets" not in everything.messages[0]["payload"]["bulkOperation"]
    assert {message["type"] for message in dev.messages} == {"operation:added"}
    assert [child["vmName"] for child in await children(api, "dev", id_)] == ["b"]


async def test_who_asks_for_many_plans_keeps_nobody_waiting(api: Many) -> None:
    """Each looks at thousands of VMs; 300 at once delayed a list by 24 s."""
    await api.publish(*vms(*(f"vm-{number}" for number in range(200)), **STOPPED))
    many = [
        asyncio.create_task(ask(api, "operator", "POST", "/operations:bulk", {"action": "start"})) for _ in range(20)
    ]
    await asyncio.wait(many, return_when=asyncio.FIRST_COMPLETED)
    plan = await ask(api, "admin", "POST", "/operations:bulk", {"action": "start"})
    assert len(plan.json()["vms"]) == 202
    assert sum(task.done() for task in many) < 10
    assert {answer.status_code for answer in await asyncio.gather(*many)} == {200}
