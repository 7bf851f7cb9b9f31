"""PATCH of sockets and memory: refused, taken over live, or at the next start (KubeVirt, vm.go, vms-admitter.go)."""

from typing import Any

import pytest
from support.virtctl import PLACE, Virtctl, refusal

DENIED = 'admission webhook "virtualmachine-validator.kubevirt.io" denied the request: '
DOMAIN = "spec.template.spec.domain"


def _restart_required(virtctl: Virtctl) -> str | None:
    return virtctl.condition("RestartRequired", of=virtctl.vm).get("message")


async def test_sockets_are_plugged_by_a_migration(virtctl: Virtctl) -> None:
    """The spec of the VMI has the new size at once, the guest when the workload updater has moved it."""
    await virtctl.create("Always", cores=2)
    before = virtctl.vmi
    assert (await virtctl.resize(cpu={"sockets": 3})).code == 200
    assert virtctl.vmi["spec"]["domain"]["cpu"]["sockets"] == 3
    assert virtctl.vmi["status"]["currentCPUTopology"] == {"cores": 2, "sockets": 1, "threads": 1}
    assert virtctl.condition("HotVCPUChange")["status"] == "True"
    (migration,) = virtctl.migrations()
    assert migration["metadata"]["name"].startswith("kubevirt-workload-update-")
    assert migration["metadata"]["annotations"] == {"kubevirt.io/workloadUpdateMigration": ""}
    await virtctl.cluster.settle()
    assert virtctl.vmi["status"]["currentCPUTopology"] == {"cores": 2, "sockets": 3, "threads": 1}
    assert (virtctl.condition("HotVCPUChange"), _restart_required(virtctl)) == ({}, None)
    assert virtctl.vmi["metadata"]["uid"] == before["metadata"]["uid"]
    assert virtctl.vmi["status"]["nodeName"] != before["status"]["nodeName"]


async def test_memory_is_plugged_by_a_migration(virtctl: Virtctl) -> None:
    """GuestRequested at once, guestCurrent afterwards; guestAtBoot stays."""
    await virtctl.create("Always", memory="2Gi")
    assert (await virtctl.resize(memory={"guest": "4Gi"})).code == 200
    wanted = {"guestAtBoot": "2Gi", "guestCurrent": "2Gi", "guestRequested": "4Gi"}
    assert virtctl.vmi["status"]["memory"] == wanted
    assert virtctl.condition("HotMemoryChange")["status"] == "True"
    await virtctl.cluster.settle()
    assert virtctl.vmi["status"]["memory"] == wanted | {"guestCurrent": "4Gi"}
    assert virtctl.condition("HotMemoryChange") == {}


async def test_both_at_once_take_one_migration(virtctl: Virtctl) -> None:
    """A single PATCH changes sockets and memory."""
    await virtctl.create("Always", memory="2Gi")
    await virtctl.resize(cpu={"sockets": 2}, memory={"guest": "4Gi"})
    assert len(virtctl.migrations()) == 1
    await virtctl.cluster.settle()
    assert len(virtctl.migrations()) == 1
    assert virtctl.vmi["status"]["currentCPUTopology"]["sockets"] == 2
    assert virtctl.vmi["status"]["memory"]["guestCurrent"] == "4Gi"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cpu": {"sockets": 9}}, "CPU sockets updated in template spec to a value higher than what's available"),
        ({"cpu": {"sockets": 1}}, "Reduction of CPU socket count requires a restart"),
        (
            {"memory": {"guest": "1Gi"}},
            "memory updated in template spec to a value lower than what the VM started with",
        ),
        ({"memory": {"guest": "64Gi"}}, "memory updated in template spec to a value higher than what's available"),
        ({"cpu": {"cores": 4}}, "a non-live-updatable field was changed in the template spec"),
    ],
)
async def test_what_cannot_be_plugged_requires_a_restart(virtctl: Virtctl, change: Any, message: str) -> None:
    """200, and a condition of the VM; the guest keeps its size until a restart, which clears the condition."""
    vm = await virtctl.create()
    await virtctl.resize(cpu={"sockets": 2}, memory={"guest": "2Gi"})
    await virtctl.cluster.start(vm)
    before = virtctl.vmi["spec"]
    assert (await virtctl.resize(**change)).code == 200
    await virtctl.cluster.settle()
    assert (_restart_required(virtctl), virtctl.vmi["spec"], virtctl.migrations()) == (message, before, [])
    await virtctl.cluster.restart(vm)
    assert (_restart_required(virtctl), virtctl.phase) == (None, "Running")
    domain = virtctl.vmi["spec"]["domain"]
    assert all(domain[part].items() >= wanted.items() for part, wanted in change.items())


