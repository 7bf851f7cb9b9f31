"""The history of one object: /api/v1/vms/{id}/events, and the same for migrations and clusters."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from summit_api.deps import Reading, ReadingDep
from summit_api.problem_kinds import declared
from summit_api.problems import ProblemError, not_found
from summit_api.query import history
from summit_api.query.history import CLUSTERS, MIGRATIONS, VMS, Collection
from summit_api.query.parameters import HistoryQuery
from summit_api.render import inventory
from summit_api.shapes.inventory import History

router = APIRouter()

PageDep = Annotated[HistoryQuery, Query()]


@router.get("/vms/{vm_id}/events", tags=["vms"], response_model=History, responses=declared("VM not found"))
async def list_vm_events(reading: ReadingDep, vm_id: str, parameters: PageDep) -> Response:
    """What happened to a VM, newest first, also after its end: what changed, from what, to what, and when."""
    missing = not_found("VM", f"there is no VM with the id {vm_id!r}")
    return await _answer(reading, VMS, vm_id, parameters, missing)


@router.get(
    "/migrations/{migration_id}/events",
    tags=["migrations"],
    response_model=History,
    responses=declared("Migration not found"),
)
async def list_migration_events(reading: ReadingDep, migration_id: str, parameters: PageDep) -> Response:
    """What happened to a live migration, newest first: each phase, and when."""
    missing = not_found("Migration", f"there is no migration with the id {migration_id!r}")
    return await _answer(reading, MIGRATIONS, migration_id, parameters, missing)


@router.get(
    "/clusters/{name}/events", tags=["clusters"], response_model=History, responses=declared("Cluster not found")
)
async def list_cluster_events(reading: ReadingDep, name: str, parameters: PageDep) -> Response:
    """What happened to the connection of a cluster, newest first, also after its retirement: each state, and why."""
    missing = not_found("Cluster", f"there is no cluster {name!r}")
    return await _answer(reading, CLUSTERS, name, parameters, missing)


async def _answer(
    reading: Reading, collection: Collection, key: str, parameters: HistoryQuery, missing: ProblemError
) -> Response:
    page = await history.page(reading.transaction, collection, key, parameters, reading.scope)
    if page is None:
        raise missing
    tag = reading.tag()
    if reading.is_known(tag):
        return reading.not_modified(tag)
    return reading.answer(inventory.history(page, reading.transaction), tag)
