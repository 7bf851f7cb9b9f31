"""/api/v1/admin: edits by hand, as in the original. What belongs to a cluster cannot be edited."""

import logging
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from summit_api.access.principal import Scope
from summit_api.edits import datacenter as datacenters
from summit_api.edits import target
from summit_api.edits import vm as vms
from summit_api.edits.payloads import DatacenterPatch, NewVm, VmPatch
from summit_api.openapi.responses import ANY, BODY, edits, problems, reads
from summit_api.problems import Kind, ProblemError
from summit_api.query import datacenters as fleets
from summit_api.query.parameters import WhichCluster
from summit_api.render import original
from summit_api.requests import edit
from summit_api.requests.dependencies import AdminDep, MomentDep, ServicesDep, refuse_preconditions
from summit_api.requests.reading import ReadingDep
from summit_api.routes.datacenters import list_datacenters
from summit_api.shapes.original import Datacenters, OriginalDatacenter, OriginalVm, SentEvent
from summit_models.contract import DatacenterId, Uid
from summit_models.vm import Vm

logger = logging.getLogger("summit.api")

router = APIRouter(prefix="/admin", tags=["admin"], dependencies=[Depends(refuse_preconditions)])

DatacenterPath = Annotated[DatacenterId, Path(description="Id of the datacenter", examples=["dc-solna"])]
ClusterDep = Annotated[WhichCluster | None, Query()]
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
        event = datacenters.edited(edited, known.basis.revision, moment.now)
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
    stored = await services.log.append(vms.added(vm, basis.revision, moment.now), basis)
    logger.info("%s added VM %s (%s) to %s", principal.name, vm.id, vm.name, datacenter)
    return edit.answer(original.vm(vm, moment), stored)


@router.patch(
    "/datacenters/{datacenter}/vms/{vm_id}",
    response_model=OriginalVm,
    responses=edits(
        *BODY, Kind.DATACENTER_NOT_FOUND, Kind.VM_NOT_FOUND, Kind.AMBIGUOUS_ID, Kind.MANAGED_VM, Kind.NOT_IMPLEMENTED
    ),
    openapi_extra=edit.documented(VmPatch),
)
async def edit_vm(
    *,
    request: Request,
    services: ServicesDep,
    principal: AdminDep,
    moment: MomentDep,
    datacenter: DatacenterPath,
    vm_id: VmPath,
    cluster: ClusterDep = None,
) -> Response:
    """Change a VM that was added by hand. A watched VM belongs to its cluster and is not changed here."""
    patch = await edit.read(request, VmPatch)
    known = await target.vm(services.read_models, principal.scope, datacenter, vm_id, cluster or ())
    edited, stored = vms.patched(known.state, patch), None
    if differing := vms.differing(known.state, edited):
        if known.state.managed:
            raise _its_clusters(known.state, differing)
        events = vms.changed(known.state, edited, known.basis.revision, moment.now)
        stored = await services.log.append(events, known.basis)
        logger.info("%s changed %s of VM %s", principal.name, ", ".join(differing), vm_id)
    return edit.answer(original.vm(edited, moment), stored)


@router.delete(
    "/datacenters/{datacenter}/vms/{vm_id}",
    status_code=204,
    response_class=Response,
    responses=edits(Kind.DATACENTER_NOT_FOUND, Kind.VM_NOT_FOUND, Kind.AMBIGUOUS_ID, Kind.MANAGED_VM),
)
async def remove_vm(
    *,
    services: ServicesDep,
    principal: AdminDep,
    moment: MomentDep,
    datacenter: DatacenterPath,
    vm_id: VmPath,
    cluster: ClusterDep = None,
) -> Response:
    """Remove a VM that was added by hand. Its history stays."""
    known = await target.vm(services.read_models, principal.scope, datacenter, vm_id, cluster or ())
    if known.state.managed:
        detail = f"VM {vm_id} is watched in cluster {known.state.cluster}: delete it there"
        raise ProblemError(Kind.MANAGED_VM, detail)
    stored = await services.log.append(vms.removed(known.state, known.basis.revision, moment.now), known.basis)
    logger.info("%s removed VM %s (%s) from %s", principal.name, vm_id, known.state.name, datacenter)
    return edit.answer(None, stored)


@router.get("/test-event", responses=problems(*ANY))
async def send_test_event(services: ServicesDep, _: AdminDep) -> SentEvent:
    """Send the message `test:event` to all feed clients of this process. It is not in the log."""
    services.feed.hub.test_event("manual test event")
    return SentEvent(ok=True, sent=True)


def _its_clusters(vm: Vm, differing: list[str]) -> ProblemError:
    if differing == ["status"]:
        return ProblemError(
            Kind.NOT_IMPLEMENTED,
            f"to change the status of VM {vm.id} is to start or stop it in cluster {vm.cluster}, "
            "and this version has no power actions; nothing was changed",
        )
    return ProblemError(
        Kind.MANAGED_VM,
        f"VM {vm.id} is watched in cluster {vm.cluster}: change {', '.join(differing)} there, and it changes here",
    )
