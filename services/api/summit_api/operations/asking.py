"""Ask for an operation: what is known beforehand is checked, then the operation is appended to the log as `pending`.

At most one operation acts on a VM at a time, whichever api was asked. So the check and the append are one step: the
operation is stored only if the newest step of any operation of the cluster is one that the check has seen
(`Nats-Expected-Last-Subject-Sequence` over the subjects of all operations of the cluster). Steps that the tables do not
have yet are read from the log: a cluster with a hundred operations has a step every few milliseconds, so the tables are
never at its newest one. If one of them is about the VM, everything is read and checked again.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from pydantic import JsonValue

from summit_api.access.principal import Scope
from summit_api.edits.event_log import ChangedMeanwhileError, EventLog
from summit_api.edits.target import Editable, VmNotFoundError
from summit_api.freshness import Freshness
from summit_api.limits.turns import Turns
from summit_api.operations.errors import (
    KeyReusedError,
    OperationAcceptedError,
    OperationEndedError,
    OperationError,
    OperationNotFoundError,
    TablesBehindError,
)
from summit_api.operations.ids import operation_id, step_writer
from summit_api.operations.metrics import REFUSED
from summit_api.operations.objections import Objections
from summit_api.query import operations as query
from summit_api.query.operations import Step
from summit_api.query.transaction.read_transaction import ReadModels, ReadTransaction
from summit_api.revisions import Revisions
from summit_api.settings import ApiTimes
from summit_models.contract import Revision, Uid
from summit_models.event import OperationEvent, operation_event
from summit_models.operation import Action, Operation, OperationState, canceling, ended
from summit_models.subject import operations_subject, same_operation_subject, subject_of_operation
from summit_models.vm import Vm
from summit_runtime.nats.publishing.append import Basis
from summit_runtime.operation_metrics import count_end
from summit_runtime.waiting import wait

FindVm = Callable[[ReadTransaction], Awaitable[Editable[Vm]]]

_KEYS = UUID("6f2d1c3e-5f0b-5c7e-9d0a-3a0f7a7c9b11")
"""Namespace of the ids that are made of a caller and their key. Any UUID, but for ever this one."""
_ATTEMPTS = 20
"""A step of another operation on the VM between check and append costs an attempt, about 10 ms."""
_PATIENCE_SECONDS = 10.0
"""A step of any operation in the cluster between the look at the log and the append costs an attempt, about 2 ms on a
machine that is not busy. A cluster that is so busy for so long is answered with "try again"."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What somebody asks for."""

    action: Action
    parameters: dict[str, JsonValue]
    timeout_seconds: int
    dry_run: bool
    caller: str
    by: str | None
    """The caller's name as everybody may read it; None for anonymous ones."""
    key: str | None = None
    """The Idempotency-Key."""

    @property
    def id(self) -> Uid:
        """Of the operation. Without a key it is another one each time."""
        return operation_id(_KEYS, self.caller, self.key)


