"""Who may act: operators, in what they may see; admins delete. An operation of others does not exist for them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from support.acting import ERP, PLACE, WEB, Acting, acting
from support.callers import new_tokens, policy_file
from support.editing import SOLNA
from support.published import vm_event

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
STRANGERS = ("dev", "uppsala")


@pytest.fixture
async def api(nats_url: str, database_url: str, tmp_path: Path) -> AsyncIterator[Acting]:
    async with acting(nats_url, database_url, Access(policy=policy_file(tmp_path, CALLERS, TOKENS))) as api:
        yield api


async def ask(api: Acting, caller: str, method: str, path: str, **more: Any) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {TOKENS[caller]}"} | more.pop("headers", {})
    return await api.http.request(method, f"/api/v1{path}", headers=headers, **more)


ACTS = [
    ("POST", f"/vms/{WEB}/start"),
    ("POST", f"{PLACE}/web/start"),
    ("POST", f"/vms/{ERP}/stop?dryRun=true"),
    ("DELETE", f"/vms/{ERP}?name=erp"),
    ("DELETE", f"{PLACE}/erp"),
]


async def test_viewers_do_nothing(api: Acting) -> None:
    """Nor do clients without a token, and neither cancels."""
    for method, path in [*ACTS, ("DELETE", "/operations/none")]:
        assert (await ask(api, "viewer", method, path)).status_code == 403
        assert (await api.http.request(method, f"/api/v1{path}")).status_code == 401
    assert await api.steps() == []


async def test_operators_act_and_admins_delete(api: Acting) -> None:
    """The operation has the name of the token."""
    started = await ask(api, "operator", "POST", f"/vms/{WEB}/start")
    assert (started.status_code, started.json()["by"]) == (202, "token:operator")
    for path in (f"/vms/{ERP}?name=erp", f"{PLACE}/erp"):
        assert (await ask(api, "operator", "DELETE", path)).status_code == 403
    assert (await ask(api, "admin", "DELETE", f"/vms/{ERP}?name=erp")).status_code == 202
    by = [item["id"] for item in (await ask(api, "viewer", "GET", "/operations?by=token:operator")).json()["items"]]
    assert by == [started.json()["id"]]


async def test_limited_operators_act_only_where_they_see(api: Acting) -> None:
    """Elsewhere the VM does not exist, by id and by name, also for the original's endpoints."""
    move = {"vmId": ERP, "fromDC": SOLNA, "toDC": SOLNA}
    for caller in STRANGERS:
        for path in (f"/vms/{WEB}/start", f"{PLACE}/web/start", f"/vms/{ERP}/stop?dryRun=true"):
            assert (await ask(api, caller, "POST", path)).status_code == 404
        assert (await ask(api, caller, "POST", "/migrate", json=move)).status_code == 400
        assert (await ask(api, caller, "GET", "/migrate")).json()["migrated"] is False
    assert await api.steps() == []
    assert (await ask(api, "prod", "POST", f"/vms/{WEB}/start")).status_code == 202


async def test_operations_of_others_do_not_exist(api: Acting) -> None:
    """In the list, by id, with their steps, and to be canceled; those who see the VM see them."""
    id_ = (await ask(api, "operator", "POST", f"/vms/{WEB}/start")).json()["id"]
    for caller in STRANGERS:
        assert (await ask(api, caller, "GET", "/operations")).json()["items"] == []
        for method, path in (("GET", ""), ("GET", "/events"), ("DELETE", "")):
            assert (await ask(api, caller, method, f"/operations/{id_}{path}")).status_code == 404
    for caller in ("viewer", "prod"):
        assert [item["id"] for item in (await ask(api, caller, "GET", "/operations")).json()["items"]] == [id_]
        assert (await ask(api, caller, "GET", f"/operations/{id_}/events")).status_code == 200
    assert (await ask(api, "prod", "DELETE", f"/operations/{id_}")).json()["state"] == "canceled"


async def test_key_belongs_to_its_caller(api: Acting) -> None:
    """Two callers may choose the same one."""
    headers = {"Idempotency-Key": "k1"}
    first = await ask(api, "operator", "POST", f"/vms/{WEB}/start", headers=headers)
    second = await ask(api, "prod", "POST", f"/vms/{ERP}/stop", headers=headers)
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["id"] != second.json()["id"]


async def test_who_asks_for_many_keeps_nobody_out(api: Acting) -> None:
    """Two hundred at once needed thirteen seconds, in which others lost each attempt to one of them."""
    names = [f"vm-{number}" for number in range(60)]
    await api.publish(*(vm_event(name, status=VmStatus.STOPPED, run_strategy="Halted") for name in names))
    many = [asyncio.create_task(ask(api, "prod", "POST", f"{PLACE}/{name}/start")) for name in names]
    await asyncio.wait(many, return_when=asyncio.FIRST_COMPLETED)
    one = await ask(api, "operator", "POST", f"/vms/{WEB}/start")
    answers = await asyncio.gather(*many)
    later = [answer for answer in answers if _revision(answer) > _revision(one)]
    assert {answer.status_code for answer in (one, *answers)} == {202}
    assert len(later) > len(names) / 2


def _revision(answer: httpx2.Response) -> int:
    return int(answer.headers["Summit-Revision"])
