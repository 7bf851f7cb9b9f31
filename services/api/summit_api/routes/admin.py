"""/api/v1/admin: edits by hand, as in the original. What belongs to a cluster cannot be edited."""

import logging
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import ValidationError

from summit_api.access.principal import Scope
from summit_api.edits import datacenter as datacenters
from summit_api.edits import target
from summit_api.edits import vm as vms
from summit_api.edits.payloads import DatacenterPatch, NewVm, VmPatch
from summit_api.openapi.responses import ANY, BODY, asks, edits, problems, reads
from summit_api.operations.asking import FindVm
from summit_api.operations.payloads import Options, ResizeOptions
from summit_api.problems import Kind, ProblemError
from summit_api.problems.problem import wrong_fields
from summit_api.problems.validation import field_errors
from summit_api.query import datacenters as fleets
from summit_api.query.parameters import WhichCluster
from summit_api.query.transaction.read_transaction import ReadTransaction
from summit_api.render import original
from summit_api.requests import acting, edit
from summit_api.requests.acting import Asking, AskingDep
from summit_api.requests.dependencies import AdminDep, MomentDep, ServicesDep, refuse_preconditions
from summit_api.requests.reading import ReadingDep
from summit_api.routes.datacenters import list_datacenters
from summit_api.shapes.original import Datacenters, OriginalDatacenter, OriginalVm, SentEvent
from summit_models.contract import ClusterName, DatacenterId, Uid
from summit_models.operation import Action
from summit_models.vm import Vm, VmStatus

logger = logging.getLogger("summit.api")

router = APIRouter(prefix="/admin", tags=["admin"], dependencies=[Depends(refuse_preconditions)])

DatacenterPath = Annotated[DatacenterId, Path(description="Id of the datacenter", examples=["dc-solna"])]
ClusterDep = Annotated[WhichCluster | None, Query()]
ConfirmationDep = Annotated[
    list[str] | None, Query(max_length=1, description="Name of the VM, as a confirmation, if it is a watched one")
]
VmPath = Annotated[Uid, Path(description="`id` of the VM", examples=["5f0c7c9e-3b0a-4f6e-9a51-6d1b0d2c7e11"])]


@router.get("/datacenters", response_model=Datacenters, responses=reads())
async def list_datacenters_to_edit(reading: ReadingDep, _: AdminDep) -> Response:
    """The same as /api/v1/datacenters."""
    return await list_datacenters(reading)


@router.patch(
    "/datacenters/{datacenter}",
    response_model=OriginalDatacenter,
    responses=edits(*BODY, Kind.DATACENTER_NOT_FOUND),
    openapi_extra=edit.documented(DatacenterPatch),
)
async def edit_datacenter(
    *, request: Request, services: ServicesDep, principal: AdminDep, moment: MomentDep, datacenter: DatacenterPath
) -> Response:
    """Change name, location and coordinates of a datacenter.

    A later change of the configuration replaces the fields that it changes.
    """
    patch = await edit.read(request, DatacenterPatch)
    known = await target.datacenter(services.read_models, principal.scope, datacenter)
    edited, stored = datacenters.patched(known.state, patch), None
    if edited != known.state:
        event = datacenters.edited(edited, known.basis.revision, moment.now, principal.by)
        stored = await services.log.append([event], known.basis)
        logger.info("%s edited datacenter %s", principal.name, datacenter)
    async with services.read_models.transaction() as transaction:
        fleet = await fleets.fleet(transaction, Scope(frozenset([datacenter]), principal.scope.namespaces))
    return edit.answer(original.datacenter(edited, fleet, moment), stored)


@router.post(
    "/datacenters/{datacenter}/vms",
    response_model=OriginalVm,
    responses=edits(*BODY, Kind.DATACENTER_NOT_FOUND, Kind.ID_IN_USE),
    openapi_extra=edit.documented(NewVm),
)
async def add_vm(
    *, request: Request, services: ServicesDep, principal: AdminDep, moment: MomentDep, datacenter: DatacenterPath
) -> Response:
    """Add a VM that is in no watched cluster. Lists, counts and feeds show it like all others."""
    payload = await edit.read(request, NewVm)
    await target.datacenter(services.read_models, principal.scope, datacenter)
    vm = vms.new(payload, datacenter)
    if not principal.scope.allows(datacenter, vm.namespace):
        raise ProblemError(Kind.FORBIDDEN, f"{principal.name} may not add a VM to the namespace {vm.namespace!r}")
    basis = await target.unused_id(services.read_models, vm.id)
    stored = await services.log.append(vms.added(vm, basis.revision, moment.now, principal.by), basis)
    logger.info("%s added VM %s (%s) to %s", principal.name, vm.id, vm.name, datacenter)
    return edit.answer(original.vm(vm, moment), stored)