async def test_nothing_is_plugged_while_a_restart_is_required(virtctl: Virtctl) -> None:
    """Not even what could be, and taking the edit back does not help."""
    await virtctl.create("Always", cores=2)
    await virtctl.resize(cpu={"cores": 4})
    await virtctl.resize(cpu={"cores": 2, "sockets": 2})
    await virtctl.cluster.settle()
    assert _restart_required(virtctl) is not None
    assert virtctl.vmi["spec"]["domain"]["cpu"]["sockets"] == 1


async def test_a_rollout_strategy_of_stage_waits_for_the_restart(virtctl: Virtctl) -> None:
    """The KubeVirt object decides."""
    kubevirt = virtctl.cluster.get("kubevirts", "kubevirt", "kubevirt") or {}
    stage = {"spec": {"configuration": {"vmRolloutStrategy": "Stage"}}}
    virtctl.cluster.patch("kubevirts", kubevirt, stage)
    await virtctl.create("Always")
    await virtctl.resize(cpu={"sockets": 2})
    assert _restart_required(virtctl) == "a non-live-updatable field was changed in the template spec"
    assert virtctl.migrations() == []


async def test_a_resize_waits_for_the_end_of_a_migration(virtctl: Virtctl) -> None:
    """Then it is plugged."""
    await virtctl.create("Always")
    await virtctl.migrate()
    virtctl.cluster.clock.advance(16)
    await virtctl.resize(cpu={"sockets": 2})
    assert (virtctl.vmi["spec"]["domain"]["cpu"]["sockets"], virtctl.condition("HotVCPUChange")) == (1, {})
    await virtctl.cluster.settle()
    assert virtctl.vmi["status"]["currentCPUTopology"]["sockets"] == 2


async def test_a_guest_that_cannot_migrate_keeps_waiting_for_its_size(virtctl: Virtctl) -> None:
    """The condition stays, and nothing happens."""
    await virtctl.create("Always")
    virtctl.be_migratable("False", reason="DisksNotLiveMigratable")
    await virtctl.resize(cpu={"sockets": 2})
    await virtctl.cluster.settle()
    assert (virtctl.condition("HotVCPUChange")["status"], virtctl.migrations()) == ("True", [])
    assert virtctl.vmi["status"]["currentCPUTopology"]["sockets"] == 1


async def test_a_stopped_vm_has_its_new_size_at_the_next_start(virtctl: Virtctl) -> None:
    """No condition, nothing to wait for."""
    vm = await virtctl.create()
    await virtctl.resize(cpu={"sockets": 2}, memory={"guest": "8Gi"})
    assert _restart_required(virtctl) is None
    await virtctl.cluster.start(vm)
    assert virtctl.vmi["status"]["currentCPUTopology"]["sockets"] == 2
    assert virtctl.vmi["status"]["memory"]["guestAtBoot"] == "8Gi"


