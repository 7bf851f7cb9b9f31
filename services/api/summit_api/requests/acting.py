"""A request for an operation over HTTP: its body, its Idempotency-Key, and its answer."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

import msgspec
from fastapi import Depends, Header, Request, Response

from summit_api.access.principal import Principal, Scope
from summit_api.http.answer import Json
from summit_api.operations.asking import FindVm, Wanted
from summit_api.operations.payloads import BODIES, Options, timeout_seconds
from summit_api.problems import Kind
from summit_api.problems.problem import wrong_fields
from summit_api.problems.validation import FieldError
from summit_api.query.operations import Step
from summit_api.render import inventory
from summit_api.render.moment import Moment
from summit_api.requests import edit
from summit_api.requests.dependencies import MomentDep, OperatorDep, ServicesDep, host_of
from summit_api.services import Services
from summit_models.operation import Action
from summit_models.vm import Vm

logger = logging.getLogger("summit.api")

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="Any text of yours, such as a UUID: a repeated request with the same key is the same operation",
    ),
]


@dataclass(frozen=True)
class Asking:
    """Somebody who asks for an operation in one request."""

    request: Request
    services: Services
    principal: Principal
    moment: Moment
    key: str | None

    @property
    def scope(self) -> Scope:
        return self.principal.scope

    async def act(self, action: Action, find: FindVm, *, dry_run: bool) -> Response:
        """Read the body, ask, and answer: 202 when it is stored, or 200 with the outcome of a dry run."""
        options = await edit.read(self.request, BODIES[action], if_empty=b"{}")
        step = await self.ask(action, options, find, dry_run=dry_run)
        if not dry_run:
            return answer(step)
        within = timedelta(seconds=self.services.times.dry_run_seconds)
        outcome = await self.services.operations.outcome(step, within)
        return answer(outcome, status_code=200 if outcome.operation.has_ended else 202)

    async def check(self, action: Action, options: Options, find: FindVm) -> None:
        """Raises an OperationError for what would be refused."""
        await self.services.operations.check(self._wanted(action, options, dry_run=True), find, self.moment.now)

    def _wanted(self, action: Action, options: Options, *, dry_run: bool) -> Wanted:
        return Wanted(
            action=action,
            parameters=options.parameters(),
            timeout_seconds=timeout_seconds(action, options, dry_run=dry_run),
            dry_run=dry_run,
            caller=self.principal.name,
            by=self.principal.by,
            key=self.key,
        )

    async def ask(self, action: Action, options: Options, find: FindVm, *, dry_run: bool = False) -> Step:
        """Store the operation and log who asks. Raises as `Operations.ask`."""
        wanted = self._wanted(action, options, dry_run=dry_run)
        step = await self.services.operations.ask(wanted, find, self.moment.now)
        operation = step.operation
        logger.info(
            "%s asks from %s for operation %s: %s of VM %s/%s in cluster %s",
            self.principal.name,
            host_of(self.request) or "an unknown address",
            operation.id,
            operation.action,
            operation.namespace,
            operation.vm_name,
            operation.cluster,
        )
        return step


async def asking(
    request: Request, services: ServicesDep, principal: OperatorDep, moment: MomentDep, *, key: IdempotencyKey = None
) -> Asking:
    return Asking(request, services, principal, moment, key)


def confirm(vm: Vm, name: Sequence[str]) -> None:
    """Raises ProblemError 422 unless the name is that of the VM."""
    if list(name) != [vm.name]:
        detail = (
            "must be the name of the VM, as a confirmation" if not name else f"is not the name of this VM: {name[0]!r}"
        )
        raise wrong_fields(Kind.INVALID_PARAMETER, [FieldError(field="name", detail=detail)])


def answer(step: Step, *, status_code: int = 202) -> Response:
    """The operation, and where it is."""
    return Json(inventory.step(step), status_code=status_code, headers=headers(step))


def headers(step: Step) -> Mapping[str, str]:
    return {"Location": f"/api/v1/operations/{step.operation.id}", "Summit-Revision": str(step.revision)}


def answer_beside(members: Any, step: Step) -> Response:
    """The original's members, and the operation beside them."""
    body = msgspec.json.encode({**msgspec.to_builtins(members), "operation": msgspec.Raw(inventory.step(step))})
    return Json(body, status_code=202, headers=headers(step))


AskingDep = Annotated[Asking, Depends(asking, scope="function")]
