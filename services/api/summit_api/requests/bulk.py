"""A request for an operation on many VMs over HTTP: its filters, its body, and who may send it."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query, Request
from pydantic import ValidationError

from summit_api.access.principal import Principal, Role
from summit_api.bulk.asking import BulkWanted
from summit_api.bulk.payloads import BulkRequest
from summit_api.bulk.plan import Wish
from summit_api.operations.payloads import Options
from summit_api.problems import Kind
from summit_api.problems.problem import wrong_fields
from summit_api.problems.validation import field_errors
from summit_api.query.selection.filters import VmFilters
from summit_api.requests import edit
from summit_api.requests.acting import IdempotencyKey
from summit_api.requests.dependencies import AtLeast, OperatorDep, ServicesDep
from summit_api.requests.reading import wait_until_applied
from summit_models.operation import Action

_ADMIN = AtLeast(Role.ADMIN)


@dataclass(frozen=True)
class AskingForMany:
    """Somebody who asks for an operation on many VMs in one request."""

    request: Request
    principal: Principal
    filters: VmFilters
    key: str | None

    async def wanted(self) -> BulkWanted:
        """The body, and who sent it. Raises ProblemError for what is wrong with it, and for a missing role."""
        request = await edit.read(self.request, BulkRequest)
        refuse_others(self.principal, request.action)
        wish = Wish(request.action, _options(request).parameters(), self.filters, self.principal.scope)
        return BulkWanted(wish=wish, request=request, caller=self.principal.name, by=self.principal.by, key=self.key)


def refuse_others(principal: Principal, action: Action) -> None:
    """Raises ProblemError 403 unless the principal may do this to a single VM."""
    if action is Action.DELETE:
        _ADMIN.admit(principal)


def _options(request: BulkRequest) -> Options:
    try:
        return request.options
    except ValidationError as error:
        fields = field_errors([{**wrong, "loc": ("parameters", *wrong["loc"])} for wrong in error.errors()])
        raise wrong_fields(Kind.INVALID_PAYLOAD, fields, error="invalid payload") from error


async def asking_for_many(
    *,
    request: Request,
    services: ServicesDep,
    principal: OperatorDep,
    filters: Annotated[VmFilters, Query()],
    key: IdempotencyKey = None,
) -> AskingForMany:
    """Waits for `revision`, as each read does."""
    await wait_until_applied(services, filters.revision)
    return AskingForMany(request, principal, filters, key)


AskingForManyDep = Annotated[AskingForMany, Depends(asking_for_many, scope="function")]
