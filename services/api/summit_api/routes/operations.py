"""/api/v1/operations: what was asked to be done to VMs, by whom, how far it is, and how it ended."""

import logging
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from summit_api.openapi.responses import changes, reads
from summit_api.problems import Kind, ProblemError
from summit_api.query import operations as query
from summit_api.query.operations import OperationPageQuery
from summit_api.render import inventory
from summit_api.requests import acting
from summit_api.requests.dependencies import MomentDep, OperatorDep, ServicesDep, refuse_preconditions
from summit_api.requests.reading import ReadingDep
from summit_api.shapes.inventory import OperationItem, OperationPage

logger = logging.getLogger("summit.api")

router = APIRouter(prefix="/operations", tags=["operations"])


@router.get("", response_model=OperationPage, responses=reads())
async def list_operations(reading: ReadingDep, parameters: Annotated[OperationPageQuery, Query()]) -> Response:
    """Operations, newest first, page by page. `next` is the `cursor` of the next page, null on the last one."""
    tag = reading.tag()
    if unchanged := reading.unchanged(tag):
        return unchanged
    page = await query.page(reading.transaction, parameters, reading.scope)
    return reading.answer(inventory.operation_page(page, reading.transaction), tag)


@router.get(
    "/{operation_id}",
    response_model=OperationItem,
    responses=reads(Kind.OPERATION_NOT_FOUND),
)
async def get_operation(reading: ReadingDep, operation_id: str) -> Response:
    """One operation by its id, as in `Location` of the answer to the request for it."""
    operation = await query.by_id(reading.transaction, operation_id, reading.scope)
    if operation is None:
        raise ProblemError(Kind.OPERATION_NOT_FOUND, f"there is no operation with the id {operation_id!r}")
    return reading.answer(operation.encode(), reading.tag())


@router.delete(
    "/{operation_id}",
    dependencies=[Depends(refuse_preconditions)],
    status_code=202,
    response_model=OperationItem,
    responses={
        200: {"model": OperationItem, "description": "It is canceled: nothing was done"},
        202: {"description": "Its watcher has it, and reports whether it could still be stopped"},
        **changes(Kind.OPERATION_ACCEPTED),
    },
)
async def cancel_operation(
    services: ServicesDep, principal: OperatorDep, moment: MomentDep, operation_id: str
) -> Response:
    """Cancel an operation: a pending one at once, and a migration in flight unless it succeeds first.

    Any other request that the cluster has accepted cannot be taken back: 409, and the operation goes on.
    """
    step = await services.operations.cancel(operation_id, principal.scope, principal.name, moment.now)
    logger.info("%s cancels operation %s: it is %s", principal.name, operation_id, step.operation.state)
    return acting.answer(step, status_code=200 if step.operation.has_ended else 202)
