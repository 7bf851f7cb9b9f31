"""The one request to Kubernetes that does an operation. Pure.

Most actions are subresources, which need the least rights. A migration is named after its operation, a delete has the
uid of its VM, and a resize its resourceVersion: Kubernetes itself makes a second request harmless.
"""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from summit_models.operation import MIGRATION_PREFIX, Action, Operation
from summit_watcher.kube.members import member
from summit_watcher.kube.transport import Change

_SUBRESOURCES = "/apis/subresources.kubevirt.io/v1"
_KUBEVIRT = "/apis/kubevirt.io/v1"
_INSTANCES, _MIGRATIONS = "virtualmachineinstances", "virtualmachineinstancemigrations"
_MERGE_PATCH = "application/merge-patch+json"

OF_INSTANCES = frozenset({Action.PAUSE, Action.UNPAUSE, Action.SOFTREBOOT, Action.RESET, Action.MIGRATE})
"""They act on the instance, which may have no VirtualMachine."""
WITHOUT_DRY_RUN = frozenset({Action.SOFTREBOOT, Action.RESET})
"""KubeVirt takes no options for them, so a dry run would be done (virt-api, `SoftRebootVMIRequestHandler`)."""

Object = Mapping[str, Any]


class NotPossibleError(Exception):
    """The VM, as it is, does not allow what was asked for. The sentence says why."""


def request_for(operation: Operation, target: Object) -> Change:
    """The request of an operation on an object, as the API server has it now. Raises NotPossibleError."""
    if operation.action is Action.RESIZE:
        return _resize(operation, target)
    return _REQUESTS[operation.action](operation)


def migration_name(operation: Operation) -> str:
    return f"{MIGRATION_PREFIX}{operation.id}"


def target_path(operation: Operation) -> str:
    """The VM or instance that the request is about."""
    return _target(operation, _KUBEVIRT)


def instance_path(operation: Operation) -> str:
    return _path(operation, _KUBEVIRT, _INSTANCES, operation.vm_name)


def migration_path(operation: Operation) -> str:
    return _path(operation, _KUBEVIRT, _MIGRATIONS, migration_name(operation))


def abort_request(operation: Operation) -> Change:
    return Change("DELETE", migration_path(operation))


def _target(operation: Operation, group: str) -> str:
    plural = _INSTANCES if operation.action in OF_INSTANCES else "virtualmachines"
    return _path(operation, group, plural, operation.vm_name)


def _path(operation: Operation, group: str, *parts: str) -> str:
    return "/".join((group, "namespaces", *(quote(part, safe="") for part in (operation.namespace, *parts))))


def _subresource(operation: Operation, **body: Any) -> Change:
    """PUT of the subresource that is named like the action, with the options that are set."""
    path = f"{_target(operation, _SUBRESOURCES)}/{operation.action}"
    options = {name: value for name, value in body.items() if value is not None}
    return Change("PUT", path, {**options, **_dry_run(operation)})


def _start(operation: Operation) -> Change:
    return _subresource(operation, paused=operation.parameters.get("paused"))


def _stop(operation: Operation) -> Change:
    return _subresource(operation, gracePeriod=_grace_seconds(operation))


def _restart(operation: Operation) -> Change:
    return _subresource(operation, gracePeriodSeconds=_grace_seconds(operation))


def _grace_seconds(operation: Operation) -> Any:
    """`force` is a grace period of 0."""
    return 0 if operation.parameters.get("force") else operation.parameters.get("gracePeriodSeconds")


def _migrate(operation: Operation) -> Change:
    selector = operation.parameters.get("nodeSelector")
    body = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstanceMigration",
        "metadata": {"name": migration_name(operation), "namespace": operation.namespace},
        "spec": {"vmiName": operation.vm_name} | ({"addedNodeSelector": selector} if selector else {}),
    }
    return Change("POST", _path(operation, _KUBEVIRT, _MIGRATIONS), body, _dry_run_query(operation))


def _delete(operation: Operation) -> Change:
    """Only the object with this uid: another VM may have the name by then."""
    grace = _grace_seconds(operation)
    options = {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": operation.vm_id},
        **({} if grace is None else {"gracePeriodSeconds": grace}),
        **_dry_run(operation),
    }
    return Change("DELETE", target_path(operation), options)


_REQUESTS: Mapping[Action, Callable[[Operation], Change]] = {
    Action.START: _start,
    Action.STOP: _stop,
    Action.RESTART: _restart,
    Action.PAUSE: _subresource,
    Action.UNPAUSE: _subresource,
    Action.SOFTREBOOT: _subresource,
    Action.RESET: _subresource,
    Action.MIGRATE: _migrate,
    Action.DELETE: _delete,
}


def _resize(operation: Operation, vm: Object) -> Change:
    """A patch of sockets and guest memory, which KubeVirt applies while the VM runs where it can.

    It holds for the VirtualMachine that was read: the sockets follow from its cores and threads.
    """
    if member(vm, "spec", "instancetype", "name"):
        raise NotPossibleError("its size is that of its instancetype: choose another instancetype in the cluster")
    cpu, memory = operation.parameters.get("cpu"), operation.parameters.get("memory")
    domain: dict[str, Any] = {} if cpu is None else {"cpu": {"sockets": _sockets(cpu, vm)}}
    domain |= {} if memory is None else {"memory": {"guest": f"{memory}Mi"}}
    body = {
        "metadata": {name: member(vm, "metadata", name) for name in ("uid", "resourceVersion")},
        "spec": {"template": {"spec": {"domain": domain}}},
    }
    return Change("PATCH", target_path(operation), body, _dry_run_query(operation), _MERGE_PATCH)


def _sockets(vcpus: Any, vm: Object) -> int:
    cpu = member(vm, "spec", "template", "spec", "domain", "cpu")
    cores, threads = (member(cpu, name) or 1 for name in ("cores", "threads"))
    if not all(isinstance(number, int) and number > 0 for number in (vcpus, cores, threads)):
        raise NotPossibleError("its sockets cannot be computed: cpu, cores and threads have to be whole numbers")
    if vcpus % (cores * threads):
        raise NotPossibleError(f"{vcpus} vCPUs are no whole number of sockets of {cores} cores with {threads} threads")
    return int(vcpus // (cores * threads))


def _dry_run(operation: Operation) -> dict[str, Any]:
    return {"dryRun": ["All"]} if operation.dry_run else {}


def _dry_run_query(operation: Operation) -> dict[str, str | int]:
    return {"dryRun": "All"} if operation.dry_run else {}
