"""How a migration goes, and how it can end: phases, nodes, limits, aborts, reasons (KubeVirt, watch/migration)."""

from typing import Any

import pytest
from support.virtctl import MIGRATIONS, Virtctl

from summit_simulator import SimulatedCluster

PHASES = ["Pending", "Scheduling", "Scheduled", "PreparingTarget", "TargetReady", "Running", "Succeeded"]


def _phase(virtctl: Virtctl) -> str:
    return str(virtctl.migration()["status"]["phase"])


def _state(virtctl: Virtctl) -> dict[str, Any]:
    return dict(virtctl.vmi["status"].get("migrationState", {}))


async def _running(virtctl: Virtctl) -> None:
    """A migration in the middle of its copy."""
    await virtctl.create("Always")
    await virtctl.migrate()
    virtctl.cluster.clock.advance(16)
    assert _phase(virtctl) == "Running"


async def test_in_flight_the_nodes_are_on_the_instance_alone(virtctl: Virtctl) -> None:
    """Under the uid of the migration; the migration itself knows its source pod, until it is final."""
    await _running(virtctl)
    state = _state(virtctl)
    assert state["migrationUid"] == virtctl.migration()["metadata"]["uid"]
    assert state["sourceNode"] == virtctl.vmi["status"]["nodeName"] != state["targetNode"]
    assert (state["mode"], "startTimestamp" in state, "endTimestamp" in state) == ("PreCopy", True, False)
    assert virtctl.migration()["status"]["migrationState"].keys() == {"sourcePod"}
    assert virtctl.shown == "Migrating"


async def test_success_moves_the_instance_and_keeps_its_uid(virtctl: Virtctl) -> None:
    """Every phase has its time; the state is copied to the migration; the VMI keeps it until the next."""
    await _running(virtctl)
    before, target = virtctl.vmi["metadata"]["uid"], _state(virtctl)["targetNode"]
    await virtctl.cluster.settle()
    status = virtctl.migration()["status"]
    assert [entry["phase"] for entry in status["phaseTransitionTimestamps"]] == PHASES
    assert status["migrationState"] == _state(virtctl)
    assert (status["migrationState"]["completed"], status["migrationState"].get("failed")) == (True, None)
    assert virtctl.vmi["status"]["nodeName"] == virtctl.vmi["metadata"]["labels"]["kubevirt.io/nodeName"] == target
    assert (virtctl.vmi["metadata"]["uid"], virtctl.shown) == (before, "Running")


async def test_the_end_is_seen_before_its_state(virtctl: Virtctl) -> None:
    """The event with the final phase comes before the one with the copy of the state."""
    await _running(virtctl)
    path = "/apis/kubevirt.io/v1/virtualmachineinstancemigrations"
    version = virtctl.migration()["metadata"]["resourceVersion"]
    async with virtctl.client.watch(path, resourceVersion=version) as watch:
        await virtctl.cluster.settle()
        seen = [(await watch.event())[1]["status"] for _ in range(2)]
    assert [status["phase"] for status in seen] == ["Succeeded", "Succeeded"]
    assert ["targetNode" in status["migrationState"] for status in seen] == [False, True]


async def test_failure_leaves_the_instance_where_it_is(virtctl: Virtctl) -> None:
    """Completed is true as well; the reason is in both states."""
    await _running(virtctl)
    node = virtctl.vmi["status"]["nodeName"]
    virtctl.cluster.faults.disturb_migrations(failure="Connection reset by peer")
    await virtctl.cluster.settle()
    status = virtctl.migration()["status"]
    assert (status["phase"], status["migrationState"]["failureReason"]) == ("Failed", "Connection reset by peer")
    assert (status["migrationState"]["completed"], status["migrationState"]["failed"]) == (True, True)
    assert (virtctl.vmi["status"]["nodeName"], virtctl.shown) == (node, "Running")


async def test_a_copy_without_progress_is_given_up(virtctl: Virtctl) -> None:
    """After the progress timeout of 150 s, with a reason."""
    virtctl.cluster.faults.disturb_migrations(is_stalled=True)
    await _running(virtctl)
    virtctl.cluster.clock.advance(148)
    assert _phase(virtctl) == "Running"
    virtctl.cluster.clock.advance(2)
    reason = virtctl.migration()["status"]["migrationState"]["failureReason"]
    assert (_phase(virtctl), reason) == ("Failed", "Live migration stuck for 150 sec and has been aborted")


