"""Operations on many VMs as people ask for them, and pause, resume and cancel them.

One is stored only if no step of any other is newer than what its plan was made from (a compare-and-set over the
subjects of all of them). So a VM waits for its turn in one of them at most, whichever apis were asked.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from summit_api.access.principal import Scope
from summit_api.bulk.payloads import BulkRequest
from summit_api.bulk.plan import Plan, Wish, filters_json, plan, token_of
from summit_api.edits.event_log import ChangedMeanwhileError, EventLog
from summit_api.limits.turns import Turns
from summit_api.operations.errors import (
    KeyReusedError,
    ListChangedError,
    OperationEndedError,
    OperationNotFoundError,
    TablesBehindError,
    TooManyVmsError,
)
from summit_api.operations.ids import operation_id, step_writer
from summit_api.operations.objections import Objections
from summit_api.query import bulk_operations as query
from summit_api.query.bulk_operations import BulkStep
from summit_api.query.transaction.position import Position
from summit_api.query.transaction.read_transaction import ReadModels, ReadTransaction
from summit_api.revisions import Revisions
from summit_api.settings import ApiTimes
from summit_models.bulk_operation import BulkOperation, BulkState, canceling, paused, resumed
from summit_models.contract import Revision, Uid
from summit_models.event import BulkOperationEvent, bulk_operation_event
from summit_models.subject import BULK_OPERATIONS, bulk_operation_subject
from summit_runtime.nats.publishing.append import Basis

_KEYS = UUID("b1a6c0de-3d6e-5e0a-9d63-6c1f7d2a9e44")
"""Namespace of the ids that are made of a caller and their key. Any UUID, but for ever this one."""
_ATTEMPTS = 5
"""Steps of other such operations are rare; each costs an attempt."""
PLANS_AT_ONCE = 2
"""A plan of 5 000 VMs takes half a second of this process. Each caller has one at a time."""
_MAX_EVENT_BYTES = 240 * 1024
"""Below what the stream takes, with room for a longer message in a later step."""

Make = Callable[[BulkOperation], BulkOperation]


@dataclass(frozen=True, kw_only=True)
class BulkWanted:
    """What somebody asks for."""

    wish: Wish
    request: BulkRequest
    caller: str
    by: str | None
    key: str | None = None
    """The Idempotency-Key."""

    @property
    def id(self) -> Uid:
        return operation_id(_KEYS, self.caller, self.key)


@dataclass(frozen=True)
class Planned:
    """A plan, and as of when."""

    plan: Plan
    position: Position
    as_of: datetime | None


class BulkOperations:
    """Operations on many VMs as the api makes and changes them."""

    def __init__(
        self, log: EventLog, read_models: ReadModels, objections: Objections, revisions: Revisions, times: ApiTimes
    ) -> None:
        self._log = log
        self._read_models = read_models
        self._objections = objections
        self._revisions = revisions
        self._times = times
        self._turns = Turns(PLANS_AT_ONCE)

    async def plan(self, wanted: BulkWanted, now: datetime) -> Planned:
        """What it would do. Stores nothing. Raises TooManyVmsError."""
        async with self._turns.take(wanted.caller), self._read_models.transaction() as transaction:
            return await self._planned(transaction, wanted.wish, now)

    async def ask(self, wanted: BulkWanted, now: datetime) -> BulkStep:
        """Store the operation that was confirmed, or find the one that the same request has made before.

        Raises ListChangedError with the plan of now, KeyReusedError, TooManyVmsError, TablesBehindError, and what
        EventLog.append raises.
        """
        async with self._turns.take(wanted.caller):
            return await self._ask(wanted, now)

    async def _ask(self, wanted: BulkWanted, now: datetime) -> BulkStep:
        id_ = wanted.id
        for _ in range(_ATTEMPTS):
            async with self._read_models.transaction() as transaction:
                if wanted.key and (known := await _same(transaction, id_, wanted)):
                    return known
                planned = await self._planned(transaction, wanted.wish, now)
                read = transaction.revision
            newest = await self._log.newest(BULK_OPERATIONS)
            if newest > read:
                await self._wait_for(newest)
                continue
            if planned.plan.token is None or planned.plan.token != wanted.request.confirm:
                raise _list_changed(planned.plan)
            event = _event(_confirmed(id_, wanted, planned.plan, now), Revision(0), now)
            try:
                stored = await self._log.append([event], Basis(BULK_OPERATIONS, newest))
            except ChangedMeanwhileError:
                continue
            return BulkStep(event.data, now, stored.revision)
        raise ChangedMeanwhileError("other bulk operations were stored at the same time; nothing was done, try again")

    async def pause(self, id_: str, scope: Scope, by: str, now: datetime) -> tuple[BulkStep, bool]:
        """The step, and whether it is a new one. Raises OperationNotFoundError, OperationEndedError."""
        return await self._change(id_, scope, BulkState.PAUSED, lambda o: paused(o, f"{by} has paused it"), now)

    async def resume(self, id_: str, scope: Scope, by: str, now: datetime) -> tuple[BulkStep, bool]:
        return await self._change(id_, scope, BulkState.RUNNING, lambda o: resumed(o, f"{by} has resumed it"), now)

    async def cancel(self, id_: str, scope: Scope, by: str, now: datetime) -> tuple[BulkStep, bool]:
        return await self._change(id_, scope, BulkState.CANCELING, lambda o: canceling(o, f"{by} has canceled it"), now)

    async def known(self, id_: str, scope: Scope) -> BulkStep:
        """Raises OperationNotFoundError."""
        async with self._read_models.transaction() as transaction:
            step = await query.step_of(transaction, id_, scope)
        if step is None:
            raise OperationNotFoundError(f"there is no bulk operation with the id {id_!r}")
        return step

    async def _change(
        self, id_: str, scope: Scope, wanted: BulkState, make: Make, now: datetime
    ) -> tuple[BulkStep, bool]:
        while True:
            step = await self.known(id_, scope)
            operation = step.operation
            if operation.state is wanted:
                return step, False
            try:
                after = make(operation)
            except ValueError as error:
                raise OperationEndedError(f"bulk operation {operation.id} is {operation.state}") from error
            event, subject = _event(after, step.revision, now), bulk_operation_subject(operation.id)
            try:
                stored = await self._log.append([event], Basis(subject, step.revision))
            except ChangedMeanwhileError:
                continue
            return BulkStep(after, now, stored.revision), True

    async def _planned(self, transaction: ReadTransaction, wish: Wish, now: datetime) -> Planned:
        made = await plan(transaction, wish, self._objections, now)
        return Planned(made, transaction.position, transaction.as_of)

    async def _wait_for(self, revision: Revision) -> None:
        if not await self._revisions.wait_for(revision, self._times.applied_seconds):
            raise TablesBehindError(
                f"the tables do not have revision {revision}, the newest step of a bulk operation; nothing was done, "
                "try again"
            )


async def _same(transaction: ReadTransaction, id_: Uid, wanted: BulkWanted) -> BulkStep | None:
    """The operation that the caller has made with this key. Raises KeyReusedError if it was another request."""
    known = await query.step_of(transaction, id_)
    if known is None:
        return None
    was = (token_of(known.operation), known.operation.filters)
    if was != (wanted.request.confirm, filters_json(wanted.wish.filters)):
        detail = f"this Idempotency-Key was used for another request, bulk operation {id_}: use a new key"
        raise KeyReusedError(detail, operation=id_)
    return known


def _confirmed(id_: Uid, wanted: BulkWanted, plan: Plan, now: datetime) -> BulkOperation:
    request, vms = wanted.request, plan.vms
    return BulkOperation(
        id=id_,
        action=request.action,
        parameters=dict(wanted.wish.parameters),
        filters=filters_json(wanted.wish.filters),
        by=wanted.by,
        timeout_seconds=request.timeout_seconds,
        max_parallel_per_cluster=request.per_cluster,
        max_parallel_per_node=request.per_node,
        max_failures=request.max_failures,
        targets=plan.targets(),
        total=len(vms),
        datacenters=sorted({vm.datacenter for vm in vms}),
        namespaces=sorted({vm.namespace or "" for vm in vms}),
        message=f"{wanted.caller} has confirmed it",
        requested_at=now,
        deadline=now + timedelta(seconds=request.timeout),
    )


def _event(operation: BulkOperation, basis: Revision, now: datetime) -> BulkOperationEvent:
    """Raises TooManyVmsError for VMs that are in so many places that their ids do not fit."""
    event = bulk_operation_event(operation, basis, writer=step_writer(), time=now)
    if len(event.model_dump_json()) > _MAX_EVENT_BYTES:
        raise TooManyVmsError(
            f"the ids of these {operation.total} VMs in {len(operation.namespaces)} namespaces do not fit into one "
            "event: narrow the filters"
        )
    return event


def _list_changed(made: Plan) -> ListChangedError:
    shown = made.shown().model_dump(mode="json")
    members = {name: shown[name] for name in ("vms", "refused", "confirm")}
    return ListChangedError(
        "the VMs that it would act on are not those that were confirmed; nothing was stored. Look at them, and confirm "
        "these",
        **members,
    )
