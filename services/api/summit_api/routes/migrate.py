"""/api/v1/migrate: a VM goes to another datacenter, asked for by name (POST) or chosen as the original does (GET).

A VM that was added by hand is moved in the log. A watched VM would need a live migration between clusters, which this
version cannot do: it answers so, and changes nothing.
"""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from summit_api.access.principal import Principal, Scope
from summit_api.edits import target
from summit_api.edits import vm as vms
from summit_api.edits.event_log import Stored
from summit_api.edits.payloads import Migrate
from summit_api.edits.target import Editable
from summit_api.http.leniency import HEAD_ONLY
from summit_api.openapi.responses import ANY, TABLES, edits, problems
from summit_api.problems import Kind, ProblemError
from summit_api.problems.validation import FieldError
from summit_api.query import datacenters as fleets
from summit_api.query.parameters import OnlyThese, WhichCluster
from summit_api.render import original
from summit_api.requests import edit
from summit_api.requests.dependencies import MomentDep, OperatorDep, ServicesDep, refuse_preconditions
from summit_api.services import Services
from summit_api.shapes.original import AutomaticMigration, MigrateAnswer
from summit_models.contract import ClusterName, DatacenterId
from summit_models.vm import Vm

logger = logging.getLogger("summit.api")

router = APIRouter(prefix="/migrate", tags=["migrations"], dependencies=[Depends(refuse_preconditions)])


class WhichOnly(OnlyThese):
    """Which of the VMs with the id."""

    cluster: WhichCluster = Field(default=[])


class AutomaticQuery(OnlyThese):
    dry_run: str = Field(
        default="0",
        alias="dry-run",
        description="Any value except 0, false, no and off: change nothing, only report what would be migrated",
    )


_NO = frozenset({"0", "false", "no", "off"})


@router.post(
    "",
    response_model=MigrateAnswer,
    responses=edits(
        *(Kind.INVALID_VALUE, Kind.REQUEST_TIMEOUT, Kind.CONTENT_TOO_LARGE),
        *(Kind.DATACENTER_NOT_FOUND, Kind.VM_NOT_FOUND, Kind.AMBIGUOUS_ID, Kind.NOT_IMPLEMENTED),
    ),
    openapi_extra=edit.documented(Migrate),
)
async def migrate_vm(
    *,
    request: Request,
    services: ServicesDep,
    principal: OperatorDep,
    moment: MomentDep,
    which: Annotated[WhichOnly, Query()],
) -> Response:
    """Move a VM that was added by hand to another datacenter. For other VMs the answer is 501, and nothing changes."""
    asked = await _asked(request)
    known = await _source(services, principal.scope, asked, which.cluster)
    moved, stored = await _move(services, principal, known, asked.to_datacenter, moment.now)
    message = (
        f"Successfully migrated VM {moved.id} ({moved.name}) from {asked.from_datacenter} to {asked.to_datacenter}"
    )
    vm = original.vm(moved, moment)
    return edit.answer({"success": True, "message": message, "vm": vm}, stored)


@router.get("", response_model_exclude_none=True, responses=problems(*ANY, *TABLES))
async def migrate_first_vm(
    request: Request,
    services: ServicesDep,
    principal: OperatorDep,
    moment: MomentDep,
    parameters: Annotated[AutomaticQuery, Query()],
) -> AutomaticMigration:
    """Move the first running VM of the first datacenter that has one to the first other datacenter, as the original.

    It does so although it is a GET, because clients of the original rely on it. With `dry-run`, and for a HEAD, it only
    reports what it would do.
    """
    async with services.read_models.transaction() as transaction:
        known = await target.first_to_migrate(transaction, principal.scope)
        declared = await fleets.declared(transaction, principal.scope)
    if known is None:
        return AutomaticMigration(ok=True, migrated=False, reason="No VMs available for migration")
    vm = known.state
    to = next((row for row in declared if row.id != vm.datacenter), None)
    if to is None:
        return AutomaticMigration(ok=True, migrated=False, reason="No target datacenter available")
    chosen: dict[str, Any] = {"vm_id": vm.id, "from_": vm.datacenter, "to": to.id}
    try:
        _refuse_managed(vm)
        if request.scope.get(HEAD_ONLY) or parameters.dry_run.lower() not in _NO:
            return AutomaticMigration(ok=True, migrated=True, **chosen, reason="Dry run - migration simulated")
        await _move(services, principal, known, to.id, moment.now)
    except ProblemError as problem:
        return AutomaticMigration(ok=False, migrated=False, **chosen, reason=problem.detail)
    names = {row.id: row.name for row in declared}
    reason = f"Successfully migrated VM {vm.name} from {names.get(vm.datacenter, vm.datacenter)} to {to.name}"
    return AutomaticMigration(ok=True, migrated=True, **chosen, reason=reason)


async def _asked(request: Request) -> Migrate:
    """The edit. Raises ProblemError 400 with the original's sentence."""
    asked = await edit.read(request, Migrate, Kind.INVALID_VALUE, message="Invalid request body")
    if missing := [name for name, value in asked.model_dump(by_alias=True).items() if not value]:
        fields = [FieldError(field=name, detail="is missing") for name in missing]
        raise ProblemError(Kind.INVALID_VALUE, "vmId, fromDC, and toDC are required", fields=fields)
    if asked.from_datacenter == asked.to_datacenter:
        raise ProblemError(Kind.INVALID_VALUE, "Source and target datacenters cannot be the same")
    return asked


async def _source(services: Services, scope: Scope, asked: Migrate, cluster: Sequence[ClusterName]) -> Editable[Vm]:
    """The VM. Raises ProblemError 404 with the original's sentence, also for an unknown target."""
    async with services.read_models.transaction() as transaction:
        known = await target.find_vm(transaction, scope, asked.from_datacenter, asked.vm_id, cluster)
        to = await target.find_datacenter(transaction, scope, asked.to_datacenter)
    if known is None:
        raise ProblemError(Kind.VM_NOT_FOUND, f"VM {asked.vm_id} not found in datacenter {asked.from_datacenter}")
    if to is None:
        raise ProblemError(Kind.DATACENTER_NOT_FOUND, f"target datacenter {asked.to_datacenter} not found")
    return known


async def _move(
    services: Services, principal: Principal, known: Editable[Vm], to: DatacenterId, now: datetime
) -> tuple[Vm, Stored]:
    _refuse_managed(known.state)
    moved = vms.moved(known.state, to, now)
    events = vms.changed(known.state, moved, known.basis.revision, now)
    stored = await services.log.append(events, known.basis)
    logger.info("%s moved VM %s from %s to %s", principal.name, moved.id, known.state.datacenter, to)
    return moved, stored


def _refuse_managed(vm: Vm) -> None:
    if vm.managed:
        raise ProblemError(
            Kind.NOT_IMPLEMENTED,
            f"VM {vm.id} ({vm.name}) is watched in cluster {vm.cluster}: it would have to be migrated live to a "
            "cluster of the other datacenter, which this version cannot do; nothing was changed",
        )
