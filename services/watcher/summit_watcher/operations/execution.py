"""Does one operation: decide, act, and again, until it has ended. The decisions are in `course`, pure.

A request goes out only while the claim is young: within `claim_seconds` of a stored step of ours. A watcher that was
suspended meanwhile stores another step first, and learns so whether it has been replaced.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import NamedTuple

from summit_models.contract import Uid
from summit_models.operation import (
    NEVER_REPEATED,
    NOT_BEGUN,
    Action,
    Operation,
    OperationState,
    accepted,
    claimed,
    ended,
    progressed,
)
from summit_runtime.backoff import Backoff
from summit_runtime.operation_metrics import count_end
from summit_runtime.steady import steady
from summit_runtime.waiting import completed, done_or_set, end, wait
from summit_watcher.inventory.cluster_cache import ClusterCache
from summit_watcher.kube.errors import StatusError, WatcherError
from summit_watcher.kube.transport import Change
from summit_watcher.metrics import CLAIM_TO_REQUEST_SECONDS
from summit_watcher.operations.asking import Answer, Asking, Reaction
from summit_watcher.operations.course import Act, next_act
from summit_watcher.operations.newest import Newest
from summit_watcher.operations.outcome import BY_INSTANCE, Observed, Outcome, Progress, Seen, seen
from summit_watcher.operations.requests import migration_name
from summit_watcher.operations.seen_migration import SeenMigration
from summit_watcher.operations.steps import LostOperationError, Make, Step, Steps
from summit_watcher.settings import WatcherTimes

logger = logging.getLogger("summit.watcher")


class Means(NamedTuple):
    """What the operations of one cluster share."""

    steps: Steps
    asking: Asking
    cache: ClusterCache
    newest: Newest
    times: WatcherTimes


class Execution:
    """One operation, from the moment when this watcher begins it or takes it over."""

    def __init__(self, step: Step, means: Means) -> None:
        self._step = step
        self._steps, self._asking, self._cache, self._newest, self._times = means
        self._may_be_done = step.operation.state is not OperationState.PENDING
        self._is_answered = False
        """The cluster has refused a second request because of what the first may have done: look, and ask no more."""
        self._answer = ""
        """The newest answer of the cluster."""
        self._not_aborted = ""
        """Why a migration that is to be canceled is not aborted yet."""
        self._stored_at = float("-inf")
        """When the last step that was stored was sent, at the earliest."""
        self._progress_at = float("-inf")
        self._begun_at: float | None = None
        """When it was begun here, until its request goes out."""
        self._again = Backoff(**means.times.ask_again._asdict())
        self._migration = SeenMigration()
        self._was_shown = False
        """The cluster cache has had the VM since we have it."""

    @property
    def operation(self) -> Operation:
        return self._step.operation

    async def run(self) -> None:
        """Do it to its end. Raises LostOperationError when somebody else has made the next step."""
        acts: Mapping[Act, Callable[[], Awaitable[None]]] = {
            Act.CLAIM: self._begin,
            Act.ASK: self._ask,
            Act.OBSERVE: self._observe,
            Act.EXPIRE: partial(self._end, OperationState.EXPIRED, NOT_BEGUN),
            Act.CANCEL: partial(self._end, OperationState.CANCELED, "canceled before the cluster was asked"),
            Act.GIVE_UP: self._give_up,
        }
        while (act := self._next_act()) is not Act.NONE:
            await acts[act]()

    def _next_act(self) -> Act:
        newest = self._newest[self.operation.id]
        if newest.revision > self._step.revision:
            if newest.operation.has_ended or newest.operation.executor != self._steps.writer:
                raise LostOperationError(self.operation.id)
            self._step = newest  # the api wants it canceled
        act = next_act(self.operation, self._steps.writer, self._steps.now(), may_be_done=self._may_be_done)
        return Act.OBSERVE if act is Act.ASK and self._is_answered else act

    # Claim

    async def _begin(self) -> None:
        """Claim it when the cluster can be asked at once: nobody knows later whether a claimed one has been asked."""
        if self._may_be_done:
            await self._claim()
            return
        async with self._turn(Act.CLAIM) as is_ours:
            if is_ours:
                await self._claim()
                if self._next_act() is Act.ASK:
                    await self._ask_in_turn()

    async def _claim(self) -> None:
        instance = await self._instance()
        await self._append(lambda o, now: claimed(o, self._steps.writer, instance, now))
        self._begun_at = None if self._may_be_done else steady()
        o, verb = self.operation, "is taken over" if self._may_be_done else "is begun"
        logger.info("operation %s (%s of VM %s/%s) %s", o.id, o.action, o.namespace, o.vm_name, verb)

    async def _instance(self) -> Uid | None:
        """The instance that runs. A restart has succeeded when another one does, so it is read from the API server:
        a watch may be behind, and show the next one later that runs already.
        """
        if self.operation.action is Action.RESTART and not self._may_be_done:
            with contextlib.suppress(TimeoutError, WatcherError):
                async with asyncio.timeout(self._times.claim_seconds):
                    if present := await self._asking.instance(self.operation):
                        return Uid(present.uid)
        vmi = self._cache.instance_of(self.operation.vm_id)
        return Uid(vmi.uid) if vmi else None

    # Ask

    async def _ask(self) -> None:
        changed = self._newest.changed(self.operation.id)
        if self._may_be_done and await self._has_succeeded():
            return
        async with self._turn(Act.ASK) as is_ours:
            if is_ours:
                await self._ask_in_turn()
        if self._next_act() is Act.ASK:
            await wait(changed, self._again.next_seconds())

    @asynccontextmanager
    async def _turn(self, act: Act) -> AsyncIterator[bool]:
        """Hold a turn to ask the cluster while the block runs; without one there is something else to do than `act`."""
        waiting = asyncio.create_task(self._asking.turns.acquire())
        try:
            while not waiting.done() and self._next_act() is act:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._times.claim_seconds):
                        await done_or_set(waiting, self._newest.changed(self.operation.id))
            yield waiting.done() and self._next_act() is act
        finally:
            await end(waiting)
            if not waiting.cancelled():
                self._asking.turns.release()

    async def _ask_in_turn(self) -> None:
        """Ask, unless the look at the VM is old by then: while NATS was away, another VM may have taken its name."""
        prepared = await self._asking.prepare(self.operation, may_be_done=self._may_be_done)
        prepared_at = steady()
        if isinstance(prepared, Answer):
            await self._react(prepared)
        elif await self._has_young_claim() and steady() - prepared_at <= self._times.claim_seconds:
            await completed(self._send(prepared), self._times.leave_seconds)

    async def _has_young_claim(self) -> bool:
        """Make sure that the operation is still ours; False if it is to be canceled. Raises LostOperationError.

        Each step that is stored was sent a while ago: a watcher that was suspended in between stores one more.
        """
        while steady() - self._stored_at > self._times.claim_seconds:
            await self._append(lambda o, _: progressed(o, o.progress or "asking the cluster"))
        return self._next_act() is Act.ASK

    async def _send(self, change: Change) -> None:
        """Send the request. While it is out, whether it is done is not known."""
        if self._begun_at is not None:
            CLAIM_TO_REQUEST_SECONDS.observe(steady() - self._begun_at)
            self._begun_at = None
        could_be_done, self._may_be_done = self._may_be_done, True
        answer = await self._asking.send(self.operation, change)
        if answer.reaction is Reaction.NOT_DONE:
            self._may_be_done = could_be_done
        elif answer.reaction is Reaction.REFUSED and could_be_done and answer.is_conflict:
            self._is_answered = True
        await self._react(answer)

    async def _react(self, answer: Answer) -> None:
        self._answer = answer.message
        match answer.reaction:
            case Reaction.ACCEPTED if self.operation.dry_run:
                await self._end(OperationState.SUCCEEDED, answer.message)
            case Reaction.ACCEPTED:
                await self._append(lambda o, _: accepted(o, answer.message))
            case Reaction.REFUSED if not self._is_answered:
                await self._end(OperationState.FAILED, answer.message)
            case Reaction.REFUSED:
                pass
            case Reaction.NOT_DONE | Reaction.UNKNOWN:
                what = "asking again" if self._next_act() is Act.ASK else "the answer was lost"
                await self._show(f"{what}: {answer.message}")

    async def _has_succeeded(self) -> bool:
        """End it if its goal is reached: an earlier request was executed, or somebody else has done it."""
        found = await self._seen()
        if isinstance(found, Outcome) and found.state is OperationState.SUCCEEDED and not self.operation.dry_run:
            await self._end(found.state, found.message)
            return True
        return False

    async def _give_up(self) -> None:
        why = f": {self._answer}" if self._answer else ""
        await self._end(OperationState.FAILED, f"its time was over before the cluster could be asked{why}")

    # Observe

    async def _observe(self) -> None:
        changed = self._newest.changed(self.operation.id)
        if self.operation.state is OperationState.CANCELING and self.operation.action is Action.MIGRATE:
            await self._abort()
        found = await self._seen()
        if isinstance(found, Outcome):
            await self._end(found.state, self._with_answer(found))
        elif self.operation.deadline <= self._steps.now():
            await self._end(OperationState.FAILED, self._too_late(found.text))
        else:
            await self._show(f"{found.text}: {self._not_aborted}" if self._not_aborted else found.text)
            await self._confirm_migration()
            await wait(changed, self._times.progress_seconds)

    async def _abort(self) -> None:
        """Delete the migration, until the cluster has taken it. One that succeeds all the same has succeeded."""
        if not self._migration.is_abort_due:
            return
        answer = await self._asking.abort(self.operation)
        self._answer = answer.message
        self._not_aborted = ""
        if answer.reaction is Reaction.ACCEPTED:
            self._migration.abort_accepted()
        else:
            self._not_aborted = answer.message
            is_absent = answer.reaction is Reaction.REFUSED
            self._migration.abort_failed(self._times.unseen_seconds, is_absent=is_absent)

    async def _confirm_migration(self) -> None:
        """Ask for a migration that no watch shows: it may have come and gone in between."""
        if self.operation.action is Action.MIGRATE and self._migration.is_unseen(self._times.unseen_seconds):
            self._migration.is_gone = await self._asking.surely_has_no_migration(self.operation)

    async def _seen(self) -> Seen:
        """The outcome, or where it is.

        A watch is behind while its connection is bad, and a new session begins where the last one ended. So a VM that
        was never shown may be a new one.
        """
        observed = self._look()
        self._was_shown |= bool(observed.vm or observed.vmi)
        if not self._was_shown and not await self._asking.is_surely_gone(self.operation):
            return Progress("the watch of the cluster does not show the VM yet")
        found = seen(self.operation, observed)
        if isinstance(found, Outcome) and self.operation.action in BY_INSTANCE and observed.shows_instances:
            return await self._confirmed(found, observed)
        return found

    async def _confirmed(self, found: Outcome, observed: Observed) -> Seen:
        """The outcome, once the present instance shows it too: the one of the watch may be of before the request."""
        try:
            present = await self._asking.look_at_instance(self.operation)
        except WatcherError as error:
            if isinstance(error, StatusError) and error.code == HTTPStatus.FORBIDDEN:
                return found  # the right to watch has to do
            return Progress(f"{found.message}, by its watch; the cluster does not answer: {error}")
        now = seen(self.operation, replace(observed, vmi=present))
        return now if isinstance(now, Outcome) else Progress("the watch of the cluster is behind: " + now.text)

    def _look(self) -> Observed:
        operation = self.operation
        vm, vmi = self._cache.vms.get(operation.vm_id), self._cache.instance_of(operation.vm_id)
        shows_instances = not self._cache.vmis.unavailable
        if operation.action is not Action.MIGRATE:
            return Observed(vm, vmi, shows_instances=shows_instances)
        name = migration_name(operation)
        migration = self._migration
        migration.look(self._cache.migration_named(operation.namespace, operation.vm_name, name))
        is_settled = migration.has_ended_for(self._times.migration_end_seconds)
        return Observed(
            vm,
            vmi,
            migration.last,
            is_migration_gone=migration.is_gone,
            is_settled=is_settled,
            shows_instances=shows_instances,
        )

    def _with_answer(self, found: Outcome) -> str:
        """A refusal of a second request explains a failure that is only observed, and one of an abort a success."""
        if self._not_aborted and found.state is not OperationState.CANCELED:
            return f"{found.message}; {self._not_aborted}"
        has_refusal = found.state is OperationState.FAILED and self._answer and not self.operation.accepted
        return f"{found.message} ({self._answer})" if has_refusal else found.message

    def _too_late(self, where: str) -> str:
        if self.operation.accepted:
            return f"it has not ended in time: {where}"
        answer = f" ({self._answer})" if self._answer else ""
        if self.operation.action in NEVER_REPEATED:
            return f"whether the cluster was asked is not known{answer}, and it does not show the effect: {where}"
        return f"it has not ended in time{answer}: {where}"

    # Steps

    async def _show(self, progress: str) -> None:
        now = steady()
        if progress != self.operation.progress and now >= self._progress_at + self._times.progress_seconds:
            self._progress_at = now
            await self._append(lambda o, _: progressed(o, progress))

    async def _end(self, state: OperationState, message: str) -> None:
        await self._append(lambda o, now: ended(o, state, message, now))
        count_end(self.operation)
        logger.info("operation %s: %s: %s", self.operation.id, state, message)

    async def _append(self, make: Make) -> None:
        sent_at = steady()
        self._step = await self._steps.append(self._step, make)
        self._stored_at = sent_at
        self._newest.note(self._step)
