"""start, stop and restart by run strategy: codes, words and effects of virt-api (KubeVirt, rest/lifecycle.go)."""

from typing import Any

import pytest
from support.virtctl import PLACE, Virtctl, refusal

from summit_simulator import SimulatedCluster

CONFLICT = 'Operation cannot be fulfilled on virtualmachine.kubevirt.io "web": '
RECOVERY = "VM recovery required: Volume migration failed"


async def test_start_of_a_halted_vm_sets_always(virtctl: Virtctl) -> None:
    """202 without a body; the strategy that the user had is lost; the VMI goes through its phases with their times."""
    await virtctl.create()
    answer = await virtctl.ask("start")
    assert (answer.code, answer.body) == (202, b"")
    assert virtctl.vm["spec"]["runStrategy"] == "Always"
    await virtctl.cluster.settle()
    assert (virtctl.phase, virtctl.shown) == ("Running", "Running")
    times = virtctl.vmi["status"]["phaseTransitionTimestamps"]
    assert [entry["phase"] for entry in times] == ["Pending", "Scheduling", "Scheduled", "Running"]
    assert times == sorted(times, key=lambda entry: entry["phaseTransitionTimestamp"])


async def test_start_of_the_deprecated_running_sets_running(virtctl: Virtctl) -> None:
    """A VM without runStrategy keeps its form."""
    vm = await virtctl.create()
    virtctl.cluster.patch("virtualmachines", vm, {"spec": {"runStrategy": None, "running": False}})
    assert (await virtctl.ask("start")).code == 202
    assert (virtctl.vm["spec"]["running"], virtctl.vm["spec"].get("runStrategy")) == (True, None)


async def test_start_paused_leaves_a_request_and_ends_paused(virtctl: Virtctl) -> None:
    """virt-controller sets Always when it obeys; the guest is paused by its start strategy."""
    await virtctl.create()
    virtctl.cluster.stop_controllers()
    assert (await virtctl.ask("start", {"paused": True})).code == 202
    assert virtctl.requested == [{"action": "Start", "data": {"paused": "true"}}]
    assert virtctl.vm["spec"]["runStrategy"] == "Halted"
    virtctl.cluster.start_controllers()
    await virtctl.cluster.settle()
    assert (virtctl.vm["spec"]["runStrategy"], virtctl.vmi["spec"]["startStrategy"]) == ("Always", "Paused")
    assert (virtctl.shown, virtctl.condition("Paused")["reason"], virtctl.requested) == ("Paused", "PausedByUser", [])


@pytest.mark.parametrize("strategy", ["Manual", "RerunOnFailure"])
async def test_start_by_request_keeps_the_strategy(virtctl: Virtctl, strategy: str) -> None:
    """The request is in the status until the VMI exists."""
    vm = await virtctl.create(strategy)
    if virtctl.phase:
        await virtctl.cluster.stop(vm)
    virtctl.cluster.stop_controllers()
    assert (await virtctl.ask("start")).code == 202
    assert virtctl.requested == [{"action": "Start"}]
    virtctl.cluster.start_controllers()
    await virtctl.cluster.settle()
    assert (virtctl.phase, virtctl.requested, virtctl.vm["spec"]["runStrategy"]) == ("Running", [], strategy)


@pytest.mark.parametrize(
    ("strategy", "why"),
    [
        ("Always", "VM is already running"),
        ("Once", "VM is already running"),
        ("WaitAsReceiver", "VM is already running"),
    ],
)
async def test_start_of_a_running_vm_is_a_conflict(virtctl: Virtctl, strategy: str, why: str) -> None:
    """A VMI that is not final comes first, whatever the strategy; a receiver counts."""
    await virtctl.create(strategy)
    answer = await virtctl.ask("start")
    assert refusal(answer) == (409, CONFLICT + why)
    assert answer.json()["details"] == {"name": "web", "group": "kubevirt.io", "kind": "virtualmachine"}
    assert answer.json()["reason"] == "Conflict"


@pytest.mark.parametrize("strategy", ["Always", "Once"])
async def test_start_has_no_meaning_for_a_strategy_that_starts_by_itself(virtctl: Virtctl, strategy: str) -> None:
    """Always and Once refuse it, here while no VMI is there yet."""
    virtctl.cluster.stop_controllers()
    await virtctl.create(strategy)
    why = f"{strategy} does not support manual start requests"
    assert refusal(await virtctl.ask("start")) == (409, CONFLICT + why)


async def test_start_from_failed_is_refused_for_rerun_on_failure(virtctl: Virtctl) -> None:
    """virt-controller starts it again by itself."""
    vm = await virtctl.create("RerunOnFailure")
    virtctl.cluster.crash(vm)
    why = "RerunOnFailure does not support starting VM from failed state"
    assert refusal(await virtctl.ask("start")) == (409, CONFLICT + why)


