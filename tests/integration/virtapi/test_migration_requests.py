"""Who may create a migration, and what the webhook says otherwise (KubeVirt, migration-create-admitter.go)."""

from typing import Any

import pytest
from support.virtctl import MIGRATIONS, PLACE, Virtctl, refusal

DENIED = 'admission webhook "migration-create-validator.kubevirt.io" denied the request: '
GATE = {"spec": {"configuration": {"developerConfiguration": {"featureGates": ["DecentralizedLiveMigration"]}}}}
DISKS = {"reason": "DisksNotLiveMigratable", "message": "cannot migrate VMI: PVC web-root is not shared"}


def _enable_decentralized(virtctl: Virtctl) -> None:
    kubevirt = virtctl.cluster.get("kubevirts", "kubevirt", "kubevirt") or {}
    virtctl.cluster.patch("kubevirts", kubevirt, GATE)


async def test_a_migration_is_created_by_name(virtctl: Virtctl) -> None:
    """201, with the label and the finalizer of the mutating webhook."""
    await virtctl.create("Always")
    answer = await virtctl.migrate("op-1")
    meta = answer.json()["metadata"]
    assert (answer.code, meta["name"]) == (201, "op-1")
    assert meta["labels"]["kubevirt.io/vmi-name"] == "web"
    assert meta["finalizers"] == ["kubevirt.io/migrationJobFinalize"]
    assert [(act.action, act.name) for act in virtctl.cluster.acts_on(PLACE)] == [("migrate", "web")]


async def test_a_repeat_in_flight_is_denied_with_its_own_uid(virtctl: Virtctl) -> None:
    """The webhook comes before the look at the name: 400, not 409, and no reason."""
    await virtctl.create("Always")
    uid = (await virtctl.migrate()).json()["metadata"]["uid"]
    again = await virtctl.migrate()
    job = f"Active migration job ({uid}) is currently already in progress for VMI web."
    assert refusal(again) == (400, f"{DENIED}in-flight migration detected. {job}")
    assert "reason" not in again.json()


async def test_a_repeat_after_the_end_exists_already(virtctl: Virtctl) -> None:
    """409 AlreadyExists, as long as KubeVirt keeps the first one."""
    await virtctl.create("Always")
    await virtctl.migrate()
    await virtctl.cluster.settle()
    again = await virtctl.migrate()
    message = 'virtualmachineinstancemigrations.kubevirt.io "m" already exists'
    assert (refusal(again), again.json()["reason"]) == ((409, message), "AlreadyExists")


async def test_a_migration_wants_an_instance(virtctl: Virtctl) -> None:
    """400: the VM is stopped."""
    await virtctl.create()
    assert refusal(await virtctl.migrate()) == (400, f'{DENIED}the VMI "prod/web" does not exist')


async def test_a_final_instance_cannot_be_migrated(virtctl: Virtctl) -> None:
    """400: its guest has ended."""
    vm = await virtctl.create("Manual")
    await virtctl.cluster.start(vm)
    virtctl.cluster.crash(vm)
    assert refusal(await virtctl.migrate()) == (400, f"{DENIED}Cannot migrate VMI in finalized state.")


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        (DISKS["reason"], DISKS["message"]),
        ("InterfaceNotLiveMigratable", "cannot migrate VMI which does not use masquerade"),
        ("HostDeviceNotLiveMigratable", "VMI uses a PCI host devices"),
    ],
)
async def test_what_is_not_live_migratable_says_why(virtctl: Virtctl, reason: str, message: str) -> None:
    """400 with reason and message of the condition."""
    await virtctl.create("Always")
    virtctl.be_migratable("False", reason=reason, message=message)
    why = f"{DENIED}Cannot migrate VMI, Reason: {reason}, Message: {message}"
    assert refusal(await virtctl.migrate()) == (400, why)


async def test_vmi_name_is_required(virtctl: Virtctl) -> None:
    """422 Invalid with the field."""
    answer = await virtctl.client.request("POST", MIGRATIONS, {"metadata": {"name": "m"}, "spec": {}})
    assert (refusal(answer), answer.json()["reason"]) == ((422, f"{DENIED}vmiName is missing"), "Invalid")
    assert answer.json()["details"]["causes"][0]["field"] == "spec.vmiName"


@pytest.mark.parametrize("end", ["sendTo", "receive"])
async def test_decentralized_migrations_want_their_feature_gate(virtctl: Virtctl, end: str) -> None:
    """422 while the gate is off, which is the default of the simulated version."""
    await virtctl.create("Always")
    answer = await virtctl.migrate(**{end: {"migrationID": "a", "connectURL": "192.0.2.1:9185"}})
    why = "DecentralizedLiveMigration feature gate is not enabled in kubevirt resource"
    assert refusal(answer) == (422, DENIED + why)


async def test_the_ids_of_both_ends_must_agree(virtctl: Virtctl) -> None:
    """422 for a migration that names both, differently."""
    _enable_decentralized(virtctl)
    await virtctl.create("Always")
    answer = await virtctl.migrate(sendTo={"migrationID": "a", "connectURL": "x:1"}, receive={"migrationID": "b"})
    assert refusal(answer) == (422, f"{DENIED}sendTo migrationID a does not match receive migrationID b")


