"""pause, unpause, softreboot, reset, freeze and guestosinfo: what virt-api says, and what it asks of virt-handler."""

from typing import Any

import pytest
from support.virtctl import PLACE, SUBRESOURCES, Virtctl, refusal

CONFLICT = 'Operation cannot be fulfilled on virtualmachineinstance.kubevirt.io "web": '
GUEST_ACTIONS = ["pause", "unpause", "softreboot", "freeze", "unfreeze"]
# unpause and unfreeze speak of the VMI, the others of a VM
NOT_RUNNING = {"unpause": "VMI is not running", "unfreeze": "VMI is not running"}


async def test_pause_and_unpause_are_a_condition(virtctl: Virtctl) -> None:
    """200 without a body; the VM shows Paused, and the same instance goes on."""
    await virtctl.create("Always")
    before = virtctl.vmi["metadata"]["uid"]
    answer = await virtctl.ask("pause", {})
    assert (answer.code, answer.body) == (200, b"")
    assert (virtctl.shown, virtctl.condition("Paused")["reason"]) == ("Paused", "PausedByUser")
    answer = await virtctl.ask("unpause")
    assert (answer.code, virtctl.shown, virtctl.condition("Paused")) == (200, "Running", {})
    assert virtctl.vmi["metadata"]["uid"] == before


@pytest.mark.parametrize("dry_run", [False, True])
async def test_pause_and_unpause_refuse_what_is_so_already(virtctl: Virtctl, dry_run: bool) -> None:
    """409, in a dry run as well."""
    await virtctl.create("Always")
    body = {"dryRun": ["All"]} if dry_run else None
    assert refusal(await virtctl.ask("unpause", body)) == (409, f"{CONFLICT}VMI is not paused")
    await virtctl.ask("pause")
    assert refusal(await virtctl.ask("pause", body)) == (409, f"{CONFLICT}VMI is already paused")


@pytest.mark.parametrize("action", GUEST_ACTIONS)
async def test_a_guest_that_starts_is_not_running(virtctl: Virtctl, action: str) -> None:
    """The VMI is there, its phase is not Running; the words differ from handler to handler."""
    vm = await virtctl.create()
    virtctl.cluster.request("start", vm)
    virtctl.cluster.clock.advance(25)
    assert virtctl.phase == "Scheduling"
    why = NOT_RUNNING.get(action, "VM is not running")
    assert refusal(await virtctl.ask(action)) == (409, CONFLICT + why)


@pytest.mark.parametrize("action", [*GUEST_ACTIONS, "reset"])
async def test_there_is_no_such_instance(virtctl: Virtctl, action: str) -> None:
    """404 for a stopped VM, the resource in the singular."""
    await virtctl.create()
    assert refusal(await virtctl.ask(action)) == (404, 'virtualmachineinstance.kubevirt.io "web" not found')


async def test_reset_of_a_guest_that_starts_is_a_bad_request(virtctl: Virtctl) -> None:
    """It has no check of its own: the way to virt-handler fails."""
    vm = await virtctl.create()
    virtctl.cluster.request("start", vm)
    virtctl.cluster.clock.advance(25)
    assert refusal(await virtctl.ask("reset")) == (
        400,
        (
            "Failed to reset non-running VMI with phase Scheduling: Unable to connect to VirtualMachineInstance "
            "because phase is Scheduling instead of Running or Scheduled"
        ),
    )


@pytest.mark.parametrize(
    ("probe", "code"), [({"httpGet": {"port": 80}}, 403), ({"guestAgentPing": {}}, 200), ({"exec": {}}, 403)]
)
async def test_pause_would_fail_a_liveness_probe(virtctl: Virtctl, probe: Any, code: int) -> None:
    """403 unless the probe asks the guest agent."""
    vm = await virtctl.create()
    virtctl.cluster.patch("virtualmachines", vm, {"spec": {"template": {"spec": {"livenessProbe": probe}}}})
    await virtctl.cluster.start(vm)
    answer = await virtctl.ask("pause")
    assert answer.code == code
    if code == 403:
        why = "Pausing VMIs with LivenessProbe is currently not supported"
        assert refusal(answer)[1] == f'virtualmachineinstance.kubevirt.io "web" is forbidden: {why}'
        assert answer.json()["reason"] == "Forbidden"


async def test_unpause_waits_for_a_snapshot(virtctl: Virtctl) -> None:
    """The refusal is about the VM."""
    vm = await virtctl.create("Always")
    await virtctl.ask("pause")
    virtctl.cluster.patch("virtualmachines", vm, {"status": {"snapshotInProgress": "snap"}})
    why = 'Operation cannot be fulfilled on virtualmachine.kubevirt.io "web": VM snapshot is in progress'
    assert refusal(await virtctl.ask("unpause")) == (409, why)


