"""DELETE of a VM: preconditions, propagation, and what becomes of its guest and its disks."""

from typing import Any

import pytest
from support.virtctl import PLACE, WEB, Virtctl, refusal


async def test_the_guest_shuts_down_before_the_vm_is_gone(virtctl: Virtctl) -> None:
    """200 with the object, Terminating; then instance, disks and VM are gone."""
    await virtctl.create("Always")
    answer = await virtctl.client.request("DELETE", WEB)
    assert (answer.code, "deletionTimestamp" in answer.json()["metadata"]) == (200, True)
    assert (virtctl.shown, virtctl.phase) == ("Terminating", "Running")
    again = await virtctl.client.request("DELETE", WEB)
    assert again.json()["metadata"]["deletionTimestamp"] == answer.json()["metadata"]["deletionTimestamp"]
    await virtctl.cluster.settle()
    assert (virtctl.vm, virtctl.vmi, virtctl.cluster.truth("datavolumes")) == ({}, {}, {"datavolumes": {}})
    gone = 'virtualmachines.kubevirt.io "web" not found'
    assert refusal(await virtctl.client.request("DELETE", WEB)) == (404, gone)


async def test_the_uid_guards_against_another_vm_of_the_name(virtctl: Virtctl) -> None:
    """409 with both uids: the VM was deleted and created again."""
    old = await virtctl.create()
    await virtctl.client.request("DELETE", WEB)
    await virtctl.cluster.settle()
    new = await virtctl.create()
    uids = [vm["metadata"]["uid"] for vm in (old, new)]
    answer = await virtctl.client.request("DELETE", WEB, {"preconditions": {"uid": uids[0]}})
    code, message = refusal(answer)
    assert (code, message.split(": ")[0]) == (
        409,
        'Operation cannot be fulfilled on VirtualMachine.kubevirt.io "web"',
    )
    why = f"the UID in the precondition ({uids[0]}) does not match the UID in record ({uids[1]}). "
    assert why + "The object might have been deleted and then recreated" in message
    assert virtctl.vm["metadata"].get("deletionTimestamp") is None
    guarded = await virtctl.client.request("DELETE", WEB, {"preconditions": {"uid": uids[1]}})
    assert guarded.code == 200


async def test_the_resource_version_guards_against_a_change(virtctl: Virtctl) -> None:
    """409 for an older one."""
    await virtctl.create()
    answer = await virtctl.client.request("DELETE", WEB, {"preconditions": {"resourceVersion": "1"}})
    assert (answer.code, "might have been modified" in answer.json()["message"]) == (409, True)


@pytest.mark.parametrize("where", ["body", "query"])
async def test_an_orphaned_guest_outlives_its_vm(virtctl: Virtctl, where: str) -> None:
    """PropagationPolicy Orphan: instance and disks lose their owner and stay."""
    await virtctl.create("Always")
    uid, option = virtctl.vmi["metadata"]["uid"], {"propagationPolicy": "Orphan"}
    if where == "body":
        await virtctl.client.request("DELETE", WEB, option)
    else:
        await virtctl.client.request("DELETE", f"{WEB}?propagationPolicy=Orphan")
    await virtctl.cluster.settle()
    assert (virtctl.vm, virtctl.phase, virtctl.vmi["metadata"]["uid"]) == ({}, "Running", uid)
    assert "ownerReferences" not in virtctl.vmi["metadata"]
    assert virtctl.cluster.get("datavolumes", "web-root", "prod") is not None


async def test_foreground_waits_for_the_dependents(virtctl: Virtctl) -> None:
    """The finalizer of the garbage collector is there until they are gone."""
    await virtctl.create("Always")
    answer = await virtctl.client.request("DELETE", WEB, {"propagationPolicy": "Foreground"})
    assert "foregroundDeletion" in answer.json()["metadata"]["finalizers"]
    await virtctl.cluster.settle()
    assert (virtctl.vm, virtctl.vmi) == ({}, {})


async def test_an_unknown_propagation_is_refused(virtctl: Virtctl) -> None:
    """422 of DeleteOptions."""
    await virtctl.create()
    code, message = refusal(await virtctl.client.request("DELETE", WEB, {"propagationPolicy": "Sideways"}))
    assert (code, 'Unsupported value: "Sideways"' in message) == (422, True)


@pytest.mark.parametrize(("query", "body"), [("?dryRun=All", None), ("", {"dryRun": ["All"]})])
async def test_a_dry_run_deletes_nothing(virtctl: Virtctl, query: str, body: Any) -> None:
    """200 with the object as it is; preconditions count."""
    await virtctl.create("Always")
    before = virtctl.vm
    answer = await virtctl.client.request("DELETE", WEB + query, body)
    assert (answer.code, answer.json()["kind"], virtctl.vm) == (200, "VirtualMachine", before)
    guarded = (body or {}) | {"preconditions": {"uid": "other"}}
    assert (await virtctl.client.request("DELETE", WEB + query, guarded)).code == 409
    assert virtctl.cluster.acts_on(PLACE) == []


async def test_a_finalizer_of_somebody_else_keeps_the_vm(virtctl: Virtctl) -> None:
    """The guest is gone, and the VM stays Terminating until that one lets it go."""
    vm = await virtctl.create("Always")
    kept = [*vm["metadata"]["finalizers"], "backup.example.com/keep"]
    virtctl.cluster.patch("virtualmachines", vm, {"metadata": {"finalizers": kept}})
    await virtctl.client.request("DELETE", WEB)
    await virtctl.cluster.settle()
    assert (virtctl.shown, virtctl.vmi) == ("Terminating", {})
    assert virtctl.vm["metadata"]["finalizers"] == ["backup.example.com/keep"]
    await virtctl.patch({"metadata": {"finalizers": None}})
    assert virtctl.vm == {}


async def test_a_deleted_instance_of_always_comes_back(virtctl: Virtctl) -> None:
    """DELETE of the VMI is a restart by hand."""
    await virtctl.create("Always")
    before = virtctl.vmi["metadata"]["uid"]
    path = WEB.replace("virtualmachines", "virtualmachineinstances")
    assert (await virtctl.client.request("DELETE", path)).code == 200
    await virtctl.cluster.settle()
    assert (virtctl.phase, virtctl.vmi["metadata"]["uid"] != before) == ("Running", True)
