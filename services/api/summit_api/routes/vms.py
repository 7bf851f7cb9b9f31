"""/api/v1/vms: the inventory, with all members of each VM, now and in the past."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response

from summit_api.openapi.responses import problems, reads
from summit_api.problems import Kind, ProblemError
from summit_api.query import operations
from summit_api.query import vms as query
from summit_api.query.parameters import Parameters, VmQuery
from summit_api.query.vms import DeletedVm, VmPageQuery, VmRow
from summit_api.render import inventory
from summit_api.render.moment import Moment
from summit_api.requests.reading import Reading, ReadingDep
from summit_api.shapes.inventory import PartialVmPage, VmAnswer, VmPage
from summit_models.contract import Uid

router = APIRouter(tags=["vms"], responses=reads())


@router.get("/vms", response_model=VmPage | PartialVmPage, responses=problems(Kind.HISTORY_NOT_KEPT))
async def list_vms(reading: ReadingDep, parameters: Annotated[VmPageQuery, Query()]) -> Response:
    """VMs, filtered and sorted, page by page. Repeat a filter for "or", combine filters for "and".

    `next` is the `cursor` of the next page, null on the last one. Pages neither skip nor repeat a VM that keeps its
    place in the order, whatever changes in between.
    """
    moment = reading.at(parameters.at)
    tag = _tag(reading, parameters.at)
    if unchanged := reading.unchanged(tag):
        return unchanged
    page = await query.page(reading.transaction, parameters, reading.scope)
    return reading.answer(inventory.vm_page(page, reading.transaction, moment, parameters.members), tag)


@router.get(
    "/vms/{vm_id}",
    response_model=VmAnswer,
    responses=problems(Kind.VM_NOT_FOUND, Kind.REVISION_NOT_APPLIED, Kind.AMBIGUOUS_ID, Kind.HISTORY_NOT_KEPT),
)
async def get_vm(reading: ReadingDep, vm_id: str, parameters: Annotated[VmQuery, Query()]) -> Response:
    """One VM by its id."""
    at = parameters.at
    moment = reading.at(at)
    vm = await query.by_id(reading.transaction, vm_id, reading.scope, cluster=parameters.cluster, at=at)
    if not isinstance(vm, VmRow):
        raise _no_vm(vm_id, vm, at)
    return reading.answer(await _with_operation(reading, vm_id, vm, moment), _tag(reading, at))


@router.get(
    "/datacenters/{datacenter}/clusters/{cluster}/namespaces/{namespace}/vms/{name}",
    response_model=VmAnswer,
    responses=problems(Kind.VM_NOT_FOUND),
)
async def get_vm_by_name(
    *,
    reading: ReadingDep,
    datacenter: str,
    cluster: str,
    namespace: str,
    name: str,
    _: Annotated[Parameters, Query()],
) -> Response:
    """One VM by its place and name. After it was deleted, the name may return with another id."""
    place = {"datacenter": datacenter, "cluster": cluster, "namespace": namespace, "name": name}
    vm = await query.by_name(reading.transaction, reading.scope, **place)
    if vm is None:
        raise ProblemError(
            Kind.VM_NOT_FOUND, f"there is no VM {namespace}/{name} in cluster {cluster!r} of datacenter {datacenter!r}"
        )
    return reading.answer(await _with_operation(reading, vm.id, vm, reading.moment), _tag(reading, None))


async def _with_operation(reading: Reading, vm_id: str, vm: VmRow, moment: Moment) -> bytes:
    """Whoever may see the VM may see the operation on it. None acts on a state in the past."""
    is_now = moment is reading.moment
    running = await operations.active_on(reading.transaction, Uid(vm_id), vm.cluster) if is_now and vm.managed else None
    return inventory.vm_answer(vm, moment, running)


def _tag(reading: Reading, at: datetime | None) -> str:
    """A state in the past has fixed ages, and does not depend on freshness."""
    return reading.tag(ages=at is None, staleness=at is None)


def _no_vm(vm_id: str, deleted: DeletedVm | None, at: datetime | None) -> ProblemError:
    if deleted:
        when = f"{deleted.deleted_at:%Y-%m-%dT%H:%M:%SZ}"
        return ProblemError(Kind.VM_NOT_FOUND, f"VM {deleted.name!r} with the id {vm_id!r} was deleted at {when}")
    then = f" at {at.isoformat()}" if at else ""
    return ProblemError(Kind.VM_NOT_FOUND, f"there is no VM with the id {vm_id!r}{then}")
