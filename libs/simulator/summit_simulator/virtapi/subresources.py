"""The subresources of VMs and VMIs (virt-api, api.go), by plural, name and verb."""

from collections.abc import Callable
from typing import Any, NamedTuple

from summit_simulator.objects import instancetypes, status
from summit_simulator.objects.clock import Clock
from summit_simulator.objects.manifest import Manifest, conditions, metadata, part
from summit_simulator.objects.objects import Objects
from summit_simulator.objects.resources import MIGRATIONS, VIRTUALMACHINEINSTANCES, VIRTUALMACHINES
from summit_simulator.objects.status import StatusError
from summit_simulator.objects.store import Key
from summit_simulator.virtapi import admission, guest, lifecycle
from summit_simulator.virtapi.call import MANAGER, Call


class Reply(NamedTuple):
    """The answer: a document, or a plain text, or nothing."""

    code: int
    document: Manifest | None = None
    text: str = ""


class Handlers(NamedTuple):
    """The way of virt-api to the objects and to virt-handler."""

    objects: Objects
    clock: Clock
    reaches_handler: Callable[[], bool]

    def put(self, plural: str, subresource: str, place: Key, body: Any) -> Reply:
        """PUT. Raises StatusError 400, 403, 404, 409 and 500 as virt-api does."""
        if body is not None and not isinstance(body, dict):
            raise StatusError(400, "Can not unmarshal Request body to struct, error: not an object", details={})
        handler = _PUT.get((plural, subresource))
        if handler is None:
            raise StatusError(404, "the server could not find the requested resource", details={})
        return Reply(handler(Call(self.objects, self.clock, place, body or {}, self.reaches_handler)))

    def get(self, plural: str, subresource: str, place: Key) -> Reply:
        """GET. Raises StatusError 404 and 500."""
        handler = _GET.get((plural, subresource))
        if handler is None:
            raise StatusError(404, "the server could not find the requested resource", details={})
        return handler(Call(self.objects, self.clock, place, {}))


def migrate(call: Call) -> int:
    """Create a migration with virt-api's own rights. The caller gets a 500 for what a webhook refuses."""
    call.vm()
    if part(call.vmi(), "status").get("phase") != "Running":
        raise call.conflict(lifecycle.NOT_RUNNING)
    spec: Manifest = {"vmiName": call.name}
    if selector := call.options.get("addedNodeSelector"):
        spec["addedNodeSelector"] = selector
    meta = {"generateName": "kubevirt-migrate-vm-", "namespace": call.place[0]}
    migration: Manifest = {"metadata": meta, "spec": spec}
    try:
        admission.admit_create(call.objects, MIGRATIONS, migration)
        call.objects.create(MIGRATIONS, migration, manager=MANAGER, dry_run=call.dry_run)
    except StatusError as error:
        raise status.internal(str(error)) from error
    return lifecycle.ACCEPTED


def expand_spec(call: Call) -> Reply:
    """The VM with the values of its instancetype in its spec (rest/expand.go)."""
    vm = call.vm()
    try:
        size = instancetypes.size_of(call.objects, vm)
    except KeyError as error:
        plural = "virtualmachineclusterinstancetypes.instancetype.kubevirt.io"
        raise status.internal(f'{plural} "{error.args[0]}" not found') from error
    if size is not None:
        domain = vm["spec"]["template"]["spec"]["domain"]
        domain |= {"cpu": {"sockets": size[0], "cores": 1, "threads": 1}, "memory": {"guest": size[1]}}
        del vm["spec"]["instancetype"]
    metadata(vm).pop("managedFields", None)
    return Reply(200, vm)


def ask_agent(call: Call) -> Reply:
    """What the guest agent reports. Without one: 500 and a plain text instead of a Status (httpGetRequestHandler)."""
    vmi = call.vmi()
    if part(vmi, "status").get("phase") != "Running":
        return Reply(500, text=f"{_about(call)}: VMI is not running")
    if "AgentConnected" not in conditions(vmi):
        return Reply(500, text=f"{_about(call)}: VMI does not have guest agent connected")
    return Reply(200, {"os": vmi["status"]["guestOSInfo"], "hostname": call.name})


def _about(call: Call) -> str:
    return f'Operation cannot be fulfilled on virtualmachineinstance.kubevirt.io "{call.name}"'


_VM, _VMI = VIRTUALMACHINES.plural, VIRTUALMACHINEINSTANCES.plural

_PUT: dict[tuple[str, str], Callable[[Call], int]] = {
    (_VM, "start"): lifecycle.start,
    (_VM, "stop"): lifecycle.stop,
    (_VM, "restart"): lifecycle.restart,
    (_VM, "migrate"): migrate,
    (_VMI, "pause"): guest.pause,
    (_VMI, "unpause"): guest.unpause,
    (_VMI, "softreboot"): guest.softreboot,
    (_VMI, "reset"): guest.reset,
    (_VMI, "freeze"): guest.freeze,
    (_VMI, "unfreeze"): guest.unfreeze,
}

_GET: dict[tuple[str, str], Callable[[Call], Reply]] = {
    (_VM, "expand-spec"): expand_spec,
    (_VMI, "guestosinfo"): ask_agent,
}

# For discovery: name → verb that RBAC knows.
NAMES = {"/".join(key): "update" for key in _PUT} | {"/".join(key): "get" for key in _GET}
