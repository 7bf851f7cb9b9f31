"""Asks Kubernetes to do an operation, and judges its answer, or what is known without one."""

import asyncio
import re
from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple

from summit_models.operation import Action, Operation, remedy
from summit_watcher.kube.connection import ClusterConnection
from summit_watcher.kube.errors import AuthError, KubeconfigError, NotConnectedError, StatusError, WatcherError
from summit_watcher.kube.members import member
from summit_watcher.kube.resources import VIRTUAL_MACHINE_INSTANCES
from summit_watcher.kube.transport import Change
from summit_watcher.normalize.instance import VmiFacts, vmi_facts
from summit_watcher.operations.requests import (
    OF_INSTANCES,
    WITHOUT_DRY_RUN,
    NotPossibleError,
    abort_request,
    instance_path,
    migration_path,
    request_for,
    target_path,
)

_FORBIDDEN, _NOT_FOUND, _CONFLICT = 403, 404, 409
_INTERNAL_ERROR = 500
"""What virt-api wraps the refusals of webhooks in: a refusal."""
_MAY_BE_DONE = frozenset({502, 503, 504})
"""Codes of what stands before virt-api: the aggregation layer answers 503 also when the connection to virt-api breaks
after the request."""
_TOO_MANY = 429
"""The API server has put the request off, and has not executed it."""


ASKED_AT_ONCE, LOOKED_AT_ONCE = 50, 30
"""Requests to one cluster. Its connection pool has a hundred places (aiohttp), and watches and lists need some. A
request that waits there uses up its time: of a thousand behind a slow webhook, half counted as sent and lost.
"""

_MISSING_RIGHT = re.compile(r"is forbidden: User .+ cannot \w+ ")
"""The API server's sentence for a missing right. Webhooks, and virt-api itself, answer 403 for other reasons too."""
_HAS_CHANGED = "the object has been modified"
"""The API server's `OptimisticLockErrorMsg`: the VM has changed since it was read."""
_ANOTHER_UID = "UID in precondition"
"""Its message for a name that another object has by now."""


class Reaction(Enum):
    ACCEPTED = "accepted"
    REFUSED = "refused"
    NOT_DONE = "not done"
    """The request was not executed, and another attempt may succeed."""
    UNKNOWN = "unknown"
    """The request went out, and its answer was lost: it may have been done."""


class Answer(NamedTuple):
    reaction: Reaction
    message: str
    is_conflict: bool = False
    """The refusal depends on the state of the VM, which an earlier request of ours may have changed."""


ACCEPTED = Answer(Reaction.ACCEPTED, "the cluster has accepted it")
WOULD_BE_ACCEPTED = Answer(Reaction.ACCEPTED, "the cluster would accept it")


