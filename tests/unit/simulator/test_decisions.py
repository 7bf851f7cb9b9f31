"""The decisions of the simulated controllers, from objects alone."""

from typing import Any

import pytest

from summit_simulator.controllers.decisions import (
    next_machine_step,
    without_own_finalizers,
)
from summit_simulator.controllers.machine_status import printable_status

OWN = "kubevirt.io/virtualMachineControllerFinalize"


def _vm(strategy: str = "Always", *, deleting: bool = False, **status: Any) -> dict[str, Any]:
    meta: dict[str, Any] = {"uid": "vm", "generation": 1, "finalizers": [OWN]}
    meta |= {"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleting else {}
    spec = {"runStrategy": strategy, "template": {"spec": {"domain": {}}}}
    return {"metadata": meta, "spec": spec, "status": status}


def _vmi(phase: str, *conditions: dict[str, Any], deleting: bool = False, **status: Any) -> dict[str, Any]:
    meta: dict[str, Any] = {"uid": "vmi", "finalizers": [OWN]}
    meta |= {"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleting else {}
    return {"metadata": meta, "status": {"phase": phase, "conditions": list(conditions), **status}}


def _condition(kind: str, status: str = "True", **fields: Any) -> dict[str, Any]:
    return {"type": kind, "status": status, **fields}


@pytest.mark.parametrize(
    ("vm", "vmi", "action"),
    [
        (_vm("Always"), None, "create instance"),
        (_vm("Halted"), None, None),
        (_vm("Manual"), None, None),
        (_vm("Manual", stateChangeRequests=[{"action": "Start"}]), None, "create instance"),
        (_vm("Once", runStrategy="Once"), None, None),
        (_vm("RerunOnFailure", runStrategy="RerunOnFailure"), None, None),
        (_vm("RerunOnFailure", startFailure={}), None, "create instance"),
        (_vm("Always", printableStatus="DataVolumeError"), None, None),
        (_vm("Always"), _vmi("Pending"), "schedule"),
        (_vm("Always"), _vmi("Scheduling", _condition("PodScheduled", "False")), None),
        (_vm("Halted", stateChangeRequests=[{"action": "Start", "data": {"paused": "true"}}]), None, "run always"),
        (_vm("Always", stateChangeRequests=[{"action": "Stop", "uid": "vmi"}]), _vmi("Running"), "delete instance"),
        (_vm("WaitAsReceiver"), None, "create instance"),
        (_vm("WaitAsReceiver"), _vmi("Pending"), "wait for sync"),
        (_vm("WaitAsReceiver"), _vmi("WaitingForSync"), None),
        (_vm("Always"), _vmi("Running"), "connect agent"),
        (_vm("Always"), _vmi("Running", _condition("AgentConnected")), None),
        (_vm("Halted"), _vmi("Running"), "delete instance"),
        (_vm("Manual"), _vmi("Failed"), None),
        (_vm("RerunOnFailure"), _vmi("Failed"), "delete instance"),
        (_vm("RerunOnFailure"), _vmi("Succeeded"), "delete instance"),
        (_vm("Always"), _vmi("Succeeded"), "delete instance"),
        (_vm("Halted"), _vmi("Running", deleting=True), "finish instance"),
        (_vm("Halted"), _vmi("Succeeded", deleting=True), "remove instance"),
        (_vm("Always", deleting=True), _vmi("Running"), "delete instance"),
        (_vm("Always", deleting=True), None, "release machine"),
        (without_own_finalizers(_vm(deleting=True)), None, None),
        (None, _vmi("Scheduled"), "boot"),
        (None, None, None),
    ],
)
def test_the_next_step_of_a_machine(vm: Any, vmi: Any, action: str | None) -> None:
    """The VM and its VMI decide on one step at a time."""
    step = next_machine_step(vm, vmi)
    assert (step.action if step else None) == action


@pytest.mark.parametrize(
    ("vm", "vmi", "status"),
    [
        (_vm(deleting=True), _vmi("Running"), "Terminating"),
        (_vm("Halted"), _vmi("Running"), "Stopping"),
        (_vm(), _vmi("Running", _condition("Paused"), migrationState={"startTimestamp": "x"}), "Migrating"),
        (_vm(), _vmi("Running", migrationState={"startTimestamp": "x", "endTimestamp": "y"}), "Running"),
        (_vm(), _vmi("Running", _condition("Paused")), "Paused"),
        (_vm(), _vmi("Pending", _condition("Synchronized", "False", reason="FailedPvcNotFound")), "ErrorPvcNotFound"),
        (_vm(), _vmi("Scheduling", _condition("PodScheduled", "False", reason="Unschedulable")), "ErrorUnschedulable"),
        (_vm(), None, "Starting"),
        (_vm(startFailure={"consecutiveFailCount": 1}), None, "CrashLoopBackOff"),
        (_vm("Manual"), _vmi("Failed"), "Stopped"),
        (_vm(), _vmi("Unknown"), "Unknown"),
    ],
)
def test_the_first_rule_that_matches_is_printed(vm: Any, vmi: Any, status: str) -> None:
    """In the order of KubeVirt's setPrintableStatus."""
    assert printable_status(vm, vmi) == status