@router.patch(
    "/datacenters/{datacenter}/vms/{vm_id}",
    response_model=OriginalVm,
    responses=asks(Kind.DATACENTER_NOT_FOUND, Kind.VM_NOT_FOUND, Kind.AMBIGUOUS_ID, Kind.MANAGED_VM),
    openapi_extra=edit.documented(VmPatch),
)
async def edit_vm(
    *,
    request: Request,
    services: ServicesDep,
    principal: AdminDep,
    moment: MomentDep,
    asking: AskingDep,
    datacenter: DatacenterPath,
    vm_id: VmPath,
    cluster: ClusterDep = None,
) -> Response:
    """Change a VM that was added by hand.

    Another status of a watched VM is an operation, start or stop, and another size is one, resize: the answer is 202,
    and the VM changes when its cluster has done it. The rest belongs to the cluster.
    """
    patch = await edit.read(request, VmPatch)
    known = await target.vm(services.read_models, principal.scope, datacenter, vm_id, cluster or ())
    edited, stored = vms.patched(known.state, patch), None
    if differing := vms.differing(known.state, edited):
        if known.state.managed:
            action, options = _operation(known.state, patch, differing)
            step = await asking.ask(action, options, _found_again(asking, datacenter, vm_id, cluster))
            return acting.answer_beside(original.vm(known.state, moment), step)
        events = vms.changed(known.state, edited, known.basis.revision, moment.now, principal.by)
        stored = await services.log.append(events, known.basis)
        logger.info("%s changed %s of VM %s", principal.name, ", ".join(differing), vm_id)
    return edit.answer(original.vm(edited, moment), stored)


@router.delete(
    "/datacenters/{datacenter}/vms/{vm_id}",
    status_code=204,
    response_class=Response,
    responses=asks(Kind.DATACENTER_NOT_FOUND, Kind.VM_NOT_FOUND, Kind.AMBIGUOUS_ID),
)
async def remove_vm(
    *,
    services: ServicesDep,
    principal: AdminDep,
    moment: MomentDep,
    asking: AskingDep,
    datacenter: DatacenterPath,
    vm_id: VmPath,
    cluster: ClusterDep = None,
    name: ConfirmationDep = None,
) -> Response:
    """Remove a VM that was added by hand; its history stays. To delete a watched VM is an operation, which wants the
    name of the VM as a confirmation and is answered 202.
    """
    known = await target.vm(services.read_models, principal.scope, datacenter, vm_id, cluster or ())
    if known.state.managed:
        acting.confirm(known.state, name or ())
        found = _found_again(asking, datacenter, vm_id, cluster)
        return acting.answer(await asking.ask(Action.DELETE, Options(), found))
    events = vms.removed(known.state, known.basis.revision, moment.now, principal.by)
    stored = await services.log.append(events, known.basis)
    logger.info("%s removed VM %s (%s) from %s", principal.name, vm_id, known.state.name, datacenter)
    return edit.answer(None, stored)


@router.get("/test-event", responses=problems(*ANY))
async def send_test_event(services: ServicesDep, _: AdminDep) -> SentEvent:
    """Send the message `test:event` to all feed clients of this process. It is not in the log."""
    services.feed.hub.test_event("manual test event")
    return SentEvent(ok=True, sent=True)


_POWER = {VmStatus.RUNNING: Action.START, VmStatus.STOPPED: Action.STOP}


def _operation(vm: Vm, patch: VmPatch, differing: list[str]) -> tuple[Action, Options]:
    """What an edit of a watched VM asks for. Raises ProblemError 409 for what cannot be asked for."""
    if differing == ["status"] and patch.status in _POWER:
        return _POWER[patch.status], Options()
    if {*differing} <= {"cpu", "memory", "memoryBytes"}:
        size = {name: getattr(patch, name) for name in ("cpu", "memory") if name in differing}
        try:
            return Action.RESIZE, ResizeOptions(**size)
        except ValidationError as error:
            raise wrong_fields(Kind.INVALID_PAYLOAD, field_errors(error.errors()), error="invalid payload") from error
    raise ProblemError(
        Kind.MANAGED_VM,
        f"VM {vm.id} is watched in cluster {vm.cluster}: change {', '.join(differing)} there, and it changes here. "
        "Here its status can become running or stopped, or its cpu and memory can change, one of the two at a time",
    )


def _found_again(asking: Asking, datacenter: DatacenterId, vm_id: Uid, cluster: Sequence[ClusterName] | None) -> FindVm:
    async def find(transaction: ReadTransaction) -> target.Editable[Vm]:
        known = await target.find_vm(transaction, asking.scope, datacenter, vm_id, cluster or ())
        if known is None:
            raise target.VmNotFoundError(f"vm {vm_id} not found in datacenter {datacenter}")
        return known

    return find