async def test_disks_move_along_in_a_decentralized_migration(virtctl: Virtctl) -> None:
    """DisksNotLiveMigratable is no reason to refuse there, others are."""
    _enable_decentralized(virtctl)
    await virtctl.create("Always")
    target = {"migrationID": "a", "connectURL": "192.0.2.1:9185"}
    virtctl.be_migratable("False", reason="HostDeviceNotLiveMigratable", message="x")
    assert (await virtctl.migrate(sendTo=target)).code == 400
    virtctl.be_migratable("False", **DISKS)
    assert (await virtctl.migrate(sendTo=target)).code == 201


@pytest.mark.parametrize(("end", "phase"), [("sendTo", "Synchronizing"), ("receive", "WaitingForSync")])
async def test_one_end_of_a_decentralized_migration_waits_for_the_other(virtctl: Virtctl, end: str, phase: str) -> None:
    """For ever, as the simulated clusters do not talk to each other; a DELETE ends it."""
    _enable_decentralized(virtctl)
    await virtctl.create("Always")
    assert (await virtctl.migrate(**{end: {"migrationID": "a", "connectURL": "192.0.2.1:9185"}})).code == 201
    await virtctl.cluster.settle()
    assert virtctl.migration()["status"]["phase"] == phase
    await virtctl.client.request("DELETE", f"{MIGRATIONS}/m")
    await virtctl.cluster.settle()
    assert (virtctl.migrations(), virtctl.shown) == ([], "Running")


async def test_priority_belongs_to_virt_controller(virtctl: Virtctl) -> None:
    """422 Forbidden for everybody else."""
    await virtctl.create("Always")
    answer = await virtctl.migrate(priority="system-critical")
    assert answer.code == 422
    assert answer.json()["details"]["causes"][0]["reason"] == "FieldValueForbidden"


async def test_the_spec_of_a_migration_never_changes(virtctl: Virtctl) -> None:
    """422 of the update webhook."""
    await virtctl.create("Always")
    await virtctl.migrate()
    merge = {"Content-Type": "application/merge-patch+json"}
    answer = await virtctl.client.request("PATCH", f"{MIGRATIONS}/m", {"spec": {"vmiName": "x"}}, headers=merge)
    why = "update of Migration object's spec is restricted"
    webhook = "migration-update-validator.kubevirt.io"
    assert refusal(answer) == (422, f'admission webhook "{webhook}" denied the request: {why}')


async def test_a_name_beyond_63_characters_cannot_be_migrated(virtctl: Virtctl) -> None:
    """It would be the value of a label."""
    body: Any = {"metadata": {"name": "m"}, "spec": {"vmiName": "x" * 64}}
    assert (await virtctl.client.request("POST", MIGRATIONS, body)).code == 422


async def test_a_dry_run_creates_nothing(virtctl: Virtctl) -> None:
    """201 with the object, refusals as without; a name may be asked for again and again."""
    await virtctl.create("Always")
    for _ in range(2):
        answer = await virtctl.migrate(query="?dryRun=All")
        assert (answer.code, answer.json()["metadata"]["name"], virtctl.migrations()) == (201, "m", [])
    virtctl.be_migratable("False", **DISKS)
    assert (await virtctl.migrate(query="?dryRun=All")).code == 400


async def test_the_migrate_subresource_names_the_migration_itself(virtctl: Virtctl) -> None:
    """202 without the object; an added node selector is passed on."""
    await virtctl.create("Always")
    nodes = sorted(node["metadata"]["name"] for node in virtctl.cluster.truth("nodes")["nodes"].values())
    selector = {"kubernetes.io/hostname": next(n for n in nodes if n != virtctl.vmi["status"]["nodeName"])}
    answer = await virtctl.ask("migrate", {"addedNodeSelector": selector})
    assert (answer.code, answer.body) == (202, b"")
    (migration,) = virtctl.migrations()
    assert migration["metadata"]["name"].startswith("kubevirt-migrate-vm-")
    assert migration["spec"] == {"vmiName": "web", "addedNodeSelector": selector}


async def test_the_migrate_subresource_hides_denials_behind_500(virtctl: Virtctl) -> None:
    """virt-api wraps what the webhook said to it; its own refusals are a 404 and a 409."""
    vm = await virtctl.create()
    assert refusal(await virtctl.ask("migrate")) == (404, 'virtualmachineinstance.kubevirt.io "web" not found')
    virtctl.cluster.request("start", vm)
    virtctl.cluster.clock.advance(25)
    conflict = 'Operation cannot be fulfilled on virtualmachine.kubevirt.io "web": VM is not running'
    assert refusal(await virtctl.ask("migrate")) == (409, conflict)
    await virtctl.cluster.settle()
    virtctl.be_migratable("False", **DISKS)
    why = f"{DENIED}Cannot migrate VMI, Reason: {DISKS['reason']}, Message: {DISKS['message']}"
    assert refusal(await virtctl.ask("migrate")) == (500, f"Internal error occurred: {why}")
