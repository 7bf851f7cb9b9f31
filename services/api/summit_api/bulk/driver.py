"""Brings operations on many VMs to their end: each api does it, and none is the leader.

Everything is read from the tables, decided, and appended in one step as a single operation is: stored only if no step
of any operation of the cluster is newer than what was read. So two apis never act on a VM twice and never exceed a
limit, whenever one of them is killed or wakes up. A VM that is not acted on also gets an operation, which has ended
when it is stored. So what happened to each VM is in the log, and an api that slept through a cancellation finds a
newer step in each cluster where it had something to begin.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Sequence
from datetime import datetime
from typing import TypeVar, cast

from summit_api.access.principal import EVERYTHING
from summit_api.bulk import turns
from summit_api.bulk.turns import Counts, Stop
from summit_api.edits.event_log import ChangedMeanwhileError, EditError, EventLog
from summit_api.operations.asking import Operations
from summit_api.operations.errors import (
    ClusterUnavailableError,
    OperationAcceptedError,
    OperationEndedError,
    OperationNotFoundError,
    TablesBehindError,
)
from summit_api.operations.ids import step_writer
from summit_api.query import bulk_operations as query
from summit_api.query import operations
from summit_api.query.bulk_operations import BulkStep, Waiting
from summit_api.query.selection.filters import VmFilters
from summit_api.query.transaction.errors import QueryError
from summit_api.query.transaction.read_transaction import ReadModels, ReadTransaction
from summit_api.revisions import Revisions
from summit_api.settings import ApiTimes
from summit_models.bulk_operation import BulkOperation, BulkState, ClusterTargets, Target
from summit_models.contract import Revision, Uid
from summit_models.event import bulk_operation_event, operation_event
from summit_models.operation import Operation, OperationState
from summit_models.subject import bulk_operation_subject, operations_subject
from summit_runtime.condition import Condition
from summit_runtime.nats.connection.clock import Clock
from summit_runtime.nats.publishing.append import Basis
from summit_runtime.operation_metrics import count_end
from summit_runtime.waiting import wait

logger = logging.getLogger("summit.api")

MAX_EVENTS = 200
"""Stored at once. NATS takes a thousand, but the more there are, the longer others have to be quiet meanwhile."""
AT_ONCE = 4
"""Clusters, or cancellations. Each reads in a transaction, and requests need most of the pool."""
REST = 2
"""A step is followed by a pause of so many times its length: thousands of VMs leave the process to others."""

T = TypeVar("T")


class Driver:
    """`drive` runs while there is a connection to NATS; `changed` is set when there may be something to do."""

    def __init__(
        self,
        log: EventLog,
        read_models: ReadModels,
        operations_: Operations,
        revisions: Revisions,
        *,
        times: ApiTimes,
        changed: asyncio.Event,
    ) -> None:
        self._log = log
        self._read_models = read_models
        self._operations = operations_
        self._revisions = revisions
        self._times = times
        self._changed = changed
        self._known: dict[Uid, BulkStep] = {}
        """The newest steps of those that have not ended, as they were read: each has thousands of ids."""
        self._targets: dict[Uid, dict[str, dict[Uid, Target]]] = {}
        """Their VMs by cluster, and by the id of the operation that each of them will have."""
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._odd = Condition(logger)

    async def drive(self, clock: Clock) -> None:
        """Go on for ever; while Postgres or NATS is away it waits."""
        while True:
            self._changed.clear()
            began = time.monotonic()
            try:
                goes_on = await self.step(clock.now())
            except (QueryError, EditError) as error:
                logger.debug("bulk operations wait: %s", error)
                goes_on = False
            rest = (time.monotonic() - began) * REST
            await asyncio.sleep(min(max(rest, self._times.bulk_rest_seconds), self._times.bulk_look_seconds))
            if not goes_on:
                await wait(self._changed, self._times.bulk_look_seconds)

    async def step(self, now: datetime) -> bool:
        """Do all that can be done at this moment, in all clusters side by side.

        Gives whether there may be more to do at once. Raises QueryError without Postgres, EditError without NATS.
        """
        async with self._read_models.transaction() as transaction:
            active = await self._active(transaction)
            found = [(step, await query.counts(transaction, step.operation.id)) for step in active]
        return any(await _all([self._advance(step, counts, now) for step, counts in found]))

    async def _active(self, transaction: ReadTransaction) -> list[BulkStep]:
        """The newest steps of all that have not ended; what has not changed is not read again."""
        revisions = dict(await query.active_revisions(transaction))
        known = {id_: step for id_, step in self._known.items() if revisions.get(id_) == step.revision}
        for id_ in revisions.keys() - known.keys():
            if step := await query.step_of(transaction, id_):
                known[id_] = step
        self._targets = {id_: targets for id_, targets in self._targets.items() if id_ in known}
        self._known = known
        return [known[id_] for id_ in revisions if id_ in known]

    async def _advance(self, step: BulkStep, counts: Counts, now: datetime) -> bool:
        """One operation on many VMs. Raises EditError, QueryError."""
        operation = step.operation
        try:
            if last := turns.end(operation, counts, now):
                await self._end(last, step, now)
                return False
            if operation.state is BulkState.CANCELING:
                await self._cancel_parts(operation, now)
            return await self._turns(step, counts, now)
        except ChangedMeanwhileError:
            return True
        except ValueError as error:  # a newer version's filter, say, or what nobody may have written
            self._odd.holds("bulk operation %s does not go on: %s", operation.id, error, cause=operation.id)
            return False

    async def _turns(self, step: BulkStep, counts: Counts, now: datetime) -> bool:
        """All clusters side by side in which it is somebody's turn. Gives whether more may follow at once."""
        operation, stop = step.operation, turns.stop(step.operation, counts, now)
        if operation.state is BulkState.PAUSED and stop is None:
            return False
        clusters = [
            targets
            for targets in operation.targets
            if turns.waits_in(counts, targets) and (stop or _has_room(operation, counts, targets))
        ]
        return any(await _all([self._turn(step, targets, stop, now) for targets in clusters]))

    async def _turn(self, step: BulkStep, targets: ClusterTargets, stop: Stop | None, now: datetime) -> bool:
        """The VMs of one cluster whose turn it is. Gives whether more may follow at once."""
        async with self._at_once:
            async with self._read_models.transaction() as transaction:
                if not await query.is_newest(transaction, step):
                    return True
                parts = await self._parts(transaction, step.operation, targets, stop, now)
                read = transaction.revision
            if not parts:
                return False
            subject = operations_subject(targets.cluster)
            newest = await self._log.newest(subject)
            if newest > read:
                await self._revisions.wait_for(newest, self._times.applied_seconds)
                return True
            events = [operation_event(part, Revision(0), writer=step_writer(), time=now) for part in parts]
            await self._log.append(events, Basis(subject, newest))
        for part in parts:
            count_end(part)
        logger.debug("bulk operation %s: %d turns in cluster %s", step.operation.id, len(parts), targets.cluster)
        return len(parts) == MAX_EVENTS or any(part.has_ended for part in parts)

    async def _parts(
        self,
        transaction: ReadTransaction,
        operation: BulkOperation,
        targets: ClusterTargets,
        stop: Stop | None,
        now: datetime,
    ) -> list[Operation]:
        """The operations to store next."""
        filters = VmFilters() if stop else VmFilters.model_validate(operation.filters)
        waiting = await query.waiting(transaction, targets.cluster, self._by_part(operation, targets), filters)
        if stop:
            return [turns.left_out(turns.begun(operation, targets, vm, now), stop) for vm in waiting[:MAX_EVENTS]]
        in_use = await query.nodes_in_use(transaction, operation.id, targets.cluster)
        chosen = turns.chosen(operation, waiting, in_use)[:MAX_EVENTS]
        return await self._checked(transaction, operation, targets, chosen, now)

    def _by_part(self, operation: BulkOperation, targets: ClusterTargets) -> dict[Uid, Target]:
        """Kept, since making thousands of ids takes a while."""
        of_operation = self._targets.setdefault(operation.id, {})
        if targets.cluster not in of_operation:
            of_operation[targets.cluster] = {
                operation.part_id(targets.cluster, target.id): target for target in targets.each()
            }
        return of_operation[targets.cluster]

    async def _checked(
        self,
        transaction: ReadTransaction,
        operation: BulkOperation,
        targets: ClusterTargets,
        chosen: Sequence[Waiting],
        now: datetime,
    ) -> list[Operation]:
        """Those of VMs that would be refused have ended; those of a cluster that nobody has, or whose present
        nobody knows, wait on.
        """
        vms = await query.vms_of(transaction, targets.cluster, [vm.target.id for vm in chosen])
        acting = await operations.acting(transaction)
        parts: list[Operation] = []
        for waiting in chosen:
            part = turns.begun(operation, targets, waiting, now)
            why = turns.lost(waiting)
            if why is None:
                vm = vms[waiting.target.id]
                found = self._operations.objections.to(operation.action, vm, operation.parameters, acting(vm), now)
                if isinstance(found, ClusterUnavailableError | TablesBehindError):
                    continue
                why = Stop(OperationState.SKIPPED, str(found)) if found else None
            parts.append(turns.left_out(part, why) if why else part)
        return parts

    async def _cancel_parts(self, operation: BulkOperation, now: datetime) -> None:
        """Cancel what is under way, as a person would one by one."""
        async with self._read_models.transaction() as transaction:
            under_way = await operations.parts_under_way(transaction, operation.id)
        await _all([self._cancel_part(part.id, now) for part, *_ in under_way if not part.cannot_be_taken_back])

    async def _cancel_part(self, id_: Uid, now: datetime) -> None:
        async with self._at_once:
            with contextlib.suppress(OperationAcceptedError, OperationEndedError, OperationNotFoundError):
                await self._operations.cancel(id_, EVERYTHING, "its bulk operation", now)

    async def _end(self, last: BulkOperation, step: BulkStep, now: datetime) -> None:
        event = bulk_operation_event(last, step.revision, writer=step_writer(), time=now)
        await self._log.append([event], Basis(bulk_operation_subject(last.id), step.revision))
        logger.info(
            "bulk operation %s (%s of %d VMs) is %s: %s", last.id, last.action, last.total, last.state, last.message
        )


def _has_room(operation: BulkOperation, counts: Counts, targets: ClusterTargets) -> bool:
    of_cluster: Counter[OperationState] = counts.get(targets.cluster, Counter())
    return sum(of_cluster[state] for state in turns.UNDER_WAY) < operation.max_parallel_per_cluster


async def _all(works: Sequence[Awaitable[T]]) -> list[T]:
    """Wait for all of them, side by side. Raises the first of their errors, when all have ended."""
    results = await asyncio.gather(*works, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return cast(list[T], results)
