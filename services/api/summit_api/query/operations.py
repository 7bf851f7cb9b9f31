"""Operations, newest first by default: those that run, and all that have ended."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property, partial
from typing import Annotated, NamedTuple

from pydantic import Field

from summit_api.access.principal import EVERYTHING, Scope
from summit_api.query.pages import cursor, order, paging
from summit_api.query.pages.objects import json_object
from summit_api.query.pages.order import Order
from summit_api.query.pages.paging import Listing
from summit_api.query.parameters import checked
from summit_api.query.selection.filters import Filters, RequestedSince, is_so, one_of, several
from summit_api.query.transaction.arguments import Arguments, where
from summit_api.query.transaction.read_transaction import ReadTransaction
from summit_api.shapes.inventory import OperationItem
from summit_models.contract import ClusterName, DatacenterId, Revision, Uid
from summit_models.operation import Action, Operation, OperationState
from summit_models.tables import operations
from summit_models.vm import Vm

MAX_LIMIT = 1000

COLUMNS = order.sortable(operations, "requested_at")
"""Every filter has an index in this order."""
_IDENTITY = (order.ID,)

_of = partial(one_of, model=Operation)


class OperationFilters(Filters):
    """Which operations."""

    datacenter: Annotated[list[DatacenterId], _of("datacenter")] = several("Id of the datacenter")
    cluster: Annotated[list[ClusterName], _of("cluster")] = several("Name of the cluster")
    namespace: Annotated[list[str], _of("namespace")] = several("Namespace")
    vm: Annotated[list[Uid], _of("vm_id")] = several("Id of the VM")
    action: Annotated[list[Action], _of("action")] = several("What was asked for")
    state: Annotated[list[OperationState], _of("state")] = several("State of the operation")
    by: Annotated[list[str], _of("by")] = several("Who asked")
    parent: Annotated[list[Uid], _of("parent")] = several("The operation on many VMs that it is a part of")
    ended: Annotated[bool | None, is_so("ended_at", "ended_at IS NOT NULL", "ended_at IS NULL", model=Operation)] = (
        Field(default=None, description="true: operations that have ended, well or not; false: those that have not")
    )
    since: RequestedSince = None


class OperationPageQuery(OperationFilters):
    """Which operations, and which page of them."""

    sort: Annotated[str, checked(lambda text: order.parse(text, COLUMNS, tie=_IDENTITY))] = Field(
        default="-requestedAt",
        max_length=100,
        description=f"Members to sort by: {', '.join(COLUMNS)}. `-` before a member sorts it in descending order",
    )
    limit: int = Field(default=100, ge=1, le=MAX_LIMIT, description="Maximum number of operations in one answer")
    cursor: str | None = Field(default=None, max_length=cursor.MAX_LENGTH, description="`next` of the page before")

    @cached_property
    def order(self) -> Order:
        return order.parse(self.sort or "-requestedAt", COLUMNS, tie=_IDENTITY)


class OperationPage(NamedTuple):
    rows: list[str]
    """JSON objects."""
    next: str | None


_MEMBERS = {field.alias or name: name for name, field in OperationItem.model_fields.items()}
_JSON = json_object(operations, _MEMBERS)
_STEP = f"{_JSON}, observed_at, revision"


async def page(transaction: ReadTransaction, query: OperationPageQuery, scope: Scope) -> OperationPage:
    """One page of the operations."""
    belongs = ("operations", str(query.order), query.fingerprint())
    found = listing(query, scope)
    rows, following = await paging.read(transaction, found, query.cursor, query.limit, belongs=belongs)
    return OperationPage([text for (text,) in rows], following)


def listing(query: OperationPageQuery, scope: Scope) -> Listing:
    """Indexes operations_by_… of the filter or of the order, operations_active."""
    select = f"SELECT {paging.selected(_JSON, query.order)} FROM operations"  # noqa: S608  names are our own
    return Listing(select, lambda bind: [*query.conditions(bind), *scope.conditions(bind)], query.order)


async def by_id(transaction: ReadTransaction, operation_id: str, scope: Scope) -> str | None:
    """The operation as a JSON object. Index: the primary key."""
    arguments = Arguments()
    visible = where([f"id = {arguments.bind(operation_id)}", *scope.conditions(arguments.bind)])
    for (text,) in await transaction.fetch(f"SELECT {_JSON} FROM operations {visible}", *arguments):  # noqa: S608  ours
        return str(text)
    return None


class Step(NamedTuple):
    """The newest step of an operation."""

    operation: Operation
    observed_at: datetime
    revision: Revision


async def step_of(transaction: ReadTransaction, operation_id: str, scope: Scope = EVERYTHING) -> Step | None:
    """Index: the primary key."""
    arguments = Arguments()
    visible = where([f"id = {arguments.bind(operation_id)}", *scope.conditions(arguments.bind)])
    return next(iter(await _steps(transaction, visible, *arguments)), None)


async def overdue(transaction: ReadTransaction, now: datetime) -> list[Step]:
    """Operations that have not ended at their deadline. Index operations_active, which has few entries."""
    return await _steps(transaction, "WHERE ended_at IS NULL AND deadline <= $1", now)


async def under_way(transaction: ReadTransaction) -> Mapping[OperationState, int]:
    """The number of operations in each state that is no end. Index operations_active, which has few entries."""
    rows = await transaction.fetch("SELECT state, count(*) FROM operations WHERE ended_at IS NULL GROUP BY state")
    return {OperationState(state): count for state, count in rows}


async def parts_under_way(transaction: ReadTransaction, parent: Uid) -> list[Step]:
    """Operations of an operation on many VMs that nobody has asked to stop yet. Index operations_by_parent."""
    return await _steps(transaction, "WHERE parent = $1 AND state IN ('pending', 'running')", parent)


async def _steps(transaction: ReadTransaction, clause: str, *arguments: object) -> list[Step]:
    rows = await transaction.fetch(f"SELECT {_STEP} FROM operations {clause}", *arguments)  # noqa: S608  our own
    return [Step(Operation.model_validate_json(text), observed_at, revision) for text, observed_at, revision in rows]


async def active_on(transaction: ReadTransaction, vm: Uid, cluster: ClusterName | None) -> str | None:
    """The operation on a VM that has not ended, as a JSON object. Index operations_active."""
    statement = f"SELECT {_JSON} FROM operations {_ACTIVE} ORDER BY requested_at DESC LIMIT 1"  # noqa: S608  our own
    for (text,) in await transaction.fetch(statement, vm, cluster):
        return str(text)
    return None


class ActiveOperation(NamedTuple):
    id: Uid
    action: Action
    accepted: bool


class Acting(NamedTuple):
    """What acts on a VM already."""

    operations: Sequence[ActiveOperation] = ()
    migration: str | None = None
    """Its name, whoever began it."""

    @property
    def is_nothing(self) -> bool:
        return not self.operations and self.migration is None


async def acting_on(transaction: ReadTransaction, vm: Vm) -> Acting:
    """Indexes operations_active, migrations_active."""
    statement = f"SELECT id, action, accepted FROM operations {_ACTIVE}"  # noqa: S608  names are our own
    active = await transaction.fetch(statement, vm.id, vm.cluster)
    statement = """
        SELECT name FROM migrations WHERE NOT completed AND deleted_at IS NULL
        AND cluster = $1 AND namespace = $2 AND vm_name = $3 LIMIT 1
    """
    migration = await transaction.driver.fetchval(statement, vm.cluster, vm.namespace, vm.name)
    return Acting([ActiveOperation(*row) for row in active], migration)


async def acting(transaction: ReadTransaction) -> Callable[[Vm], Acting]:
    """The same for any VM. Two indexes are read, which have few entries: operations_active, migrations_active."""
    statement = "SELECT vm_id, cluster, id, action, accepted FROM operations WHERE ended_at IS NULL AND NOT dry_run"
    active: dict[tuple[Uid, ClusterName | None], list[ActiveOperation]] = {}
    for vm_id, cluster, *operation in await transaction.fetch(statement):
        active.setdefault((vm_id, cluster), []).append(ActiveOperation(*operation))
    statement = """
        SELECT cluster, namespace, vm_name, name FROM migrations WHERE NOT completed AND deleted_at IS NULL
    """
    migrations = {tuple(place): str(name) for *place, name in await transaction.fetch(statement)}
    return lambda vm: Acting(active.get((vm.id, vm.cluster), ()), migrations.get((vm.cluster, vm.namespace, vm.name)))


_ACTIVE = "WHERE vm_id = $1 AND cluster = $2 AND ended_at IS NULL AND NOT dry_run"
