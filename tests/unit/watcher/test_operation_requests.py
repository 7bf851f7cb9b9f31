"""The request of each action: its path, what guards it, and what it takes of the parameters."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from summit_models.contract import ClusterName, DatacenterId, Uid
from summit_models.operation import Action, Operation
from summit_watcher.operations.requests import NotPossibleError, migration_path, request_for, target_path

NOW = datetime(2026, 11, 29, tzinfo=UTC)
SUBRESOURCES = "/apis/subresources.kubevirt.io/v1/namespaces/prod"
KUBEVIRT = "/apis/kubevirt.io/v1/namespaces/prod"
VM: dict[str, Any] = {
    "metadata": {"uid": "vm", "resourceVersion": "7"},
    "spec": {"template": {"spec": {"domain": {"cpu": {"cores": 2, "threads": 2, "sockets": 1}}}}},
}


def operation(action: str, *, name: str = "web", dry_run: bool = False, **parameters: Any) -> Operation:
    return Operation(
        id=Uid("op"), action=Action(action), vm_id=Uid("vm"), vm_name=name, namespace="prod",
        cluster=ClusterName("vulcan"), datacenter=DatacenterId("dc-solna"), parameters=parameters, dry_run=dry_run,
        requested_at=NOW, deadline=NOW + timedelta(minutes=1),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("action", "parameters", "path", "body"),
    [
        ("start", {}, "virtualmachines/web/start", {}),
        ("start", {"paused": True}, "virtualmachines/web/start", {"paused": True}),
        ("stop", {"gracePeriodSeconds": 5}, "virtualmachines/web/stop", {"gracePeriod": 5}),
        ("stop", {"force": True}, "virtualmachines/web/stop", {"gracePeriod": 0}),
        ("restart", {"force": True}, "virtualmachines/web/restart", {"gracePeriodSeconds": 0}),
        ("pause", {}, "virtualmachineinstances/web/pause", {}),
        ("reset", {}, "virtualmachineinstances/web/reset", {}),
    ],
)
def test_most_actions_are_subresources(
    action: str, parameters: dict[str, Any], path: str, body: dict[str, Any]
) -> None:
    """With KubeVirt's own names of the options."""
    change = request_for(operation(action, **parameters), VM)
    assert (change.method, change.path, change.body) == ("PUT", f"{SUBRESOURCES}/{path}", body)


def test_a_migration_is_named_after_its_operation() -> None:
    """So a second request cannot make a second one."""
    change = request_for(operation("migrate", nodeSelector={"zone": "b"}), VM)
    assert change.path == f"{KUBEVIRT}/virtualmachineinstancemigrations"
    assert change.body is not None
    assert change.body["metadata"] == {"name": "summit-op", "namespace": "prod"}
    assert change.body["spec"] == {"vmiName": "web", "addedNodeSelector": {"zone": "b"}}


def test_a_delete_is_of_one_uid() -> None:
    """Another VM may have the name by then."""
    change = request_for(operation("delete", force=True), VM)
    assert (change.method, change.path) == ("DELETE", f"{KUBEVIRT}/virtualmachines/web")
    assert change.body is not None
    assert (change.body["preconditions"], change.body["gracePeriodSeconds"]) == ({"uid": "vm"}, 0)


def test_a_resize_holds_for_the_version_that_it_was_computed_from() -> None:
    """Sockets follow from cores and threads."""
    change = request_for(operation("resize", cpu=8, memory=4096), VM)
    assert change.content_type == "application/merge-patch+json"
    domain = {"cpu": {"sockets": 2}, "memory": {"guest": "4096Mi"}}
    assert change.body == {"metadata": VM["metadata"], "spec": {"template": {"spec": {"domain": domain}}}}


def with_cpu(cpu: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"domain": {"cpu": cpu}}}}}


ODD = [{}, {"spec": None}, {"metadata": [], "spec": {"template": "none"}}, {"spec": {"instancetype": []}}, with_cpu([])]


@pytest.mark.parametrize("vm", ODD)
def test_a_resize_of_an_odd_manifest_raises_nothing_unforeseen(vm: dict[str, Any]) -> None:
    """The cluster refuses it then."""
    assert request_for(operation("resize", cpu=2), vm).method == "PATCH"


@pytest.mark.parametrize(
    ("wanted", "cpu"), [(2, {"cores": "2"}), (2, {"threads": -1}), (2, {"cores": 1.5}), ("a", {}), ([2], {"cores": 2})]
)
def test_numbers_that_are_none_are_a_refusal(wanted: Any, cpu: dict[str, Any]) -> None:
    """Of the manifest, or of an event that somebody else wrote: the operation was tried again until its deadline."""
    with pytest.raises(NotPossibleError, match="whole numbers"):
        request_for(operation("resize", cpu=wanted), with_cpu(cpu))


def test_the_size_of_an_instancetype_is_not_changed() -> None:
    """It says what to do."""
    vm = {"spec": {"instancetype": {"name": "u1.large"}}}
    with pytest.raises(NotPossibleError, match="choose another instancetype"):
        request_for(operation("resize", cpu=2), vm)


@pytest.mark.parametrize("action", ["start", "migrate", "resize", "delete"])
def test_a_dry_run_is_asked_for_as_the_request_takes_it(action: str) -> None:
    """In the options of a subresource or delete, in the query of a write."""
    change = request_for(operation(action, dry_run=True, cpu=8), VM)
    in_body = change.body is not None and change.body.get("dryRun") == ["All"]
    assert in_body != (change.params == {"dryRun": "All"})


def test_a_name_from_the_log_stays_in_its_place() -> None:
    """Whoever may write to the log may not choose the path."""
    odd = operation("start", name="../../secrets/x?y")
    assert target_path(odd) == f"{KUBEVIRT}/virtualmachines/..%2F..%2Fsecrets%2Fx%3Fy"
    assert request_for(odd, VM).path.endswith("/virtualmachines/..%2F..%2Fsecrets%2Fx%3Fy/start")
    assert migration_path(odd).endswith("/virtualmachineinstancemigrations/summit-op")
