"""Each action has all its parts: a route, a time, a request, an outcome, a right, a line for people."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from support import builders
from support.paths import ROOT

from summit_api.operations.payloads import BODIES, timeout_seconds
from summit_api.operations.refusals import refusal
from summit_models.contract import ClusterName, DatacenterId, Uid
from summit_models.operation import Action, Operation, OperationState
from summit_models.vm import Vm, VmStatus
from summit_watcher.kube.transport import Change
from summit_watcher.operations.outcome import Observed, seen
from summit_watcher.operations.requests import request_for

NOW = datetime(2026, 11, 29, tzinfo=UTC)
PARAMETERS = {Action.RESIZE: {"cpu": 2}}
every_action = pytest.mark.parametrize("action", Action)


def operation(action: Action) -> Operation:
    """One that the cluster has accepted."""
    return Operation(
        id=Uid("op"), action=action, vm_id=Uid("vm"), vm_name="web", namespace="prod", cluster=ClusterName("vulcan"),
        datacenter=DatacenterId("dc-solna"), parameters=PARAMETERS.get(action, {}), state=OperationState.RUNNING,
        accepted=True, requested_at=NOW, deadline=NOW + timedelta(minutes=1),
    )  # fmt: skip


@every_action
def test_it_has_a_route_and_a_time(action: Action) -> None:
    """In the api."""
    paths = json.loads((ROOT / "docs" / "openapi.json").read_text())["paths"]
    by_id = "/api/v1/vms/{vm_id}"
    assert "delete" in paths[by_id] if action is Action.DELETE else "post" in paths[f"{by_id}/{action}"]
    body = BODIES[action].model_validate(PARAMETERS.get(action, {}))
    assert timeout_seconds(action, body, dry_run=False) > 0


@every_action
def test_it_has_a_request_and_an_outcome(action: Action) -> None:
    """In the watcher."""
    assert isinstance(request_for(operation(action), builders.vm("web")), Change)
    assert seen(operation(action), Observed(None, None))


@every_action
def test_it_is_refused_where_no_cluster_runs_the_vm(action: Action) -> None:
    """And it acts on a VirtualMachine or on an instance: without that it is refused."""
    fields = {"id": "vm", "name": "web", "datacenter": "dc-solna", "status": VmStatus.STOPPED}
    assert refusal(action, Vm(**fields, managed=False), {})
    is_of_an_instance = refusal(action, Vm(**fields, kind="VirtualMachine"), {})
    assert is_of_an_instance or refusal(action, Vm(**fields, kind="VirtualMachineInstance"), {})


@every_action
@pytest.mark.parametrize("page", ["operating-vms.md", "api.md"])
def test_it_is_documented(action: Action, page: str) -> None:
    """In a table of actions."""
    name = "DELETE" if action is Action.DELETE else action
    rows = [line.split("|")[1] for line in (ROOT / "docs" / page).read_text().splitlines() if line.startswith("| `")]
    assert any(f"`{name}`" in first for first in rows)