async def test_a_vm_that_migrates_can_be_paused(virtctl: Virtctl) -> None:
    """It shows Migrating all the same."""
    await virtctl.create("Always")
    await virtctl.migrate()
    virtctl.cluster.clock.advance(16)
    assert (await virtctl.ask("pause")).code == 200
    assert (virtctl.shown, virtctl.condition("Paused")["status"]) == ("Migrating", "True")


@pytest.mark.parametrize("action", ["softreboot", "reset"])
async def test_a_reboot_keeps_the_instance(virtctl: Virtctl, action: str) -> None:
    """The agent is gone for a while, which is all that can be seen from outside."""
    await virtctl.create("Always")
    before = virtctl.vmi["metadata"]["uid"]
    assert (await virtctl.ask(action)).code == 200
    assert (virtctl.phase, virtctl.condition("AgentConnected")) == ("Running", {})
    await virtctl.cluster.settle()
    assert virtctl.condition("AgentConnected")["status"] == "True"
    assert virtctl.vmi["metadata"]["uid"] == before


async def test_softreboot_of_a_paused_guest_is_a_conflict(virtctl: Virtctl) -> None:
    """It would not notice."""
    await virtctl.create("Always")
    await virtctl.ask("pause")
    assert refusal(await virtctl.ask("softreboot")) == (409, f"{CONFLICT}VMI is paused")


async def test_softreboot_wants_an_agent_or_acpi(virtctl: Virtctl) -> None:
    """The grammar is KubeVirt's."""
    vm = await virtctl.create(os="cirros")
    acpi = {"features": {"acpi": {"enabled": False}}}
    virtctl.cluster.patch("virtualmachines", vm, {"spec": {"template": {"spec": {"domain": acpi}}}})
    await virtctl.cluster.start(vm)
    why = f"{CONFLICT}VMI neither have the agent connected nor the ACPI feature enabled"
    assert refusal(await virtctl.ask("softreboot")) == (409, why)
    assert (await virtctl.ask("reset")).code == 200


async def test_a_frozen_guest_shows_it(virtctl: Virtctl) -> None:
    """FsFreezeStatus is there while it is frozen."""
    await virtctl.create("Always")
    assert (await virtctl.ask("freeze", {"unfreezeTimeout": "5m"})).code == 200
    assert virtctl.vmi["status"]["fsFreezeStatus"] == "frozen"
    assert (await virtctl.ask("unfreeze")).code == 200
    assert "fsFreezeStatus" not in virtctl.vmi["status"]


async def test_virt_handler_does_not_answer(virtctl: Virtctl) -> None:
    """500 and nothing happened; what virt-api decides alone goes on."""
    await virtctl.create("Always")
    virtctl.cluster.faults.virt_handler_down = True
    code, message = refusal(await virtctl.ask("pause"))
    assert (code, message.startswith('Internal error occurred: Put "https://')) == (500, True)
    assert (virtctl.shown, virtctl.cluster.acts_on(PLACE)) == ("Running", [])
    assert (await virtctl.ask("stop")).code == 202


async def test_guestosinfo_without_an_agent_is_a_plain_text(virtctl: Virtctl) -> None:
    """500 and no Status; with an agent the document."""
    vm = await virtctl.create()
    path = f"{SUBRESOURCES}/virtualmachineinstances/web/guestosinfo"
    virtctl.cluster.request("start", vm)
    virtctl.cluster.clock.advance(20 + 16)
    answer = await virtctl.client.get(path)
    assert (answer.code, answer.headers["Content-Type"].split(";")[0]) == (500, "text/plain")
    await virtctl.cluster.settle()
    assert (await virtctl.client.get(path)).json()["os"]["id"] == "fedora"


async def test_expand_spec_shows_the_instancetype_in_place(virtctl: Virtctl) -> None:
    """200 with the values of the instancetype; 404 without the VM, 500 without the instancetype."""
    vm = await virtctl.create(instancetype="u1.large")
    path = f"{SUBRESOURCES}/virtualmachines/web/expand-spec"
    spec = (await virtctl.client.get(path)).json()["spec"]
    assert spec["template"]["spec"]["domain"]["cpu"]["sockets"] == 2
    assert (spec["template"]["spec"]["domain"]["memory"]["guest"], "instancetype" in spec) == ("8Gi", False)
    assert (await virtctl.client.get(path.replace("web", "nope"))).code == 404
    virtctl.cluster.patch("virtualmachines", vm, {"spec": {"instancetype": {"name": "gone"}}})
    assert refusal(await virtctl.client.get(path))[0] == 500


async def test_an_unknown_subresource_is_not_found(virtctl: Virtctl) -> None:
    """404 as a Status."""
    await virtctl.create()
    assert refusal(await virtctl.ask("explode"))[0] == 404
