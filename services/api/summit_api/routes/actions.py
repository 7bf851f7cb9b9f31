"""Acting on VMs: POST /api/v1/vms/{id}/{action} and DELETE /api/v1/vms/{id}, and the same by place and name.

The answer comes when the operation is stored, not when it is done: `Location` is where to see how it goes.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field

from summit_api.edits import target
from summit_api.openapi.responses import asks
from summit_api.operations.payloads import BODIES
from summit_api.problems import Kind
from summit_api.query.parameters import OnlyThese, WhichCluster
from summit_api.query.transaction.read_transaction import ReadTransaction
from summit_api.requests import acting, edit
from summit_api.requests.acting import AskingDep
from summit_api.requests.dependencies import AdminDep, OperatorDep, refuse_preconditions
from summit_api.shapes.inventory import OperationItem
from summit_models.contract import Uid
from summit_models.operation import Action
from summit_models.vm import Vm

router = APIRouter(tags=["actions"], dependencies=[Depends(refuse_preconditions)])

BY_ID = "/vms/{vm_id}"
BY_NAME = "/datacenters/{datacenter}/clusters/{cluster}/namespaces/{namespace}/vms/{name}"


class ActionQuery(OnlyThese):
    """How to act."""

    dry_run: bool = Field(
        default=False,
        alias="dryRun",
        description="Let Kubernetes check the request without doing it, and answer 200 with the outcome",
    )


class ActionQueryById(ActionQuery):
    """How to act, and on which of the VMs with the id."""

    cluster: WhichCluster = Field(default=[])


class Confirmed(ActionQuery):
    """How to delete, and the confirmation."""

    name: list[str] = Field(description="Name of the VM, as a confirmation", min_length=1, max_length=1)


class ConfirmedById(ActionQueryById, Confirmed):
    """How to delete, the confirmation, and which of the VMs with the id."""


class VmPlace:
    """Where a VM is, by names."""

    def __init__(self, datacenter: str, cluster: str, namespace: str, name: str) -> None:
        self.names = {"datacenter": datacenter, "cluster": cluster, "namespace": namespace, "name": name}


PlaceDep = Annotated[VmPlace, Depends(VmPlace)]

_SUMMARIES = {
    Action.START: "Start a VM that is stopped.",
    Action.STOP: "Stop a VM: its guest is asked to shut down, and ended after its grace period.",
    Action.RESTART: "Stop a VM and start it again, as another instance, perhaps on another node.",
    Action.PAUSE: "Freeze the guest of a VM where it is; it keeps its memory and its node.",
    Action.UNPAUSE: "Let a paused guest continue.",
    Action.SOFTREBOOT: "Ask the guest to reboot, through its agent or ACPI.",
    Action.RESET: "Reset the guest at once, as the button of a machine does.",
    Action.MIGRATE: "Migrate a VM live to another node of its cluster.",
    Action.RESIZE: (
        "Change the virtual CPUs and the memory of a VM. KubeVirt does it live where it can; otherwise the outcome "
        "says that it takes effect at the next start."
    ),
}


def _by_id(action: Action) -> Callable[..., Awaitable[Response]]:
    async def act(
        *, asking: AskingDep, _: OperatorDep, vm_id: Uid, how: Annotated[ActionQueryById, Query()]
    ) -> Response:
        find = partial(target.acted_on, scope=asking.scope, uid=vm_id, cluster=how.cluster)
        return await asking.act(action, find, dry_run=how.dry_run)

    return act


def _by_name(action: Action) -> Callable[..., Awaitable[Response]]:
    async def act(
        *, asking: AskingDep, _: OperatorDep, place: PlaceDep, how: Annotated[ActionQuery, Query()]
    ) -> Response:
        find = partial(target.acted_on_by_name, scope=asking.scope, place=place.names)
        return await asking.act(action, find, dry_run=how.dry_run)

    return act


def _documented(action: Action, *, problems: tuple[Kind, ...]) -> dict[str, Any]:
    return {
        "status_code": 202,
        "response_model": OperationItem,
        "responses": {
            200: {"model": OperationItem, "description": "Only with `dryRun`: what would happen"},
            **asks(Kind.VM_NOT_FOUND, *problems),
        },
        "openapi_extra": edit.documented(BODIES[action], required=action is Action.RESIZE),
    }


for _action, _summary in _SUMMARIES.items():
    router.add_api_route(
        f"{BY_ID}/{_action}",
        _by_id(_action),
        methods=["POST"],
        name=f"{_action}_vm_by_id",
        description=_summary,
        **_documented(_action, problems=(Kind.AMBIGUOUS_ID,)),
    )
    router.add_api_route(
        f"{BY_NAME}/{_action}",
        _by_name(_action),
        methods=["POST"],
        name=f"{_action}_vm_by_name",
        description=_summary,
        **_documented(_action, problems=()),
    )


@router.delete(BY_ID, **_documented(Action.DELETE, problems=(Kind.AMBIGUOUS_ID,)))
async def delete_vm_by_id(
    *, asking: AskingDep, _: AdminDep, vm_id: Uid, how: Annotated[ConfirmedById, Query()]
) -> Response:
    """Delete a watched VM and what it owns, its disks from templates too. `name` must be its name."""

    async def find(transaction: ReadTransaction) -> target.Editable[Vm]:
        known = await target.acted_on(transaction, asking.scope, vm_id, how.cluster)
        acting.confirm(known.state, how.name)
        return known

    return await asking.act(Action.DELETE, find, dry_run=how.dry_run)


@router.delete(BY_NAME, **_documented(Action.DELETE, problems=()))
async def delete_vm_by_name(
    *, asking: AskingDep, _: AdminDep, place: PlaceDep, how: Annotated[ActionQuery, Query()]
) -> Response:
    """Delete the watched VM of this place and name. The path is the confirmation."""
    find = partial(target.acted_on_by_name, scope=asking.scope, place=place.names)
    return await asking.act(Action.DELETE, find, dry_run=how.dry_run)
