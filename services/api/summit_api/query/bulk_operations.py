"""Operations on many VMs: those that run, all that have ended, and what their turns depend on."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property, partial
from typing import Annotated, NamedTuple

from pydantic import Field

from summit_api.access.principal import EVERYTHING, Scope
from summit_api.query.pages import cursor, order, paging
from summit_api.query.pages.objects import json_object
from summit_api.query.pages.order import Order
from summit_api.query.pages.paging import Listing
from summit_api.query.selection.filters import Filters, RequestedSince, VmFilters, is_so, one_of, several
from summit_api.query.transaction.arguments import Arguments, where
from summit_api.query.transaction.read_transaction import ReadTransaction
from summit_api.shapes.bulk import BulkShown
from summit_models.bulk_operation import BulkOperation, BulkState, Target
from summit_models.contract import ClusterName, DatacenterId, Revision, Uid
from summit_models.operation import Action, OperationState
from summit_models.tables import bulk_operations
from summit_models.vm import Vm

MAX_LIMIT = 100
"""Each item counts its operations, which may be thousands."""
PIECE_ROWS = 100
"""VMs that are decoded at once, in a few milliseconds."""

_of = partial(one_of, model=BulkOperation)
_NEWEST_FIRST: Order = order.parse("-requestedAt", order.sortable(bulk_operations, "requested_at"), tie=(order.ID,))


class BulkPageQuery(Filters):
    """Which operations on many VMs, and which page of them."""

    action: Annotated[list[Action], _of("action")] = several("What was asked for")
    state: Annotated[list[BulkState], _of("state")] = several("State of the operation")
    by: Annotated[list[str], _of("by")] = several("Who asked")
    ended: Annotated[
        bool | None, is_so("ended_at", "ended_at IS NOT NULL", "ended_at IS NULL", model=BulkOperation)
    ] = Field(default=None, description="true: operations that have ended, well or not; false: those that have not")
    since: RequestedSince = None
    limit: int = Field(default=MAX_LIMIT, ge=1, le=MAX_LIMIT, description="Maximum number of items in one answer")
    cursor: str | None = Field(default=None, max_length=cursor.MAX_LENGTH, description="`next` of the page before")

    @cached_property
    def order(self) -> Order:
        return _NEWEST_FIRST


class BulkRow(NamedTuple):
    """An item of a list: the operation as a JSON object, and its children by state, None without any."""

    json: str
    counts: str | None


class BulkPage(NamedTuple):
    rows: list[BulkRow]
    next: str | None


_MEMBERS = {field.alias or name: name for name, field in BulkShown.model_fields.items()}
# Index operations_by_parent.
_COUNTS = """(
    SELECT json_object_agg(state, n)::text
    FROM (SELECT state, count(*) AS n FROM operations WHERE parent = bulk_operations.id GROUP BY state) AS counted
)"""


async def page(transaction: ReadTransaction, query: BulkPageQuery, scope: Scope) -> BulkPage:
    """One page, newest first."""
    belongs = ("bulk_operations", query.fingerprint())
    found = listing(query, scope)
    rows, following = await paging.read(transaction, found, query.cursor, query.limit, belongs=belongs)
    return BulkPage([BulkRow(*row) for row in rows], following)


def listing(query: BulkPageQuery, scope: Scope) -> Listing:
    """Indexes bulk_operations_by_age, bulk_operations_active. There are too few for an index of each filter."""
    columns = f"{json_object(bulk_operations, _MEMBERS)}, {_COUNTS}"
    select = f"SELECT {paging.selected(columns, query.order)} FROM bulk_operations"  # noqa: S608  names are our own
    return Listing(select, lambda bind: [*query.conditions(bind), *scope.covering(bind)], query.order)


class BulkStep(NamedTuple):
    """The newest step of an operation on many VMs."""

    operation: BulkOperation
    observed_at: datetime
    revision: Revision


async def step_of(transaction: ReadTransaction, id_: str, scope: Scope = EVERYTHING) -> BulkStep | None:
    """Index: the primary key."""
    arguments = Arguments()
    visible = where([f"id = {arguments.bind(id_)}", *scope.covering(arguments.bind)])
    return next(iter(await _steps(transaction, visible, *arguments)), None)


async def is_newest(transaction: ReadTransaction, step: BulkStep) -> bool:
    """Whether nobody has made another step since. Index: the primary key."""
    statement = "SELECT revision FROM bulk_operations WHERE id = $1"
    return bool(await transaction.driver.fetchval(statement, step.operation.id) == step.revision)


async def active(transaction: ReadTransaction) -> list[BulkStep]:
    """Those that have not ended. Index bulk_operations_active, which has few entries."""
    return await _steps(transaction, "WHERE ended_at IS NULL")


async def active_revisions(transaction: ReadTransaction) -> list[tuple[Uid, Revision]]:
    """The same without what they contain, for those who have read them before."""
    rows = await transaction.fetch("SELECT id, revision FROM bulk_operations WHERE ended_at IS NULL ORDER BY id")
    return [(id_, revision) for id_, revision in rows]


async def _steps(transaction: ReadTransaction, clause: str, *arguments: object) -> list[BulkStep]:
    statement = f"SELECT row_to_json(bulk_operations)::text, observed_at, revision FROM bulk_operations {clause}"  # noqa: S608  ours
    rows = await transaction.fetch(statement, *arguments)
    return [BulkStep(BulkOperation.model_validate_json(text), *rest) for text, *rest in rows]


async def counts(transaction: ReadTransaction, parent: Uid) -> dict[ClusterName, Counter[OperationState]]:
    """How many of its operations are in which state, by cluster. Index operations_by_parent."""
    statement = "SELECT cluster, state, count(*) FROM operations WHERE parent = $1 GROUP BY cluster, state"
    found: dict[ClusterName, Counter[OperationState]] = {}
    for cluster, state, count in await transaction.fetch(statement, parent):
        found.setdefault(cluster, Counter())[OperationState(state)] = count
    return found


async def begun(transaction: ReadTransaction, parents: Sequence[Uid]) -> set[tuple[ClusterName, Uid]]:
    """Cluster and id of the VMs that have had their turn. Index operations_by_parent."""
    rows = await transaction.fetch("SELECT cluster, vm_id FROM operations WHERE parent = ANY($1)", parents)
    return {(cluster, vm) for cluster, vm in rows}


async def candidates(
    transaction: ReadTransaction, filters: VmFilters, scope: Scope, limit: int
) -> AsyncIterator[Sequence[Vm]]:
    """All living VMs that a list with these filters has, piece by piece: others get their turn in between."""
    arguments = Arguments()
    wanted = where(["deleted_at IS NULL", *filters.conditions(arguments.bind), *scope.conditions(arguments.bind)])
    in_order = f"ORDER BY datacenter, cluster, namespace, name, id LIMIT {arguments.bind(limit)}"
    statement = f"SELECT row_to_json(vms)::text FROM vms {wanted} {in_order}"  # noqa: S608  placeholders only
    pieces = await transaction.driver.cursor(statement, *arguments)
    while rows := await pieces.fetch(PIECE_ROWS):
        yield [Vm.model_validate_json(text) for (text,) in rows]


class Waiting(NamedTuple):
    """A VM that waits for its turn."""

    target: Target
    name: str | None
    """None: the tables do not know it."""
    datacenter: DatacenterId | None
    """That of its cluster now: the cluster may be declared in another one since it was confirmed."""
    node: str | None
    lives: bool
    is_wanted: bool
    """It meets the filters that it met when it was confirmed."""


async def waiting(
    transaction: ReadTransaction, cluster: ClusterName, targets: Mapping[Uid, Target], filters: VmFilters
) -> list[Waiting]:
    """Which VMs of a cluster have not had their turn, by the id of the operation that each of them will have.

    Index: the primary keys of both tables.
    """
    arguments = Arguments()
    children, ids = arguments.bind(list(targets)), arguments.bind([target.id for target in targets.values()])
    wanted = " AND ".join(["TRUE", *filters.conditions(arguments.bind, indexed=False)])
    statement = f"""
        SELECT child, name, datacenter, node_name, vms.id IS NOT NULL AND deleted_at IS NULL, coalesce({wanted}, FALSE)
        FROM unnest({children}::text[], {ids}::text[]) WITH ORDINALITY AS target(child, vm, n)
        LEFT JOIN vms ON vms.id = target.vm AND vms.shown_by = {arguments.bind(cluster)}
        WHERE NOT EXISTS (SELECT FROM operations WHERE operations.id = target.child)
        ORDER BY n
    """  # noqa: S608  placeholders and names of our own
    rows = await transaction.fetch(statement, *arguments)
    return [Waiting(targets[child], *rest) for child, *rest in rows]


async def nodes_in_use(transaction: ReadTransaction, parent: Uid, cluster: ClusterName) -> list[str | None]:
    """Where the VMs are that it acts on in a cluster. Index operations_active."""
    statement = """
        SELECT node_name FROM operations
        LEFT JOIN vms ON vms.id = operations.vm_id AND vms.shown_by = operations.cluster
        WHERE operations.cluster = $2 AND operations.ended_at IS NULL AND operations.parent = $1
    """
    return [node for (node,) in await transaction.fetch(statement, parent, cluster)]


async def vms_of(transaction: ReadTransaction, cluster: ClusterName, ids: Sequence[Uid]) -> dict[Uid, Vm]:
    """Living VMs of a cluster. Index: the primary key."""
    statement = "SELECT row_to_json(vms)::text FROM vms WHERE shown_by = $1 AND id = ANY($2) AND deleted_at IS NULL"
    found = [Vm.model_validate_json(text) for (text,) in await transaction.fetch(statement, cluster, ids)]
    return {vm.id: vm for vm in found}
