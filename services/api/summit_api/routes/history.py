"""The history of one object: /api/v1/vms/{id}/events, and the same for migrations and clusters."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from summit_api.openapi.responses import problems, reads
from summit_api.problems import Kind, ProblemError
from summit_api.query import history
from summit_api.query.history import BULK_OPERATIONS, CLUSTERS, MIGRATIONS, OPERATIONS, VMS, Collection
from summit_api.query.parameters import HistoryQuery, ObjectHistoryQuery
from summit_api.render import inventory
from summit_api.requests.reading import Reading, ReadingDep
from summit_api.shapes.inventory import History

router = APIRouter(responses=reads())

PageDep = Annotated[HistoryQuery, Query()]
ObjectPageDep = Annotated[ObjectHistoryQuery, Query()]


@router.get(
    "/vms/{vm_id}/events",
    tags=["vms"],
    response_model=History,
    responses=problems(Kind.VM_NOT_FOUND, Kind.REVISION_NOT_APPLIED, Kind.AMBIGUOUS_ID),
)
async def list_vm_events(reading: ReadingDep, vm_id: str, parameters: ObjectPageDep) -> Response:
    """What happened to a VM, newest first, also after its end: what changed, from what, to what, and when."""
    missing = ProblemError(Kind.VM_NOT_FOUND, f"there is no VM with the id {vm_id!r}")
    return await _answer(reading, VMS, vm_id, parameters, missing)


@router.get(
    "/migrations/{migration_id}/events",
    tags=["migrations"],
    response_model=History,
    responses=problems(Kind.MIGRATION_NOT_FOUND, Kind.REVISION_NOT_APPLIED, Kind.AMBIGUOUS_ID),
)
async def list_migration_events(reading: ReadingDep, migration_id: str, parameters: ObjectPageDep) -> Response:
    """What happened to a live migration, newest first: each phase, and when."""
    missing = ProblemError(Kind.MIGRATION_NOT_FOUND, f"there is no migration with the id {migration_id!r}")
    return await _answer(reading, MIGRATIONS, migration_id, parameters, missing)


@router.get(
    "/operations/{operation_id}/events",
    tags=["operations"],
    response_model=History,
    responses=problems(Kind.OPERATION_NOT_FOUND),
)
async def list_operation_events(reading: ReadingDep, operation_id: str, parameters: PageDep) -> Response:
    """The steps of an operation, newest first: when each was made, and by which watcher."""
    missing = ProblemError(Kind.OPERATION_NOT_FOUND, f"there is no operation with the id {operation_id!r}")
    return await _answer(reading, OPERATIONS, operation_id, parameters, missing)


@router.get(
    "/bulk-operations/{bulk_operation_id}/events",
    tags=["bulk operations"],
    response_model=History,
    responses=problems(Kind.OPERATION_NOT_FOUND),
)
async def list_bulk_operation_events(reading: ReadingDep, bulk_operation_id: str, parameters: PageDep) -> Response:
    """The steps of an operation on many VMs, newest first: who has confirmed, paused or canceled it, and its end."""
    detail = f"there is no bulk operation with the id {bulk_operation_id!r}"
    missing = ProblemError(Kind.OPERATION_NOT_FOUND, detail)
    return await _answer(reading, BULK_OPERATIONS, bulk_operation_id, parameters, missing)


@router.get(
    "/clusters/{name}/events", tags=["clusters"], response_model=History, responses=problems(Kind.CLUSTER_NOT_FOUND)
)
async def list_cluster_events(reading: ReadingDep, name: str, parameters: PageDep) -> Response:
    """What happened to the connection of a cluster, newest first, also after its retirement: each state, and why."""
    missing = ProblemError(Kind.CLUSTER_NOT_FOUND, f"there is no cluster {name!r}")
    return await _answer(reading, CLUSTERS, name, parameters, missing)


async def _answer(
    reading: Reading, collection: Collection, key: str, parameters: HistoryQuery, missing: ProblemError
) -> Response:
    cluster = parameters.cluster if isinstance(parameters, ObjectHistoryQuery) else ()
    now = reading.moment.now
    page = await history.page(reading.transaction, collection, key, parameters, reading.scope, now=now, cluster=cluster)
    if page is None:
        raise missing
    return reading.answer(inventory.history(page, reading.transaction), reading.tag(ages=parameters.is_relative))