class Operations:
    """Operations as the api makes, cancels and awaits them."""

    def __init__(
        self, log: EventLog, read_models: ReadModels, freshness: Freshness, revisions: Revisions, times: ApiTimes
    ) -> None:
        self._log = log
        self._read_models = read_models
        self.objections = Objections(freshness)
        self._revisions = revisions
        self._times = times
        self._turns = Turns(1)
        """An append concerns all others of its cluster, so many at once only undo each other's attempts."""

    async def ask(self, wanted: Wanted, find: FindVm, now: datetime) -> Step:
        """Store the operation, or find the one that the same request has made before.

        Raises an OperationError that says why it is refused, and what `find` and EventLog.append raise.
        """
        try:
            async with self._turns.take(wanted.caller):
                return await self._ask(wanted, find, now)
        except OperationError as error:
            REFUSED.labels(error.counted).inc()
            raise

    async def _ask(self, wanted: Wanted, find: FindVm, now: datetime) -> Step:
        for _ in range(_ATTEMPTS):
            async with self._read_models.transaction() as transaction:
                if known := await self._same(transaction, wanted, find):
                    return known
                vm = (await find(transaction)).state
                refused = await self._refused(transaction, wanted, vm, now)
                read = transaction.revision
            if refused and not (wanted.key and vm.cluster):  # one that was added by hand has no subject to look at
                raise refused
            subject = operations_subject(vm.cluster or "")
            operation = _pending(wanted, vm, now)
            if not refused:
                if stored := await self._store(operation, subject, read):
                    return stored
            elif await self._newest(operation, subject, read) is not None:
                raise refused  # and the log has no operation of this key that the tables lack
        raise _busy()

    async def _store(self, operation: Operation, subject: str, read: Revision) -> Step | None:
        """Store it onto the newest step in the cluster. None as `_newest`; raises as that and EventLog.append."""
        event = operation_event(operation, Revision(0), writer=step_writer(), time=operation.requested_at)
        seen, until = read, time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < until:
            newest = await self._newest(operation, subject, seen)
            if newest is None:
                return None
            try:
                stored = await self._log.append([event], Basis(subject, newest), catches_up=False, unique=True)
            except ChangedMeanwhileError:
                seen = max(seen, newest)
            else:
                return Step(operation, operation.requested_at, stored.revision)
        raise _busy()

    async def _newest(self, operation: Operation, subject: str, seen: Revision) -> Revision | None:
        """The newest step in the cluster, unless one since `seen` concerns the operation: None, and the tables have it.

        Raises TablesBehindError.
        """
        newest = await self._log.newest(subject)
        # The caller may have used the key in another cluster.
        used = await self._log.newest(same_operation_subject(operation.id))
        if used:
            await self._wait_for(used)
            return None
        if newest > seen and await _concern(self._log.bodies(subject, seen, newest), operation):
            await self._wait_for(newest)
            return None
        return newest

    async def check(self, wanted: Wanted, find: FindVm, now: datetime) -> Vm:
        """The VM, if nothing is known against the operation. Raises as `ask`, and stores nothing."""
        async with self._read_models.transaction() as transaction:
            vm = (await find(transaction)).state
            await self._check(transaction, wanted, vm, now)
        return vm

    async def cancel(self, operation_id: str, scope: Scope, by: str, now: datetime) -> Step:
        """Cancel an operation that is pending, or ask its watcher to stop it while it can be stopped.

        Raises OperationNotFoundError, OperationEndedError, OperationAcceptedError, and what EventLog.append raises.
        """
        while True:
            async with self._read_models.transaction() as transaction:
                step = await _found(transaction, operation_id, scope)
            operation = step.operation
            if operation.has_ended:
                raise OperationEndedError(f"operation {operation.id} has ended: it is {operation.state}")
            if operation.state is OperationState.CANCELING:
                return step
            if operation.cannot_be_taken_back:
                raise OperationAcceptedError(
                    f"the cluster has accepted the {operation.action} of VM {operation.vm_name}, and KubeVirt cannot "
                    "take it back: the operation goes on and reports its outcome"
                )
            if operation.state is OperationState.PENDING:
                after = ended(operation, OperationState.CANCELED, f"{by} has canceled it", now)
            else:
                after = canceling(operation, f"{by} wants it canceled")
            try:
                revision = await self._append(after, step, now)
            except ChangedMeanwhileError:
                continue
            count_end(after)
            return Step(after, now, revision)

    async def _append(self, after: Operation, before: Step, now: datetime) -> Revision:
        event = operation_event(after, before.revision, writer=step_writer(), time=now)
        return (await self._log.append([event], Basis(subject_of_operation(after), before.revision))).revision

    async def outcome(self, asked: Step, within: timedelta) -> Step:
        """The operation when it has ended, or as it is after this time. The tables may not have it yet."""
        deadline = datetime.now().astimezone() + within
        while True:
            changed = self._revisions.next()
            async with self._read_models.transaction() as transaction:
                step = await query.step_of(transaction, asked.operation.id) or asked
            left = (deadline - datetime.now().astimezone()).total_seconds()
            if step.operation.has_ended or left <= 0:
                return step
            await wait(changed, left)

    async def _same(self, transaction: ReadTransaction, wanted: Wanted, find: FindVm) -> Step | None:
        """The operation that the same request has made before. Raises KeyReusedError if it was another request.

        Its VM may be gone by now, perhaps by this operation.
        """
        known = await query.step_of(transaction, wanted.id) if wanted.key else None
        if known is None:
            return None
        operation = known.operation
        try:
            vm = (await find(transaction)).state
            is_same_vm = (vm.id, vm.cluster) == (operation.vm_id, operation.cluster)
        except VmNotFoundError as error:
            is_same_vm = all(getattr(operation, name) == value for name, value in error.sought.items())
            if not (is_same_vm and error.sought):
                raise
        if not is_same_vm or not _is_same(wanted, operation):
            id_ = known.operation.id
            detail = f"this Idempotency-Key was used for another request, operation {id_}: use a new key"
            raise KeyReusedError(detail, operation=id_)
        return known

    async def _refused(
        self, transaction: ReadTransaction, wanted: Wanted, vm: Vm, now: datetime
    ) -> OperationError | None:
        try:
            await self._check(transaction, wanted, vm, now)
        except OperationError as error:
            return error
        return None

    async def _check(self, transaction: ReadTransaction, wanted: Wanted, vm: Vm, now: datetime) -> None:
        """Raises RefusedError or ClusterUnavailableError for what is known to be in the way."""
        acting = await query.acting_on(transaction, vm)
        if found := self.objections.to(wanted.action, vm, wanted.parameters, acting, now):
            raise found

    async def _wait_for(self, revision: Revision) -> None:
        if not await self._revisions.wait_for(revision, self._times.applied_seconds):
            raise TablesBehindError(
                f"the tables do not have revision {revision}, the newest step of an operation in this cluster; "
                "nothing was done, try again"
            )


async def _concern(steps: AsyncIterator[bytes], operation: Operation) -> bool:
    """Whether one of the steps is of this operation or of another one on its VM, or cannot be read."""
    async for body in steps:
        try:
            other = OperationEvent.model_validate_json(body, by_alias=True, by_name=False).data
        except ValueError:
            return True
        if other.id == operation.id or other.vm_id == operation.vm_id:
            return True
    return False


def _busy() -> ChangedMeanwhileError:
    return ChangedMeanwhileError(
        "other operations in the cluster were stored at the same time, again and again; nothing was done, try again"
    )


async def _found(transaction: ReadTransaction, operation_id: str, scope: Scope) -> Step:
    known = await query.step_of(transaction, operation_id, scope)
    if known is None:
        raise OperationNotFoundError(f"there is no operation with the id {operation_id!r}")
    return known


def _is_same(wanted: Wanted, operation: Operation) -> bool:
    """Whether the same request has made the operation, VM apart."""
    was = (operation.action, operation.parameters, operation.dry_run)
    return was == (wanted.action, wanted.parameters, wanted.dry_run)


def _pending(wanted: Wanted, vm: Vm, now: datetime) -> Operation:
    return Operation(
        id=wanted.id,
        action=wanted.action,
        vm_id=vm.id,
        vm_name=vm.name,
        namespace=vm.namespace or "",
        cluster=vm.cluster or "",
        datacenter=vm.datacenter,
        parameters=wanted.parameters,
        dry_run=wanted.dry_run,
        by=wanted.by,
        requested_at=now,
        deadline=now + timedelta(seconds=wanted.timeout_seconds),
    )
