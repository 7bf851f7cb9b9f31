"""/api/v1/vms: the inventory, all that is known of each VM."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from summit_api.deps import Reading, ReadingDep
from summit_api.problems import not_found
from summit_api.query import vms as query
from summit_api.query.filters import VmPageQuery
from summit_api.query.vms import DeletedVm, VmRow
from summit_api.render import inventory
from summit_api.shapes.inventory import VmItem, VmPage

router = APIRouter(tags=["vms"])


@router.get("/vms", response_model=VmPage)
async def list_vms(reading: ReadingDep, parameters: Annotated[VmPageQuery, Query()]) -> Response:
    """VMs by name, page by page. Repeat a filter for "or", combine filters for "and".

    `next` is the `cursor` of the following page, null on the last. Pages neither skip nor repeat a VM that exists all
    the while, whatever changes in between.
    """
    tag = reading.tag(ages=True, staleness=True)
    if reading.is_known(tag):
        return reading.not_modified(tag)
    page = await query.page(reading.snapshot, parameters)
    return reading.answer(inventory.vm_page(page, reading.snapshot, reading.moment), tag)


@router.get("/vms/{vm_id}", response_model=VmItem)
async def get_vm(reading: ReadingDep, vm_id: str) -> Response:
    """One VM by its id."""
    vm = await query.by_id(reading.snapshot, vm_id)
    if vm is None:
        raise not_found("VM", f"there is no VM with the id {vm_id!r}")
    if isinstance(vm, DeletedVm):
        raise not_found("VM", f"VM {vm.name!r} with the id {vm_id!r} was deleted at {vm.deleted_at:%Y-%m-%dT%H:%M:%SZ}")
    return _item(reading, vm)


@router.get("/datacenters/{datacenter}/clusters/{cluster}/namespaces/{namespace}/vms/{name}", response_model=VmItem)
async def get_vm_by_name(reading: ReadingDep, datacenter: str, cluster: str, namespace: str, name: str) -> Response:
    """One VM by where it is. Its name may return with another id after it was deleted."""
    vm = await query.by_name(reading.snapshot, datacenter=datacenter, cluster=cluster, namespace=namespace, name=name)
    if vm is None:
        raise not_found("VM", f"there is no VM {namespace}/{name} in cluster {cluster!r} of datacenter {datacenter!r}")
    return _item(reading, vm)


def _item(reading: Reading, vm: VmRow) -> Response:
    tag = reading.tag(ages=True, staleness=True)
    if reading.is_known(tag):
        return reading.not_modified(tag)
    return reading.answer(inventory.vm_item(vm, reading.moment).encode(), tag)