class Asking:
    """The questions to one cluster. Requests do not raise: each failure is an answer."""

    def __init__(self, connection: ClusterConnection, forbidden: Callable[[], None]) -> None:
        """`forbidden` is called when the cluster answers 403."""
        self._connection = connection
        self._forbidden = forbidden
        self.turns = asyncio.Semaphore(ASKED_AT_ONCE)
        """Held by whoever begins an operation, or prepares and sends its request."""
        self._looks = asyncio.Semaphore(LOOKED_AT_ONCE)
        """Held by those who only look, or abort: they do not wait for all who ask."""

    async def prepare(self, operation: Operation, *, may_be_done: bool) -> Change | Answer:
        """The request to send, or the answer that is known without it. Nothing is changed by this.

        It reads the VM: another one may have its name by now. It also makes the connection, so that the request goes
        out at once when it is sent. `may_be_done`: an earlier request may have been executed.
        """
        try:
            target = await self._connection.get_object(target_path(operation))
            if may_be_done and await self._is_begun(operation, target):
                return ACCEPTED
        except StatusError as error:
            return self._unread(operation, error, may_be_done=may_be_done)
        except WatcherError as error:
            return _not_done(error)
        return _request(operation, target)

    def _unread(self, operation: Operation, error: StatusError, *, may_be_done: bool) -> Answer:
        """What the refusal to show the VM means: without the right to read it nothing will be done."""
        if error.code == _NOT_FOUND:
            return _gone(operation, _message(error))
        if error.code == _FORBIDDEN and not may_be_done:
            self._forbidden()
            return Answer(Reaction.REFUSED, _message(error))
        return _not_done(error)

    async def instance(self, operation: Operation) -> VmiFacts | None:
        """The present instance of the VM; None: there is none. Raises WatcherErrors."""
        try:
            found = await self._connection.get_object(instance_path(operation))
        except StatusError as error:
            if error.code == _NOT_FOUND:
                return None
            raise
        vmi = VIRTUAL_MACHINE_INSTANCES.decode_object(found)
        facts = vmi_facts(vmi) if vmi else None
        # Another VM may have the name by now; an instance may have no VM.
        return facts if facts and operation.vm_id in (facts.owner_uid, facts.uid) else None

    async def look_at_instance(self, operation: Operation) -> VmiFacts | None:
        """The same, for who does not hold a turn."""
        async with self._looks:
            return await self.instance(operation)

    async def is_surely_gone(self, operation: Operation) -> bool:
        """Whether the VM does not exist any more; False while the cluster does not answer."""
        try:
            async with self._looks:
                return not _is_target(operation, await self._connection.get_object(target_path(operation)))
        except StatusError as error:
            return error.code == _NOT_FOUND
        except WatcherError:
            return False

    async def _is_begun(self, operation: Operation, target: dict[str, Any]) -> bool:
        """Whether an earlier request is seen to have been executed."""
        if operation.action is Action.MIGRATE:
            return not await self.has_no_migration(operation)
        is_target = _is_target(operation, target)
        return operation.action is Action.DELETE and is_target and "deletionTimestamp" in target["metadata"]

    async def send(self, operation: Operation, change: Change) -> Answer:
        try:
            await self._connection.change(change)
        except StatusError as error:
            if error.code == _FORBIDDEN:
                self._forbidden()
            return _refused(operation, error)
        except (NotConnectedError, AuthError, KubeconfigError) as error:
            return _not_done(error)
        except WatcherError as error:
            return Answer(Reaction.UNKNOWN, str(error))
        return WOULD_BE_ACCEPTED if operation.dry_run else ACCEPTED

    async def abort(self, operation: Operation) -> Answer:
        """Abort a migration: its object is deleted."""
        try:
            async with self._looks:
                await self._connection.change(abort_request(operation))
        except StatusError as error:
            if error.code == _NOT_FOUND:
                return Answer(Reaction.REFUSED, "there is no migration")
            return Answer(Reaction.NOT_DONE, f"it cannot be aborted: {_with_remedy(operation, error)}")
        except WatcherError as error:
            return Answer(Reaction.NOT_DONE, f"it cannot be aborted: {error}")
        return Answer(Reaction.ACCEPTED, "the cluster aborts it")

    async def has_no_migration(self, operation: Operation) -> bool:
        """Whether the cluster has no migration of this operation. Raises WatcherErrors."""
        try:
            await self._connection.get_object(migration_path(operation))
        except StatusError as error:
            if error.code == _NOT_FOUND:
                return True
            raise
        return False

    async def surely_has_no_migration(self, operation: Operation) -> bool:
        """The same; False while the cluster does not answer."""
        try:
            async with self._looks:
                return await self.has_no_migration(operation)
        except WatcherError:
            return False


def _request(operation: Operation, target: dict[str, Any]) -> Change | Answer:
    if not _is_target(operation, target):
        return _gone(operation, f"another VM has the name {operation.vm_name} now")
    if operation.dry_run and operation.action in WITHOUT_DRY_RUN:
        return ACCEPTED._replace(message=f"the cluster was not asked: KubeVirt has no dry run of a {operation.action}")
    try:
        return request_for(operation, target)
    except NotPossibleError as error:
        return Answer(Reaction.REFUSED, str(error))


def _is_target(operation: Operation, target: dict[str, Any]) -> bool:
    owners = member(target, "metadata", "ownerReferences") if operation.action in OF_INSTANCES else None
    owners = owners if isinstance(owners, list) else ()
    return operation.vm_id in (member(target, "metadata", "uid"), *(member(owner, "uid") for owner in owners))


def _gone(operation: Operation, message: str) -> Answer:
    if operation.action is Action.DELETE:
        return Answer(Reaction.ACCEPTED, "the VM is gone")
    return Answer(Reaction.REFUSED, message, is_conflict=True)


def _refused(operation: Operation, error: StatusError) -> Answer:
    message, action = _message(error), operation.action
    if error.code == _TOO_MANY:
        return _not_done(error)
    if error.code in _MAY_BE_DONE:
        return Answer(Reaction.UNKNOWN, message)
    if action is Action.MIGRATE and error.reason == "AlreadyExists":
        return ACCEPTED
    if action is Action.RESIZE and _HAS_CHANGED in message:
        return _not_done(error)  # it is read again
    if action is Action.DELETE and (error.code == _NOT_FOUND or _ANOTHER_UID in message):
        return _gone(operation, message)
    message = _with_remedy(operation, error)
    return Answer(Reaction.REFUSED, message, is_conflict=error.code in (_NOT_FOUND, _CONFLICT, _INTERNAL_ERROR))


def _not_done(error: WatcherError) -> Answer:
    return Answer(Reaction.NOT_DONE, _message(error) if isinstance(error, StatusError) else str(error))


def _with_remedy(operation: Operation, error: StatusError) -> str:
    """The cluster's own sentence, and what to do where a right is missing."""
    message = _message(error)
    is_right = error.code == _FORBIDDEN and _MISSING_RIGHT.search(message)
    return f"{message}: {remedy(operation.action)}" if is_right else message


def _message(error: StatusError) -> str:
    """The cluster's own sentence."""
    return error.message or f"the cluster answered {error.code} {error.reason or ''}".strip()