async def test_start_of_a_manual_vm_with_a_final_vmi_replaces_it(virtctl: Virtctl) -> None:
    """A stop for the old uid, and a start."""
    vm = await virtctl.create("Manual")
    await virtctl.cluster.start(vm)
    virtctl.cluster.crash(vm)
    before = virtctl.vmi["metadata"]["uid"]
    virtctl.cluster.stop_controllers()
    assert (await virtctl.ask("start")).code == 202
    assert virtctl.requested == [{"action": "Stop", "uid": before}, {"action": "Start"}]
    virtctl.cluster.start_controllers()
    await virtctl.cluster.settle()
    assert (virtctl.phase, virtctl.vmi["metadata"]["uid"] != before) == ("Running", True)


async def test_start_waits_for_a_manual_recovery(virtctl: Virtctl) -> None:
    """A volume migration went wrong."""
    await virtctl.create()
    virtctl.set_condition("ManualRecoveryRequired", "True", plural="virtualmachines")
    code, message = refusal(await virtctl.ask("start"))
    assert (code, message.startswith(CONFLICT + RECOVERY)) == (409, True)


async def test_a_second_request_meets_the_first(virtctl: Virtctl) -> None:
    """A start or restart while another is under way is an error; a stop replaces what was asked for."""
    await virtctl.create("Manual")
    underway = (500, "Internal error occurred: unable to complete request: stop/start already underway")
    virtctl.cluster.stop_controllers()
    await virtctl.ask("start")
    answer = await virtctl.ask("start")
    assert refusal(answer) == underway
    assert answer.json()["reason"] == "InternalError"
    virtctl.cluster.start_controllers()
    await virtctl.cluster.settle()
    await virtctl.ask("restart")
    assert refusal(await virtctl.ask("restart")) == underway
    assert (await virtctl.ask("stop")).code == 202
    assert virtctl.requested == [{"action": "Stop", "uid": virtctl.vmi["metadata"]["uid"]}]


@pytest.mark.parametrize(("action", "strategy"), [("start", "WaitAsReceiver"), ("stop", "WaitAsReceiver")])
async def test_a_receiver_accepts_and_does_nothing(virtctl: Virtctl, action: str, strategy: str) -> None:
    """202 without any effect: the strategy has no case in start and stop."""
    virtctl.cluster.stop_controllers()
    await virtctl.create(strategy)
    before = virtctl.vm
    assert (await virtctl.ask(action)).code == 202
    assert virtctl.vm == before


async def test_a_receiver_waits_without_a_pod(virtctl: Virtctl) -> None:
    """Its VMI parks in WaitingForSync."""
    await virtctl.create("WaitAsReceiver")
    assert (virtctl.phase, virtctl.shown) == ("WaitingForSync", "WaitingForReceiver")
    assert "nodeName" not in virtctl.vmi["status"]


@pytest.mark.parametrize("strategy", ["Always", "Once"])
async def test_stop_sets_halted(virtctl: Virtctl, strategy: str) -> None:
    """The strategy of the user is lost; Stopping until the VMI is gone."""
    await virtctl.create(strategy)
    assert (await virtctl.ask("stop")).code == 202
    assert (virtctl.vm["spec"]["runStrategy"], virtctl.shown) == ("Halted", "Stopping")
    await virtctl.cluster.settle()
    assert (virtctl.vmi, virtctl.shown) == ({}, "Stopped")


async def test_stop_of_always_is_accepted_though_nothing_runs(virtctl: Virtctl) -> None:
    """202 before the first VMI exists."""
    virtctl.cluster.stop_controllers()
    await virtctl.create("Always")
    assert (await virtctl.ask("stop")).code == 202
    assert virtctl.vm["spec"]["runStrategy"] == "Halted"


@pytest.mark.parametrize("strategy", ["Manual", "RerunOnFailure"])
async def test_stop_by_request_keeps_the_strategy(virtctl: Virtctl, strategy: str) -> None:
    """The request names the uid of the VMI, and goes with it."""
    vm = await virtctl.create(strategy)
    if not virtctl.phase:
        await virtctl.cluster.start(vm)
    request = {"action": "Stop", "uid": virtctl.vmi["metadata"]["uid"]}
    assert (await virtctl.ask("stop")).code == 202
    assert (virtctl.requested, virtctl.shown) == ([request], "Stopping")
    await virtctl.cluster.settle()
    assert (virtctl.requested, virtctl.vmi, virtctl.shown) == ([], {}, "Stopped")
    assert virtctl.vm["spec"]["runStrategy"] == strategy