async def test_a_stalled_copy_can_go_on(virtctl: Virtctl) -> None:
    """It takes its course when the stall ends."""
    virtctl.cluster.faults.disturb_migrations(is_stalled=True)
    await _running(virtctl)
    virtctl.cluster.clock.advance(100)
    virtctl.cluster.faults.disturb_migrations()
    await virtctl.cluster.settle()
    assert _phase(virtctl) == "Succeeded"


async def test_a_target_that_no_node_takes_fails_after_five_minutes(virtctl: Virtctl) -> None:
    """It stays Scheduling, and was never handed off: there is no state, and so no reason."""
    await virtctl.create("Always")
    await virtctl.migrate(addedNodeSelector={"rack": "nowhere"})
    virtctl.cluster.clock.advance(290)
    assert (_phase(virtctl), _state(virtctl)) == ("Scheduling", {})
    await virtctl.cluster.settle()
    assert virtctl.migration()["status"]["migrationState"].keys() == {"sourcePod"}
    assert (_phase(virtctl), _state(virtctl)) == ("Failed", {})


async def test_an_added_node_selector_chooses_the_target(virtctl: Virtctl) -> None:
    """Here the last of the nodes."""
    await virtctl.create("Always")
    node = max(virtctl.cluster.truth("nodes")["nodes"].values(), key=lambda one: str(one["metadata"]["name"]))
    await virtctl.migrate(addedNodeSelector={"kubernetes.io/hostname": node["metadata"]["name"]})
    await virtctl.cluster.settle()
    assert virtctl.vmi["status"]["nodeName"] == node["metadata"]["name"]


async def test_a_quota_keeps_it_pending_with_a_condition(virtctl: Virtctl) -> None:
    """It goes on when there is room again."""
    virtctl.cluster.faults.disturb_migrations(quota="exceeded quota: compute")
    await virtctl.create("Always")
    await virtctl.migrate()
    await virtctl.cluster.settle()
    rejected = virtctl.condition("migrationRejectedByResourceQuota", of=virtctl.migration())
    assert (_phase(virtctl), rejected["status"]) == ("Pending", "True")
    virtctl.cluster.faults.disturb_migrations()
    await virtctl.cluster.settle()
    assert _phase(virtctl) == "Succeeded"


async def test_two_migrations_leave_a_node_at_a_time(cluster: SimulatedCluster, virtctl: Virtctl) -> None:
    """The third waits in Pending without a condition, until there is room."""
    vms = [cluster.create_vm(f"web-{number}", namespace="prod", run_strategy="Always") for number in range(13)]
    await cluster.settle()
    nodes = [(cluster.vmi(vm) or {})["status"]["nodeName"] for vm in vms]
    busiest = [vm for vm, node in zip(vms, nodes, strict=True) if node == nodes[0]]
    assert len(busiest) == 3
    for vm in busiest:
        cluster.request_migration(vm)
    cluster.clock.advance(5)
    phases = sorted(migration["status"]["phase"] for migration in virtctl.migrations())
    assert phases == ["Pending", "Scheduling", "Scheduling"]
    await cluster.settle()
    assert {migration["status"]["phase"] for migration in virtctl.migrations()} == {"Succeeded"}


@pytest.mark.parametrize("seconds", [1, 4, 8])
async def test_an_abort_before_the_hand_off_just_fails(virtctl: Virtctl, seconds: int) -> None:
    """The target pod is deleted, the instance never knew of it, and the object goes."""
    await virtctl.create("Always")
    await virtctl.migrate()
    virtctl.cluster.clock.advance(seconds)
    assert _phase(virtctl) in ("Pending", "Scheduling", "Scheduled")
    answer = await virtctl.client.request("DELETE", f"{MIGRATIONS}/m")
    assert answer.json()["metadata"]["deletionTimestamp"]
    virtctl.cluster.clock.advance(1)
    assert (virtctl.migration(), _state(virtctl)) == ({}, {})
    assert virtctl.shown == "Running"


