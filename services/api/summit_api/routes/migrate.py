"""/api/v1/migrate: a VM goes to another datacenter, asked for by name (POST) or chosen as the original does (GET).

A VM that was added by hand is moved in the log. A watched VM is migrated live within its datacenter. To another
datacenter it would need a live migration between clusters, which this version cannot do: it answers what that needs.
"""

import logging
from collections.abc import Sequence
from datetime import datetime
from functools import partial
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
from summit_api.openapi.responses import ANY, TABLES, asks, problems
from summit_api.operations.errors import OperationError
from summit_api.operations.payloads import MigrateOptions
from summit_api.operations.preconditions import Sides, preconditions
from summit_api.problems import Kind, ProblemError
from summit_api.problems.validation import FieldError
from summit_api.query import datacenters as fleets
from summit_api.query import operations
from summit_api.query.parameters import OnlyThese, WhichCluster
from summit_api.query.transaction.read_transaction import ReadTransaction
from summit_api.render import original
from summit_api.render.moment import Moment
from summit_api.requests import acting, edit
from summit_api.requests.acting import Asking, AskingDep
from summit_api.requests.dependencies import MomentDep, OperatorDep, ServicesDep, refuse_preconditions
from summit_api.services import Services
from summit_api.shapes.original import AutomaticMigration, MigrateAnswer
from summit_models.cluster import ConnectionState
from summit_models.contract import ClusterName, DatacenterId
from summit_models.operation import Action
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
    seed: str | None = Field(
        default=None,
        max_length=100,
        description="Any text: choose among all candidates, the same one for the same text",
    )


_NO = frozenset({"0", "false", "no", "off"})


@router.post(
    "",
    response_model=MigrateAnswer,
    responses=asks(
        *(Kind.INVALID_VALUE, Kind.PRECONDITIONS, Kind.DATACENTER_NOT_FOUND, Kind.VM_NOT_FOUND, Kind.AMBIGUOUS_ID)
    ),
    openapi_extra=edit.documented(Migrate),
)
async def migrate_vm(
    *,
    request: Request,
    services: ServicesDep,
    principal: OperatorDep,
    moment: MomentDep,
    asking: AskingDep,
    which: Annotated[WhichOnly, Query()],
) -> Response:
    """Move a VM that was added by hand to another datacenter, or migrate a watched one live within its datacenter.

    The latter is an operation, and is answered 202. A watched VM cannot go to another datacenter: the answer is 422,
    with what such a migration would need.
    """
    asked = await _asked(request)
    if asked.from_datacenter == asked.to_datacenter:
        return await _migrate_live(asking, asked, which.cluster)
    known = await _source(services, principal.scope, asked, which.cluster)
    await _refuse_managed(services, principal.scope, known.state, asked.to_datacenter, moment)
    moved, stored = await _move(services, principal, known, asked.to_datacenter, moment.now)
    message = (
        f"Successfully migrated VM {moved.id} ({moved.name}) from {asked.from_datacenter} to {asked.to_datacenter}"
    )
    vm = original.vm(moved, moment)
    return edit.answer({"success": True, "message": message, "vm": vm}, stored)


@router.get("", response_model_exclude_none=True, responses=problems(*ANY, *TABLES))
async def migrate_first_vm(
    *,
    request: Request,
    services: ServicesDep,
    principal: OperatorDep,
    moment: MomentDep,
    asking: AskingDep,
    parameters: Annotated[AutomaticQuery, Query()],
) -> AutomaticMigration:
    """Migrate a VM that runs, can be migrated live and has no operation: the first one, or by `seed` another one.

    A watched VM is migrated live within its datacenter. One that was added by hand is moved to the first other
    datacenter, as the original does. It does so although it is a GET, because clients of the original rely on it. With
    `dry-run`, and for a HEAD, it only reports what it would do.
    """
    fresh = services.freshness.fresh_clusters(moment.now)
    is_dry = bool(request.scope.get(HEAD_ONLY)) or parameters.dry_run.lower() not in _NO
    async with services.read_models.transaction() as transaction:
        known = await target.to_migrate(transaction, principal.scope, fresh, parameters.seed)
        declared = await fleets.declared(transaction, principal.scope)
    if known is None:
        return AutomaticMigration(ok=True, migrated=False, reason="No VMs available for migration")
    vm = known.state
    if vm.managed:
        return await _choose_live(asking, vm, is_dry=is_dry)
    to = next((row for row in declared if row.id != vm.datacenter), None)
    if to is None:
        return AutomaticMigration(ok=True, migrated=False, reason="No target datacenter available")
    chosen: dict[str, Any] = {"vm_id": vm.id, "from_": vm.datacenter, "to": to.id}
    if is_dry:
        return AutomaticMigration(ok=True, migrated=True, **chosen, reason="Dry run - migration simulated")
    await _move(services, principal, known, to.id, moment.now)
    names = {row.id: row.name for row in declared}
    reason = f"Successfully migrated VM {vm.name} from {names.get(vm.datacenter, vm.datacenter)} to {to.name}"
    return AutomaticMigration(ok=True, migrated=True, **chosen, reason=reason)


