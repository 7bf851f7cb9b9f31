"""Roles and limits of edits by hand: an object that a principal may not see does not exist for its edits."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.callers import new_tokens, policy_file
from support.editing import SOLNA, UPPSALA, Editing, editing

from summit_api.access.identify import Access

CALLERS = {
    "viewer": "role: viewer",
    "operator": "role: operator",
    "admin": "role: admin",
    "solna": "role: admin, datacenters: [dc-solna]",
    "prod": "role: admin, namespaces: [prod]",
}
TOKENS = new_tokens(CALLERS)

ADD = ("POST", f"/admin/datacenters/{SOLNA}/vms", {"name": "new"})
RENAME = ("PATCH", f"/admin/datacenters/{SOLNA}", {"name": "Solna"})
EDIT = ("PATCH", f"/admin/datacenters/{SOLNA}/vms/vm-001", {"cpu": 2})
MOVE = ("POST", "/migrate", {"vmId": "vm-001", "fromDC": SOLNA, "toDC": UPPSALA})
CHOOSE = ("GET", "/migrate?dry-run=1", None)
REMOVE = ("DELETE", f"/admin/datacenters/{UPPSALA}/vms/vm-001", None)


@pytest.fixture
async def api(nats_url: str, database_url: str, tmp_path: Path) -> AsyncIterator[Editing]:
    """Solna has a VM added by hand, in no namespace."""
    async with editing(nats_url, database_url, Access(policy=policy_file(tmp_path, CALLERS, TOKENS))) as api:
        added = await api.ask("POST", f"/admin/datacenters/{SOLNA}/vms", {"id": "vm-001", "name": "old"}, token=admin())
        assert added.status_code == 200
        yield api


def admin() -> str:
    return TOKENS["admin"]


async def statuses(api: Editing, caller: str, *requests: tuple[str, str, Any]) -> list[int]:
    return [(await api.ask(*request, token=TOKENS[caller])).status_code for request in requests]


async def test_admins_edit_and_operators_move(api: Editing) -> None:
    """Viewers do neither, and clients without a token do nothing."""
    everything = (ADD, RENAME, EDIT, CHOOSE, MOVE, REMOVE)
    assert await statuses(api, "viewer", *everything) == [403] * 6
    assert (await api.ask(*ADD)).status_code == 401
    assert await statuses(api, "operator", *everything) == [403, 403, 403, 200, 200, 403]
    assert await statuses(api, "admin", ADD, RENAME, REMOVE) == [200, 200, 204]


async def test_admin_of_a_datacenter_edits_only_there(api: Editing) -> None:
    """The other one is not found, neither as a place nor as a target."""
    elsewhere = [
        ("POST", f"/admin/datacenters/{UPPSALA}/vms", {"name": "new"}),
        ("PATCH", f"/admin/datacenters/{UPPSALA}", {"name": "x"}),
        MOVE,
    ]
    assert await statuses(api, "solna", *elsewhere) == [404, 404, 404]
    assert await statuses(api, "solna", ADD, RENAME, EDIT) == [200, 200, 200]
    chosen = (await api.ask(*CHOOSE, token=TOKENS["solna"])).json()
    assert chosen == {"ok": True, "migrated": False, "reason": "No target datacenter available"}


async def test_admin_of_a_namespace_adds_only_there(api: Editing) -> None:
    """Its sender could not see a VM without a namespace."""
    inside = ("POST", ADD[1], {"name": "new", "namespace": "prod"})
    assert await statuses(api, "prod", ADD, EDIT, inside) == [403, 404, 200]


async def test_each_edit_names_who_made_it(api: Editing) -> None:
    """In the event, so in the history as well."""
    rename = ("PATCH", f"/admin/datacenters/{SOLNA}", {"name": "Solna North"})
    assert await statuses(api, "solna", EDIT, rename) == [200, 200]
    assert await statuses(api, "admin", MOVE, REMOVE) == [200, 204]
    history = (await api.ask("GET", "/vms/vm-001/events", token=admin())).json()["items"]
    assert [line["by"] for line in history] == [*["token:admin"] * 3, "token:solna", "token:admin"]
    data = (await api.newest("summit.datacenters.>"))[f"summit.datacenters.{SOLNA}"]["data"]
    assert (data["name"], data["by"]) == ("Solna North", "token:solna")