async def test_an_abort_between_hand_off_and_copy_waits(virtctl: Virtctl) -> None:
    """It begins with the copy."""
    await virtctl.create("Always")
    await virtctl.migrate()
    virtctl.cluster.clock.advance(10)
    assert _phase(virtctl) == "PreparingTarget"
    await virtctl.client.request("DELETE", f"{MIGRATIONS}/m")
    virtctl.cluster.clock.advance(3)
    assert (_phase(virtctl), _state(virtctl).get("abortRequested")) == ("TargetReady", None)
    await virtctl.cluster.settle()
    assert (virtctl.migration(), _state(virtctl)["abortStatus"]) == ({}, "Succeeded")


async def test_an_abort_of_the_copy_shows_on_both(virtctl: Virtctl) -> None:
    """A condition of the migration, abortStatus of the instance: Aborting, then Succeeded, and a reason."""
    await _running(virtctl)
    await virtctl.client.request("DELETE", f"{MIGRATIONS}/m")
    assert virtctl.condition("migrationAbortRequested", of=virtctl.migration())["status"] == "True"
    assert (_state(virtctl)["abortRequested"], _state(virtctl)["abortStatus"]) == (True, "Aborting")
    node = virtctl.vmi["status"]["nodeName"]
    await virtctl.cluster.settle()
    assert virtctl.migration() == {}
    assert (_state(virtctl)["abortStatus"], _state(virtctl)["failed"]) == ("Succeeded", True)
    assert _state(virtctl)["failureReason"] == "Live migration aborted by user"
    assert virtctl.vmi["status"]["nodeName"] == node


async def test_an_abort_may_come_too_late(virtctl: Virtctl) -> None:
    """AbortStatus Failed: the instance moved all the same, and the migration is gone."""
    virtctl.cluster.faults.disturb_migrations(ignores_abort=True)
    await _running(virtctl)
    target = _state(virtctl)["targetNode"]
    await virtctl.client.request("DELETE", f"{MIGRATIONS}/m")
    await virtctl.cluster.settle()
    assert (virtctl.migration(), _state(virtctl)["abortStatus"]) == ({}, "Failed")
    assert (virtctl.vmi["status"]["nodeName"], _state(virtctl).get("failed")) == (target, None)


async def test_deleting_a_final_migration_removes_history_only(virtctl: Virtctl) -> None:
    """Nothing moves back."""
    await _running(virtctl)
    await virtctl.cluster.settle()
    node = virtctl.vmi["status"]["nodeName"]
    await virtctl.client.request("DELETE", f"{MIGRATIONS}/m")
    await virtctl.cluster.settle()
    assert (virtctl.migration(), virtctl.vmi["status"]["nodeName"]) == ({}, node)


async def test_a_migration_goes_with_its_instance(virtctl: Virtctl) -> None:
    """The VM is stopped in the middle of the copy."""
    await _running(virtctl)
    await virtctl.ask("stop")
    await virtctl.cluster.settle()
    assert (virtctl.migrations(), virtctl.shown) == ([], "Stopped")


async def test_five_final_migrations_are_kept(virtctl: Virtctl) -> None:
    """The oldest go."""
    await virtctl.create("Always")
    for number in range(7):
        await virtctl.migrate(f"m-{number}")
        await virtctl.cluster.settle()
    assert [one["metadata"]["name"] for one in virtctl.migrations()] == [f"m-{number}" for number in range(2, 7)]


async def test_a_drained_node_is_evacuated(cluster: SimulatedCluster, virtctl: Virtctl) -> None:
    """KubeVirt creates the migrations, with an annotation that names the node; what cannot be moved stays."""
    await virtctl.create("Always")
    node = virtctl.vmi["status"]["nodeName"]
    cluster.drain(node)
    (migration,) = virtctl.migrations()
    assert migration["metadata"]["name"].startswith("kubevirt-evacuation-")
    assert migration["metadata"]["annotations"] == {"kubevirt.io/evacuationMigration": node}
    assert virtctl.vmi["status"]["evacuationNodeName"] == node
    await cluster.settle()
    moved = virtctl.vmi["status"]
    assert (moved["nodeName"] != node, "evacuationNodeName" in moved) == (True, False)
    virtctl.be_migratable("False", reason="DisksNotLiveMigratable")
    cluster.drain(moved["nodeName"])
    await cluster.settle()
    assert virtctl.vmi["status"]["nodeName"] == moved["nodeName"]