@pytest.mark.parametrize(
    ("limits", "change", "field", "message"),
    [
        (
            {"cpu": {"maxSockets": 4}},
            {"cpu": {"sockets": 5}},
            "cpu.sockets",
            "Number of sockets in CPU topology is greater than the maximum sockets allowed",
        ),
        (
            {"memory": {"maxGuest": "4Gi"}},
            {"memory": {"guest": "8Gi"}},
            "memory.guest",
            "Guest memory is greater than the configured maxGuest memory",
        ),
        (
            {"memory": {"maxGuest": "4Gi"}},
            {"memory": {"guest": "2147483649"}},
            "memory.guest",
            "Guest memory must be 2Mi aligned",
        ),
    ],
)
async def test_a_size_beyond_what_the_vm_sets_itself_is_denied(
    virtctl: Virtctl, limits: Any, change: Any, field: str, message: str
) -> None:
    """422 of the webhook, with the field."""
    await virtctl.create()
    assert (await virtctl.resize(**limits)).code == 200
    answer = await virtctl.resize(**change)
    assert (refusal(answer), answer.json()["reason"]) == ((422, DENIED + message), "Invalid")
    assert answer.json()["details"]["causes"][0]["field"] == f"{DOMAIN}.{field}"


@pytest.mark.parametrize("change", [{"cpu": {"sockets": 2}}, {"memory": {"guest": "4Gi"}}])
async def test_the_size_of_an_instancetype_cannot_be_patched(virtctl: Virtctl, change: Any) -> None:
    """422: the fields conflict with the selected instancetype."""
    await virtctl.create("Always", instancetype="u1.large")
    field = "cpu.sockets" if "cpu" in change else "memory.guest"
    why = f"VM field(s) {DOMAIN}.{field} conflicts with selected instance type"
    assert refusal(await virtctl.resize(**change)) == (422, DENIED + why)


@pytest.mark.parametrize("change", [{"cpu": {"sockets": "many"}}, {"memory": {"guest": "lots"}}])
async def test_a_size_of_the_wrong_type_never_reaches_the_webhook(virtctl: Virtctl, change: Any) -> None:
    """422 of the schema."""
    await virtctl.create()
    code, message = refusal(await virtctl.resize(**change))
    assert (code, message.startswith(f'VirtualMachine.kubevirt.io "web" is invalid: {DOMAIN}.')) == (422, True)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"runStrategy": "Nonsense"}, "Invalid RunStrategy (Nonsense)"),
        ({"running": True}, "Running and RunStrategy are mutually exclusive"),
        ({"runStrategy": None}, "RunStrategy must be specified"),
        (
            {"runStrategy": "WaitAsReceiver"},
            (
                "Invalid RunStrategy (WaitAsReceiver), DecentralizedLiveMigration feature gate is not enabled "
                "in kubevirt resource"
            ),
        ),
    ],
)
async def test_a_run_strategy_that_does_not_exist_is_denied(virtctl: Virtctl, spec: Any, message: str) -> None:
    """422, and nothing has changed."""
    await virtctl.create()
    before = virtctl.vm
    assert refusal(await virtctl.patch({"spec": spec})) == (422, DENIED + message)
    assert virtctl.vm == before


async def test_a_dry_run_shows_the_result_and_changes_nothing(virtctl: Virtctl) -> None:
    """200 with the object as it would be; refusals as without."""
    await virtctl.create("Always")
    before = virtctl.vm
    answer = await virtctl.resize(query="?dryRun=All", cpu={"sockets": 2})
    assert (answer.code, answer.json()["spec"]["template"]["spec"]["domain"]["cpu"]["sockets"]) == (200, 2)
    assert (await virtctl.resize(query="?dryRun=All", cpu={"sockets": "x"})).code == 422
    assert (virtctl.vm, virtctl.cluster.acts_on(PLACE)) == (before, [])


async def test_a_patch_may_name_the_version_and_the_uid_that_it_expects(virtctl: Virtctl) -> None:
    """409 for others."""
    vm = await virtctl.create()
    for member, value in (("uid", "other"), ("resourceVersion", "1")):
        answer = await virtctl.patch({"metadata": {member: value}, "spec": {"runStrategy": "Manual"}})
        assert (answer.code, answer.json()["reason"]) == (409, "Conflict")
    meta = {"uid": vm["metadata"]["uid"], "resourceVersion": virtctl.vm["metadata"]["resourceVersion"]}
    assert (await virtctl.patch({"metadata": meta, "spec": {"runStrategy": "Manual"}})).code == 200
