"""What is refused beforehand, by KubeVirt's rules: an action and a VM on each line."""

from typing import Any

import pytest
from support.published import vm_event

from summit_api.operations.refusals import refusal
from summit_models.operation import Action
from summit_models.vm import VmStatus

REFUSED: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("start", "alreadyRunning", {"status": "running"}, {}),
    ("start", "alreadyRunning", {"status": "paused"}, {}),
    ("start", "alreadyRunning", {"status": "migrating"}, {}),
    ("start", "alreadyStarting", {"status": "starting"}, {}),
    ("start", "stopping", {"status": "stopping"}, {}),
    ("start", "runStrategy", {"status": "error", "run_strategy": "Always"}, {}),
    ("start", "runStrategy", {"status": "stopped", "run_strategy": "Once"}, {}),
    ("start", "waitsAsReceiver", {"status": "waitingforreceiver", "run_strategy": "WaitAsReceiver"}, {}),
    ("start", "terminating", {"status": "terminating"}, {}),
    ("start", "noVirtualMachine", {"status": "stopped", "kind": "VirtualMachineInstance"}, {}),
    ("start", "unmanaged", {"status": "stopped", "managed": False}, {}),
    ("stop", "notRunning", {"status": "stopped"}, {}),
    ("stop", "notRunning", {"status": "provisioning", "run_strategy": "Manual"}, {}),
    ("stop", "alreadyStopping", {"status": "stopping"}, {}),
    ("stop", "waitsAsReceiver", {"status": "waitingforreceiver", "run_strategy": "WaitAsReceiver"}, {}),
    ("restart", "notRunning", {"status": "stopped", "run_strategy": "Halted"}, {}),
    ("restart", "runStrategy", {"status": "running", "run_strategy": "Once"}, {}),
    ("restart", "stopping", {"status": "stopping", "run_strategy": "Always"}, {}),
    ("pause", "alreadyPaused", {"status": "paused"}, {}),
    ("pause", "notRunning", {"status": "stopped"}, {}),
    ("pause", "notRunning", {"status": "starting"}, {}),
    ("unpause", "notPaused", {"status": "running"}, {}),
    ("softreboot", "paused", {"status": "paused"}, {}),
    ("reset", "paused", {"status": "paused"}, {}),
    ("reset", "notRunning", {"status": "stopped"}, {}),
    ("migrate", "notRunning", {"status": "stopped"}, {}),
    ("migrate", "migrationActive", {"status": "migrating"}, {}),
    ("migrate", "migrationActive", {"status": "running", "migration_status": "migrating"}, {}),
    ("migrate", "notLiveMigratable", {"status": "running", "live_migratable": False}, {}),
    ("resize", "instancetype", {"status": "running", "instancetype": "u1.large"}, {"cpu": 4}),
    ("resize", "sameSize", {"status": "running", "cpu": 4, "memory": 1024}, {"cpu": 4, "memory": 1024}),
    ("resize", "migrationActive", {"status": "migrating"}, {"cpu": 4}),
    ("delete", "terminating", {"status": "terminating"}, {}),
    ("delete", "noVirtualMachine", {"status": "running", "kind": "VirtualMachineInstance"}, {}),
]
TAKEN: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("start", {"status": "stopped", "run_strategy": "Halted"}, {}),
    ("start", {"status": "stopped", "run_strategy": "Manual"}, {}),
    ("start", {"status": "stopped", "run_strategy": "RerunOnFailure"}, {}),
    ("start", {"status": "unknown"}, {}),
    ("stop", {"status": "running", "run_strategy": "Always"}, {}),
    ("stop", {"status": "error", "run_strategy": "Always"}, {}),
    ("stop", {"status": "provisioning", "run_strategy": "Always"}, {}),
    ("stop", {"status": "stopping"}, {"force": True}),
    ("stop", {"status": "stopping"}, {"gracePeriodSeconds": 0}),
    ("restart", {"status": "running", "run_strategy": "Manual"}, {}),
    ("pause", {"status": "migrating"}, {}),
    ("pause", {"status": "running", "kind": "VirtualMachineInstance"}, {}),
    ("unpause", {"status": "paused"}, {}),
    ("migrate", {"status": "running", "live_migratable": None}, {}),
    ("migrate", {"status": "running", "live_migratable": True, "kind": "VirtualMachineInstance"}, {}),
    ("resize", {"status": "stopped", "cpu": 4, "memory": 1024}, {"cpu": 4, "memory": 2048}),
    ("delete", {"status": "running"}, {}),
    ("delete", {"status": "waitingforreceiver", "run_strategy": "WaitAsReceiver"}, {}),
]


def vm(state: dict[str, Any]) -> Any:
    return vm_event("erp", **state | {"status": VmStatus(state["status"])}).data


@pytest.mark.parametrize(("action", "reason", "state", "parameters"), REFUSED)
def test_what_is_known_to_fail_is_refused(
    action: str, reason: str, state: dict[str, Any], parameters: dict[str, Any]
) -> None:
    """The reason is for machines; the sentence names the VM."""
    found = refusal(Action(action), vm(state), parameters)
    assert found
    assert found.reason == reason
    assert "erp" in found.detail


@pytest.mark.parametrize(("action", "state", "parameters"), TAKEN)
def test_what_may_succeed_is_left_to_the_cluster(
    action: str, state: dict[str, Any], parameters: dict[str, Any]
) -> None:
    """A refusal that is wrong would keep people from acting at all."""
    assert refusal(Action(action), vm(state), parameters) is None
