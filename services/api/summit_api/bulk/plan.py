"""What an operation on many VMs would do: the VMs that it would act on, those that would be refused, and the token.

The token is a hash of the action, its parameters and exactly these VMs. Whoever sends it has seen them, and an
operation is only stored if they are still the same.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import NamedTuple

import msgspec
from pydantic import JsonValue

from summit_api.access.principal import Scope
from summit_api.operations.errors import OperationError, RefusedError, TablesBehindError, TooManyVmsError
from summit_api.operations.objections import Objections
from summit_api.query import bulk_operations as query
from summit_api.query import operations
from summit_api.query.selection.filters import VmFilters
from summit_api.query.transaction.read_transaction import ReadTransaction
from summit_api.shapes.bulk import BulkPlan, BulkVm, RefusedVm
from summit_models.bulk_operation import BulkOperation, ClusterTargets
from summit_models.contract import ClusterName, Uid
from summit_models.operation import Action
from summit_models.vm import Vm

MAX_VMS = 5000
"""Their ids are in each event of the operation: 195 KB of the 256 KB that an event may have."""

_UNAVAILABLE = "clusterUnavailable"

Place = tuple[ClusterName, Uid]
"""A VM: two clusters may show one id."""


class Wish(NamedTuple):
    """What is to be done, and to which VMs."""

    action: Action
    parameters: Mapping[str, JsonValue]
    filters: VmFilters
    scope: Scope


@dataclass
class Plan:
    """The VMs that match, in the order of their turns."""

    wish: Wish
    vms: list[Vm] = field(default_factory=list)
    refused: list[tuple[Vm, OperationError]] = field(default_factory=list)

    @property
    def token(self) -> str | None:
        """None where there is nothing to do."""
        places = [(vm.cluster or ClusterName(""), vm.id) for vm in self.vms]
        return _token(self.wish.action, self.wish.parameters, places) if places else None

    def targets(self) -> list[ClusterTargets]:
        by_cluster: dict[tuple[str, str], dict[str, list[Uid]]] = {}
        for vm in self.vms:
            in_cluster = by_cluster.setdefault((vm.datacenter, vm.cluster or ""), {})
            in_cluster.setdefault(vm.namespace or "", []).append(vm.id)
        return [ClusterTargets(datacenter=dc, cluster=cluster, vms=vms) for (dc, cluster), vms in by_cluster.items()]

    def shown(self) -> BulkPlan:
        return BulkPlan(
            action=self.wish.action,
            parameters=dict(self.wish.parameters),
            filters=filters_json(self.wish.filters),
            vms=[BulkVm(**_members(vm)) for vm in self.vms],
            refused=[
                RefusedVm(**_members(vm), reason=str(why.members.get("reason", _UNAVAILABLE)), detail=str(why))
                for vm, why in self.refused
            ],
            confirm=self.token,
        )


async def plan(transaction: ReadTransaction, wish: Wish, objections: Objections, now: datetime) -> Plan:
    """Look at each VM that matches. Raises TooManyVmsError, TablesBehindError."""
    made = Plan(wish)
    waits_in = await _waiting_in_others(transaction)
    acting = await operations.acting(transaction)
    count = 0
    async for vms in query.candidates(transaction, wish.filters, wish.scope, MAX_VMS + 1):
        count += len(vms)
        if count > MAX_VMS:
            raise TooManyVmsError(f"the filters select more than {MAX_VMS} VMs: narrow them, by cluster or namespace")
        for vm in vms:
            known = objections.to(wish.action, vm, wish.parameters, acting(vm), now)
            if isinstance(known, TablesBehindError):
                raise known
            if found := known or _turn_elsewhere(vm, waits_in):
                made.refused.append((vm, found))
            else:
                made.vms.append(vm)
    return made


def token_of(operation: BulkOperation) -> str:
    """The token with which it was confirmed."""
    places = [(targets.cluster, target.id) for targets in operation.targets for target in targets.each()]
    return _token(operation.action, operation.parameters, places)


def filters_json(filters: VmFilters) -> dict[str, JsonValue]:
    """The filters that were given, as a stored operation has them."""
    return filters.model_dump(mode="json", exclude_defaults=True, exclude={"revision"})


def _turn_elsewhere(vm: Vm, waits_in: Mapping[Place, Uid]) -> OperationError | None:
    if other := waits_in.get((vm.cluster or ClusterName(""), vm.id)):
        detail = f"VM {vm.name} waits for its turn in the bulk operation {other}: wait, or cancel that"
        return RefusedError(detail, reason="bulkActive", operation=other)
    return None


async def _waiting_in_others(transaction: ReadTransaction) -> Mapping[Place, Uid]:
    """VMs that wait for their turn in another such operation: a repeated request would act on them twice."""
    active = [step.operation for step in await query.active(transaction)]
    begun: AbstractSet[Place] = await query.begun(transaction, [operation.id for operation in active])
    return {
        place: operation.id
        for operation in active
        for targets in operation.targets
        for target in targets.each()
        if (place := (targets.cluster, target.id)) not in begun
    }


def _token(action: Action, parameters: Mapping[str, JsonValue], places: Sequence[Place]) -> str:
    exact = msgspec.json.encode([action, dict(parameters), sorted(places)], order="sorted")
    return blake2b(exact, digest_size=16).hexdigest()


def _members(vm: Vm) -> dict[str, object]:
    return {name: getattr(vm, name) for name in BulkVm.model_fields}
