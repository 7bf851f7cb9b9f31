"""Operations on many VMs: POST /api/v1/operations:bulk with the filters of the list, and /api/v1/bulk-operations."""

import logging
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from summit_api.bulk.payloads import BulkRequest
from summit_api.http.answer import Json
from summit_api.openapi.responses import asks, changes, reads
from summit_api.problems import Kind, ProblemError
from summit_api.query import bulk_operations as query
from summit_api.query.bulk_operations import BulkPageQuery, BulkStep
from summit_api.render import bulk
from summit_api.render.moment import Moment
from summit_api.requests import edit
from summit_api.requests.bulk import AskingForManyDep, refuse_others
from summit_api.requests.dependencies import MomentDep, OperatorDep, ServicesDep, host_of, refuse_preconditions
from summit_api.requests.reading import ReadingDep
from summit_api.services import Services
from summit_api.shapes.bulk import BulkOperationAnswer, BulkOperationPage, BulkPlanAnswer

logger = logging.getLogger("summit.api")

router = APIRouter(tags=["bulk operations"])

PATH = "/bulk-operations"


@router.post(
    "/operations:bulk",
    dependencies=[Depends(refuse_preconditions)],
    status_code=202,
    response_model=BulkOperationAnswer,
    responses={
        200: {"model": BulkPlanAnswer, "description": "Without `confirm`: what would be done. Nothing is stored"},
        **asks(Kind.LIST_CHANGED, Kind.TOO_MANY_VMS, Kind.REVISION_NOT_APPLIED),
    },
    openapi_extra=edit.documented(BulkRequest),
)
async def act_on_many(services: ServicesDep, asking: AskingForManyDep, moment: MomentDep) -> Response:
    """Act on all VMs that the filters select, which are those of the list of VMs.

    Without `confirm` the answer only lists these VMs and those that would be refused. Send its `confirm` in the same
    request to have it done.
    """
    wanted = await asking.wanted()
    if wanted.request.confirm is None:
        return Json(bulk.plan(await services.bulk_operations.plan(wanted, moment.now)))
    step = await services.bulk_operations.ask(wanted, moment.now)
    operation = step.operation
    logger.info(
        "%s asks from %s for bulk operation %s: %s of %d VMs",
        wanted.caller,
        host_of(asking.request) or "an unknown address",
        operation.id,
        operation.action,
        operation.total,
    )
    return await _answer(services, step, moment, 202)


@router.get(PATH, response_model=BulkOperationPage, responses=reads())
async def list_bulk_operations(reading: ReadingDep, parameters: Annotated[BulkPageQuery, Query()]) -> Response:
    """Operations on many VMs, newest first, page by page. Those with VMs that you may not see are not there."""
    tag = reading.tag()
    if unchanged := reading.unchanged(tag):
        return unchanged
    page = await query.page(reading.transaction, parameters, reading.scope)
    return reading.answer(bulk.page(page, reading.transaction), tag)


@router.get(
    f"{PATH}/{{bulk_operation_id}}", response_model=BulkOperationAnswer, responses=reads(Kind.OPERATION_NOT_FOUND)
)
async def get_bulk_operation(reading: ReadingDep, bulk_operation_id: str) -> Response:
    """One operation on many VMs, and how far it is in each cluster. The operation on each VM has it as `parent`."""
    step = await query.step_of(reading.transaction, bulk_operation_id, reading.scope)
    if step is None:
        detail = f"there is no bulk operation with the id {bulk_operation_id!r}"
        raise ProblemError(Kind.OPERATION_NOT_FOUND, detail)
    counts = await query.counts(reading.transaction, step.operation.id)
    body = bulk.item(step, counts, reading.moment.fresh_clusters or ())
    return reading.answer(body, reading.tag(staleness=True))


_CHANGE: dict[str, Any] = {
    "dependencies": [Depends(refuse_preconditions)],
    "status_code": 202,
    "response_model": BulkOperationAnswer,
    "responses": {
        200: {"model": BulkOperationAnswer, "description": "It was so already"},
        202: {"description": "It is stored"},
        **changes(),
    },
}


@router.post(f"{PATH}/{{bulk_operation_id}}/pause", **_CHANGE)
async def pause_bulk_operation(
    services: ServicesDep, principal: OperatorDep, moment: MomentDep, bulk_operation_id: str
) -> Response:
    """Let no further VM begin. Operations that are under way go on."""
    changed = await services.bulk_operations.pause(bulk_operation_id, principal.scope, principal.name, moment.now)
    return await _changed(services, changed, moment)


@router.post(f"{PATH}/{{bulk_operation_id}}/resume", **_CHANGE)
async def resume_bulk_operation(
    services: ServicesDep, principal: OperatorDep, moment: MomentDep, bulk_operation_id: str
) -> Response:
    """Let it go on after a pause. It needs the role of its action."""
    known = await services.bulk_operations.known(bulk_operation_id, principal.scope)
    refuse_others(principal, known.operation.action)
    changed = await services.bulk_operations.resume(bulk_operation_id, principal.scope, principal.name, moment.now)
    return await _changed(services, changed, moment)


@router.delete(f"{PATH}/{{bulk_operation_id}}", **_CHANGE)
async def cancel_bulk_operation(
    services: ServicesDep, principal: OperatorDep, moment: MomentDep, bulk_operation_id: str
) -> Response:
    """Cancel it: no further VM begins, and operations under way are canceled as each by itself would be."""
    changed = await services.bulk_operations.cancel(bulk_operation_id, principal.scope, principal.name, moment.now)
    return await _changed(services, changed, moment)


async def _changed(services: Services, changed: tuple[BulkStep, bool], moment: Moment) -> Response:
    step, is_new = changed
    if is_new:
        logger.info("bulk operation %s is %s: %s", step.operation.id, step.operation.state, step.operation.message)
    return await _answer(services, step, moment, 202 if is_new else 200)


async def _answer(services: Services, step: BulkStep, moment: Moment, status_code: int) -> Response:
    async with services.read_models.transaction() as transaction:
        counts = await query.counts(transaction, step.operation.id)
    headers = {"Location": f"/api/v1{PATH}/{step.operation.id}", "Summit-Revision": str(step.revision)}
    body = bulk.item(step, counts, moment.fresh_clusters or ())
    return Json(body, status_code=status_code, headers=headers)