async def _asked(request: Request) -> Migrate:
    """The edit. Raises ProblemError 400 with the original's sentence."""
    asked = await edit.read(request, Migrate, Kind.INVALID_VALUE, message="Invalid request body")
    if missing := [name for name, value in asked.model_dump(by_alias=True).items() if not value]:
        fields = [FieldError(field=name, detail="is missing") for name in missing]
        raise ProblemError(Kind.INVALID_VALUE, "vmId, fromDC, and toDC are required", fields=fields)
    return asked


async def _migrate_live(asking: Asking, asked: Migrate, cluster: Sequence[ClusterName]) -> Response:
    """Raises ProblemError 400 with the original's sentence for a VM that no cluster runs."""

    async def find(transaction: ReadTransaction) -> Editable[Vm]:
        known = await target.find_vm(transaction, asking.scope, asked.from_datacenter, asked.vm_id, cluster)
        if known is None or not known.state.managed:
            raise ProblemError(Kind.INVALID_VALUE, "Source and target datacenters cannot be the same")
        return known

    async with asking.services.read_models.transaction() as transaction:
        vm = (await find(transaction)).state
    step = await asking.ask(Action.MIGRATE, MigrateOptions(), find)
    message = f"VM {vm.id} ({vm.name}) is being migrated live within {vm.datacenter}: operation {step.operation.id}"
    members = {"success": True, "message": message, "vm": original.vm(vm, asking.moment)}
    return acting.answer_beside(members, step)


async def _choose_live(asking: Asking, vm: Vm, *, is_dry: bool) -> AutomaticMigration:
    """Ask for a live migration of the VM that was chosen; `ok` is false where it is refused."""
    chosen: dict[str, Any] = {"vm_id": vm.id, "from_": vm.datacenter, "to": vm.datacenter}
    why = f"VM {vm.name} runs on {vm.node_name or 'an unknown node'}, can be migrated live, and nothing acts on it"
    try:
        if is_dry:
            await asking.check(Action.MIGRATE, MigrateOptions(), partial(_this, vm, asking.scope))
            return AutomaticMigration(ok=True, migrated=True, **chosen, reason=f"Dry run - {why}")
        step = await asking.ask(Action.MIGRATE, MigrateOptions(), partial(_this, vm, asking.scope))
    except OperationError as error:
        return AutomaticMigration(ok=False, migrated=False, **chosen, reason=str(error))
    reason = f"VM {vm.name} is being migrated live within {vm.datacenter}: operation {step.operation.id}"
    return AutomaticMigration(ok=True, migrated=True, **chosen, operation=step.operation.id, reason=reason)


async def _this(vm: Vm, scope: Scope, transaction: ReadTransaction) -> Editable[Vm]:
    return await target.acted_on(transaction, scope, vm.id, [vm.cluster] if vm.cluster else ())


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
    moved = vms.moved(known.state, to, now)
    events = vms.changed(known.state, moved, known.basis.revision, now, principal.by)
    stored = await services.log.append(events, known.basis)
    logger.info("%s moved VM %s from %s to %s", principal.name, moved.id, known.state.datacenter, to)
    return moved, stored


async def _refuse_managed(services: Services, scope: Scope, vm: Vm, to: DatacenterId, moment: Moment) -> None:
    """Raises ProblemError 422 for a watched VM, with what is known of the preconditions."""
    if not vm.managed:
        return
    async with services.read_models.transaction() as transaction:
        same_name = await target.clusters_with(transaction, to, vm.namespace, vm.name)
        acting = await operations.acting_on(transaction, vm)
        declared = await fleets.clusters(transaction, Scope(frozenset([to])))
    sides = Sides(
        vm=vm,
        is_idle=acting.is_nothing,
        source=services.freshness.health(vm.cluster) if vm.cluster else None,
        targets=[
            services.freshness.health(one.name) or one for one in declared if one.state is not ConnectionState.RETIRED
        ],
        fresh=moment.fresh_clusters or frozenset(),
        same_name=same_name if scope.namespaces is None else [],
    )
    raise ProblemError(
        Kind.PRECONDITIONS,
        f"VM {vm.id} ({vm.name}) is watched in cluster {vm.cluster}: it would have to be migrated live to a cluster of "
        f"{to}, which this version cannot do; nothing was changed, and `preconditions` lists what it would need",
        members={"preconditions": [precondition._asdict() for precondition in preconditions(sides)]},
    )