@pytest.mark.parametrize("strategy", ["Halted", "Manual", "RerunOnFailure"])
async def test_stop_of_a_vm_that_does_not_run_is_a_conflict(virtctl: Virtctl, strategy: str) -> None:
    """No live VMI."""
    virtctl.cluster.stop_controllers()
    await virtctl.create(strategy)
    assert refusal(await virtctl.ask("stop")) == (409, f"{CONFLICT}VM is not running")


async def test_stop_of_a_halted_vm_that_stops_wants_a_shorter_grace_period(virtctl: Virtctl) -> None:
    """It forces what is under way."""
    await virtctl.create("Always")
    await virtctl.ask("stop")
    why = f"{CONFLICT}Halted only supports manual stop requests with a shorter graceperiod"
    assert refusal(await virtctl.ask("stop")) == (409, why)
    assert refusal(await virtctl.ask("stop", {"gracePeriod": 180})) == (409, why)
    assert (await virtctl.ask("stop", {"gracePeriod": 0})).code == 202
    assert virtctl.vmi["spec"]["terminationGracePeriodSeconds"] == 0


async def test_a_guest_that_ignores_acpi_is_killed_after_its_grace_period(virtctl: Virtctl) -> None:
    """It ends Failed after a stop of a user, which is no incident."""
    vm = await virtctl.create()
    acpi: Any = {"spec": {"template": {"spec": {"domain": {"features": {"acpi": {"enabled": False}}}}}}}
    virtctl.cluster.patch("virtualmachines", vm, acpi)
    await virtctl.cluster.start(vm)
    await virtctl.ask("stop", {"gracePeriod": 60})
    virtctl.cluster.clock.advance(59)
    assert virtctl.phase == "Running"
    virtctl.cluster.clock.advance(1)
    assert virtctl.phase == "Failed"
    await virtctl.cluster.settle()
    assert (virtctl.vmi, virtctl.shown) == ({}, "Stopped")


@pytest.mark.parametrize("strategy", ["Always", "Manual", "RerunOnFailure"])
async def test_restart_brings_another_instance(virtctl: Virtctl, strategy: str) -> None:
    """A stop for the uid and a start, both in the status; the strategy stays, the uid of the VMI is another."""
    vm = await virtctl.create(strategy)
    if not virtctl.phase:
        await virtctl.cluster.start(vm)
    before = virtctl.vmi["metadata"]["uid"]
    assert (await virtctl.ask("restart")).code == 202
    assert virtctl.requested == [{"action": "Stop", "uid": before}, {"action": "Start"}]
    virtctl.cluster.clock.advance(4)
    assert virtctl.phase == "Succeeded"
    await virtctl.cluster.settle()
    assert (virtctl.phase, virtctl.requested, virtctl.vm["spec"]["runStrategy"]) == ("Running", [], strategy)
    assert virtctl.vmi["metadata"]["uid"] != before


async def test_a_forced_restart_does_not_wait_for_the_guest(virtctl: Virtctl) -> None:
    """GracePeriodSeconds 0 deletes the pod, with one second of grace."""
    await virtctl.create("Always")
    assert (await virtctl.ask("restart", {"gracePeriodSeconds": 0})).code == 202
    virtctl.cluster.clock.advance(1)
    assert virtctl.phase == "Failed"
    await virtctl.cluster.settle()
    assert (virtctl.phase, "startFailure" in virtctl.vm["status"]) == ("Running", False)


@pytest.mark.parametrize(
    ("seconds", "message"),
    [
        (10, "For force restart, only gracePeriod=0 is supported for now"),
        (-1, "gracePeriod has to be greater or equal to 0"),
    ],
)
async def test_restart_takes_no_other_grace_period(virtctl: Virtctl, seconds: int, message: str) -> None:
    """400, before anything else is looked at."""
    assert refusal(await virtctl.ask("restart", {"gracePeriodSeconds": seconds})) == (400, message)


@pytest.mark.parametrize("strategy", ["Halted", "Once"])
async def test_restart_has_no_meaning_for_halted_and_once(virtctl: Virtctl, strategy: str) -> None:
    """The typing mistake is KubeVirt's."""
    await virtctl.create(strategy)
    why = f"{CONFLICT}RunStategy {strategy} does not support manual restart requests"
    assert refusal(await virtctl.ask("restart")) == (409, why)


async def test_restart_wants_an_instance(virtctl: Virtctl) -> None:
    """Without one the message ends on Halted, whatever the strategy is."""
    await virtctl.create("Manual")
    assert refusal(await virtctl.ask("restart")) == (409, f"{CONFLICT}VM is not running: Halted")


