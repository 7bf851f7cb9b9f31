"""Each action on a VM: it is done, and its end is what the cluster shows, not what it has answered."""

import pytest
from prometheus_client import REGISTRY
from support import builders
from support.operating import Operating
from support.virtctl import PLACE, Virtctl
from support.waiting import until

from summit_models.operation import OperationState as S

# action → run strategy in which it is possible, parameters, the last word
ACTIONS = {
    "start": ("Halted", {}, "it runs on "),
    "stop": ("Always", {}, "its instance is gone"),
    "restart": ("Always", {}, "another instance runs on "),
    "pause": ("Always", {}, "it is paused"),
    "unpause": ("Always", {}, "it runs again"),
    "softreboot": ("Always", {}, "the cluster has done it; only the guest can show the rest"),
    "reset": ("Always", {}, "the cluster has done it; only the guest can show the rest"),
    "migrate": ("Always", {}, "it runs on "),
    "resize": ("Always", {"cpu": 2, "memory": 4096}, "the instance has the new size"),
    "delete": ("Always", {}, "the VM is gone"),
}


async def prepare(virtctl: Virtctl, action: str) -> None:
    """Create the VM, in a state in which the action is possible."""
    await virtctl.create(ACTIONS[action][0])
    if action == "unpause":
        await virtctl.ask("pause")
        virtctl.cluster.acts.clear()


@pytest.mark.parametrize("action", ACTIONS)
async def test_an_action_is_done_once_and_succeeds(watched: Operating, virtctl: Virtctl, action: str) -> None:
    """Pending, running, succeeded, with who, when and which watcher."""
    await prepare(virtctl, action)
    _, parameters, message = ACTIONS[action]
    id_ = await watched.ask(action, **parameters)
    end = await watched.end(id_)
    assert (end.state, end.message[: len(message)]) == (S.SUCCEEDED, message)
    assert watched.states(id_) == ["pending", "running", "succeeded"]
    assert (end.by, end.accepted, end.progress) == ("ada", True, None)
    assert end.executor
    assert end.started_at
    assert end.ended_at
    assert end.requested_at <= end.started_at <= end.ended_at
    assert watched.effects(action) == 1


async def test_each_step_of_an_operation_is_measured(watched: Operating, virtctl: Virtctl) -> None:
    """Its end once, and how soon after its claim the cluster was asked."""

    def counts() -> list[float]:
        ended = REGISTRY.get_sample_value("summit_operations_ended_total", {"action": "stop", "state": "succeeded"})
        return [ended or 0.0, REGISTRY.get_sample_value("summit_operation_claim_to_request_seconds_count") or 0.0]

    await virtctl.create("Always")
    before = counts()
    await watched.end(await watched.ask("stop"))
    await until(counts, lambda now: [new - old for new, old in zip(now, before, strict=True)] == [1, 1])


async def test_a_start_may_leave_the_guest_paused(watched: Operating, virtctl: Virtctl) -> None:
    """Before its first instruction."""
    await virtctl.create()
    end = await watched.end(await watched.ask("start", paused=True))
    assert (end.state, end.message.split(" on ")[0]) == (S.SUCCEEDED, "it is paused")


async def test_a_migration_goes_to_another_node(watched: Operating, virtctl: Virtctl) -> None:
    """Its object is named after the operation, so that a second request cannot make a second one."""
    await virtctl.create("Always")
    before = virtctl.vmi["status"]["nodeName"]
    id_ = await watched.ask("migrate")
    end = await watched.end(id_)
    after = virtctl.vmi["status"]["nodeName"]
    assert (end.message, after != before) == (f"it runs on {after}", True)
    assert [migration["metadata"]["name"] for migration in virtctl.migrations()] == [f"summit-{id_}"]


async def test_a_resize_of_a_stopped_vm_takes_effect_at_the_next_start(watched: Operating, virtctl: Virtctl) -> None:
    """And says so."""
    await virtctl.create()
    end = await watched.end(await watched.ask("resize", cpu=2))
    assert (end.state, end.message) == (S.SUCCEEDED, "it takes effect at the next start")


async def test_a_resize_that_needs_a_restart_says_so(watched: Operating, virtctl: Virtctl) -> None:
    """By KubeVirt's condition RestartRequired."""
    kubevirt = virtctl.cluster.get("kubevirts", "kubevirt", "kubevirt") or {}
    virtctl.cluster.patch("kubevirts", kubevirt, {"spec": {"configuration": {"vmRolloutStrategy": "Stage"}}})
    await virtctl.create("Always")
    end = await watched.end(await watched.ask("resize", cpu=2))
    words = "it takes effect at the next restart, which the cluster says is required"
    assert (end.state, end.message) == (S.SUCCEEDED, words)


@pytest.mark.parametrize("action", ACTIONS)
async def test_a_dry_run_is_answered_and_does_nothing(watched: Operating, virtctl: Virtctl, action: str) -> None:
    """Also where KubeVirt has none: that is never sent."""
    await prepare(virtctl, action)
    before = virtctl.cluster.store.revision
    end = await watched.end(await watched.ask(action, dry_run=True, **ACTIONS[action][1]))
    assert (end.state, end.message.split(":")[0]) in (
        (S.SUCCEEDED, "the cluster would accept it"),
        (S.SUCCEEDED, "the cluster was not asked"),
    )
    assert (watched.effects(action), virtctl.cluster.store.revision) == (0, before)


async def test_an_instance_without_a_virtual_machine_can_be_acted_on(watched: Operating, virtctl: Virtctl) -> None:
    """Its uid is the id of its VM."""
    manifest = builders.vmi("web", owner=None)
    virtctl.cluster.create("virtualmachineinstances", manifest)
    end = await watched.end(await watched.ask("pause", vm_id=manifest["metadata"]["uid"]))
    assert (end.state, end.message) == (S.SUCCEEDED, "it is paused")


async def test_progress_says_what_the_cluster_says(watched: Operating, virtctl: Virtctl) -> None:
    """The scheduler's own words, and they are in the failure at the deadline."""
    await virtctl.create()
    for node in virtctl.cluster.truth("nodes")["nodes"].values():
        virtctl.cluster.patch("nodes", node, {"spec": {"unschedulable": True}})
    end = await watched.end(await watched.ask("start", seconds=4))
    assert end.state == S.FAILED
    assert end.message.startswith("it has not ended in time: Scheduling: Unschedulable: 0/")
    assert watched.effects("start") == 1


async def test_progress_is_published_at_most_as_often_as_people_read(watched: Operating, virtctl: Virtctl) -> None:
    """However often the cluster changes."""
    await virtctl.create("Always")
    id_ = await watched.ask("migrate")
    await watched.end(id_)
    texts = [step.progress for step in watched.steps(id_) if step.progress]
    assert len(texts) == len(set(texts))


async def test_a_vm_that_is_deleted_meanwhile_fails_its_operation(watched: Operating, virtctl: Virtctl) -> None:
    """It says why."""
    await virtctl.create()
    virtctl.cluster.stop_controllers()
    id_ = await watched.ask("start")
    await watched.reaches(id_, "running", accepted=True)
    virtctl.cluster.delete("virtualmachines", PLACE)
    virtctl.cluster.start_controllers()
    end = await watched.end(id_)
    assert (end.state, end.message) == (S.FAILED, "the VM has been deleted meanwhile")
