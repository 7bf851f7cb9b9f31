"""The original's endpoints for watched VMs: an edit is an operation, and a migration stays in its datacenter."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.acting import DB, ERP, WEB, Acting, acting
from support.editing import SOLNA, UPPSALA
from support.published import CLUSTER, vm_event

from summit_api.operations.preconditions import PreconditionState

VMS = f"/admin/datacenters/{SOLNA}/vms"


@pytest.fixture
async def api(nats_url: str, database_url: str) -> AsyncIterator[Acting]:
    async with acting(nats_url, database_url) as api:
        yield api


EDITS: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    (WEB, {"status": "running"}, "start", {}),
    (ERP, {"status": "stopped"}, "stop", {}),
    (ERP, {"cpu": 4}, "resize", {"cpu": 4}),
    (ERP, {"cpu": 4, "memory": 8192}, "resize", {"cpu": 4, "memory": 8192}),
]


@pytest.mark.parametrize(("vm", "edit", "action", "parameters"), EDITS)
async def test_edit_of_a_watched_vm_is_an_operation(
    api: Acting, vm: str, edit: dict[str, Any], action: str, parameters: dict[str, Any]
) -> None:
    """202: the answer is the VM as it is, with the operation beside; a whole VM that is sent back works as well."""
    whole = (await api.ask("GET", f"/vms/{vm}")).json()
    answer = await api.ask("PATCH", f"{VMS}/{vm}", whole | edit)
    assert answer.status_code == 202, answer.text
    shown = answer.json()
    assert (shown["id"], shown["status"]) == (vm, whole["status"])
    assert (shown["operation"]["action"], shown["operation"]["parameters"]) == (action, parameters)
    assert answer.headers["Location"] == f"/api/v1/operations/{shown['operation']['id']}"
    assert await api.steps() == ["pending"]


@pytest.mark.parametrize("edit", [{"disk": 9}, {"name": "x"}, {"status": "paused"}, {"status": "stopped", "cpu": 4}])
async def test_what_belongs_to_the_cluster_is_not_edited(api: Acting, edit: dict[str, Any]) -> None:
    """409, with the original's `error`; two acts in one edit are none."""
    answer = await api.ask("PATCH", f"{VMS}/{ERP}", edit)
    assert (answer.status_code, answer.json()["title"]) == (409, "Managed VM")
    assert f"watched in cluster {CLUSTER}" in answer.json()["error"]
    assert await api.steps() == []


async def test_refusal_has_the_originals_member(api: Acting) -> None:
    """A client of the original reads one member; the reason is beside it."""
    await api.ask("POST", f"/vms/{ERP}/migrate")
    answer = await api.ask("PATCH", f"{VMS}/{ERP}", {"status": "stopped"})
    assert (answer.status_code, answer.json()["reason"]) == (409, "operationActive")
    assert answer.json()["error"] == answer.json()["detail"]


async def test_delete_of_a_watched_vm_is_confirmed_by_its_name(api: Acting) -> None:
    """The original's clients do not know that a VM and its disks are at stake."""
    for query in ("", "?name=other"):
        assert (await api.ask("DELETE", f"{VMS}/{ERP}{query}")).status_code == 422
    assert await api.steps() == []
    answer = await api.ask("DELETE", f"{VMS}/{ERP}?name=erp")
    assert (answer.status_code, answer.json()["action"]) == (202, "delete")


async def test_migrate_within_a_datacenter_is_live(api: Acting) -> None:
    """For a VM that no cluster runs it is the original's mistake."""
    body = {"vmId": ERP, "fromDC": SOLNA, "toDC": SOLNA}
    answer = await api.ask("POST", "/migrate", body)
    assert answer.status_code == 202, answer.text
    shown = answer.json()
    assert (shown["success"], shown["vm"]["id"], shown["operation"]["action"]) == (True, ERP, "migrate")
    assert shown["operation"]["id"] in shown["message"]
    refused = await api.ask("POST", "/migrate", body | {"vmId": DB})
    assert (refused.status_code, refused.json()["reason"], refused.json()["success"]) == (
        409, "notLiveMigratable", False,
    )  # fmt: skip
    assert "PVC db is not shared" in refused.json()["message"]
    await api.ask("POST", VMS, {"id": "vm-001", "name": "old"})
    for vm in ("vm-001", "none"):
        answer = await api.ask("POST", "/migrate", body | {"vmId": vm})
        assert (answer.status_code, answer.json()["message"]) == (
            400, "Source and target datacenters cannot be the same",
        )  # fmt: skip


async def test_migrate_to_another_datacenter_says_what_it_needs(api: Acting) -> None:
    """422 with each precondition: met, unmet or unknown, why, and what to do."""
    await api.publish(vm_event("erp", datacenter=UPPSALA, cluster="romulus"))
    answer = await api.ask("POST", "/migrate?cluster=vulcan", {"vmId": ERP, "fromDC": SOLNA, "toDC": UPPSALA})
    assert (answer.status_code, answer.json()["title"]) == (422, "Preconditions not met")
    listed = answer.json()["preconditions"]
    states = {one["id"]: one["state"] for one in listed}
    assert list(states) == sorted(states)
    assert (states["vm-running-and-idle"], states["vm-storage-live-migratable"]) == ("met", "met")
    assert (states["names-free"], states["freshness-of-both"]) == ("unmet", "unmet")
    assert (states["ca-trusted-a-in-b"], states["kubevirt-version-floor"]) == ("unknown", "unknown")
    assert all(one["evidence"] and bool(one["fix"]) is (one["state"] != PreconditionState.MET) for one in listed)
    assert await api.steps() == []


async def test_get_migrate_chooses_a_candidate(api: Acting) -> None:
    """One that runs, can be migrated and has no operation; a dry run says which and why, and changes nothing."""
    dry = (await api.ask("GET", "/migrate?dry-run=1")).json()
    assert (dry["ok"], dry["migrated"], dry["vmId"], dry["from"], dry["to"]) == (True, True, ERP, SOLNA, SOLNA)
    assert "node-1" in dry["reason"]
    assert await api.steps() == []
    done = (await api.ask("GET", "/migrate")).json()
    assert (done["ok"], done["vmId"]) == (True, ERP)
    assert (await api.ask("GET", f"/operations/{done['operation']}")).json()["action"] == "migrate"
    nothing = (await api.ask("GET", "/migrate")).json()
    assert nothing == {"ok": True, "migrated": False, "reason": "No VMs available for migration"}


async def test_get_migrate_with_a_seed_is_repeatable(api: Acting) -> None:
    """The same seed chooses the same VM; some seed chooses another one."""
    await api.publish(*(vm_event(f"vm-{n}", live_migratable=True) for n in range(9)))
    chosen = {}
    for seed in ("a", "b", "c", "d", "a"):
        answer = (await api.ask("GET", f"/migrate?dry-run=1&seed={seed}")).json()
        assert chosen.setdefault(seed, answer["vmId"]) == answer["vmId"]
    assert len({*chosen.values()}) > 1