async def test_restart_waits_for_a_manual_recovery(virtctl: Virtctl) -> None:
    """Volumes are in the middle of a change."""
    await virtctl.create("Always")
    virtctl.set_condition("VolumesChange", "True", plural="virtualmachines")
    code, message = refusal(await virtctl.ask("restart"))
    assert (code, message.startswith(CONFLICT + RECOVERY)) == (409, True)


@pytest.mark.parametrize("action", ["start", "stop", "restart", "migrate"])
async def test_there_is_no_such_vm(virtctl: Virtctl, action: str) -> None:
    """404, the resource in the singular."""
    answer = await virtctl.ask(action, name="nope")
    assert refusal(answer) == (404, 'virtualmachine.kubevirt.io "nope" not found')
    assert answer.json()["reason"] == "NotFound"


@pytest.mark.parametrize(
    ("action", "strategy"), [("start", "Halted"), ("stop", "Always"), ("restart", "Always"), ("migrate", "Always")]
)
async def test_a_dry_run_answers_as_if_and_changes_nothing(
    virtctl: Virtctl, cluster: SimulatedCluster, action: str, strategy: str
) -> None:
    """DryRun All is in the body; refusals are the same."""
    await virtctl.create(strategy)
    before = cluster.store.revision
    assert (await virtctl.ask(action, {"dryRun": ["All"]})).code == 202
    assert (cluster.store.revision, cluster.acts_on(PLACE)) == (before, [])
    assert [(act.action, act.dry_run) for act in cluster.acts] == [(action, True)]


async def test_a_body_that_cannot_be_read_is_refused(virtctl: Virtctl) -> None:
    """A list is no StartOptions."""
    await virtctl.create()
    code, message = refusal(await virtctl.ask("start", ["x"]))
    assert (code, message.startswith("Can not unmarshal Request body to struct")) == (400, True)


async def test_a_vm_with_a_readiness_probe_runs_before_it_is_ready(virtctl: Virtctl) -> None:
    """Running, then Ready when the probe succeeds; one that never does leaves it Running and not Ready."""
    vm = await virtctl.create()
    probe = {"initialDelaySeconds": 30, "tcpSocket": {"port": 80}}
    virtctl.cluster.patch("virtualmachines", vm, {"spec": {"template": {"spec": {"readinessProbe": probe}}}})
    virtctl.cluster.request("start", vm)
    virtctl.cluster.clock.advance(20 + 16)
    assert (virtctl.phase, virtctl.shown) == ("Running", "Running")
    assert virtctl.condition("Ready")["reason"] == "ContainersNotReady"
    assert "ready" not in virtctl.vm["status"]
    await virtctl.cluster.settle()
    assert (virtctl.condition("Ready")["status"], virtctl.vm["status"]["ready"]) == ("True", True)


async def test_a_guest_too_large_for_every_node_says_so(virtctl: Virtctl) -> None:
    """The condition has the scheduler's words; a node that becomes large enough takes it."""
    await virtctl.create("Always", memory="600Gi")
    assert virtctl.shown == "ErrorUnschedulable"
    assert virtctl.condition("PodScheduled")["message"] == "0/6 nodes are available: 6 Insufficient memory."
    node = next(iter(virtctl.cluster.truth("nodes")["nodes"].values()))
    virtctl.cluster.patch("nodes", node, {"status": {"allocatable": {"memory": "1Ti"}}})
    await virtctl.cluster.settle()
    assert (virtctl.shown, virtctl.vmi["status"]["nodeName"]) == ("Running", node["metadata"]["name"])


async def test_accepted_is_not_done(virtctl: Virtctl) -> None:
    """202 while virt-controller is down, and nothing comes of it until it is up again."""
    await virtctl.create()
    virtctl.cluster.stop_controllers()
    assert (await virtctl.ask("start")).code == 202
    virtctl.cluster.clock.advance(600)
    assert (virtctl.phase, virtctl.shown) == ("", "Stopped")
    virtctl.cluster.start_controllers()
    await virtctl.cluster.settle()
    assert virtctl.shown == "Running"


@pytest.mark.parametrize("action", ["start", "stop", "restart"])
async def test_a_vm_with_both_kinds_of_strategy_is_an_error(virtctl: Virtctl, action: str) -> None:
    """500: no webhook would have let it through, so it is older than that."""
    vm = await virtctl.create()
    virtctl.cluster.patch("virtualmachines", vm, {"spec": {"running": False}})
    why = "Internal error occurred: Running and RunStrategy are mutually exclusive"
    assert refusal(await virtctl.ask(action)) == (500, why)
