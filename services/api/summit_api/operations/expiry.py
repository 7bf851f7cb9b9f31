"""Operations that nobody has begun expire at their deadline, and those that nobody ends are given up.

A watcher ends what it has begun, at the deadline at the latest. Where no watcher has the cluster, or it is not declared
any more, each api does it instead. Whoever is first wins, since a step is stored only onto the one before it.
"""

import asyncio
import contextlib
import logging
from datetime import datetime, timedelta

from nats.aio.client import Client

from summit_api.operations.ids import step_writer
from summit_api.operations.metrics import count_operations
from summit_api.query import operations as query
from summit_api.query.transaction.errors import QueryError
from summit_api.query.transaction.read_transaction import ReadModels
from summit_api.settings import ApiTimes
from summit_models.event import operation_event
from summit_models.operation import overdue
from summit_models.subject import subject_of_operation
from summit_runtime.nats.connection.bus import EventClient
from summit_runtime.nats.publishing.append import Basis, ConflictError, NotStoredError, append
from summit_runtime.operation_metrics import count_end

logger = logging.getLogger("summit.api")


async def keep_expiring(client: EventClient, read_models: ReadModels, times: ApiTimes) -> None:
    """Look for ever; while Postgres or NATS is away it waits."""
    while True:
        with contextlib.suppress(QueryError, NotStoredError):  # both are logged where they occur
            await expire(client, read_models, client.clock.now(), times.abandoned_seconds)
        await asyncio.sleep(times.expiry_seconds)


async def expire(client: Client, read_models: ReadModels, now: datetime, abandoned_seconds: float) -> None:
    """End what is overdue at this moment. Raises QueryError without Postgres, NotStoredError without NATS."""
    async with read_models.transaction() as transaction:
        count_operations(await query.under_way(transaction))
        steps = await query.overdue(transaction, now)
    for step in steps:
        after = overdue(step.operation, now, timedelta(seconds=abandoned_seconds))
        if after is None:
            continue
        event = operation_event(after, step.revision, writer=step_writer(), time=now)
        with contextlib.suppress(ConflictError):  # a watcher or another api was faster
            await append(client, [event], Basis(subject_of_operation(after), step.revision))
            count_end(after)
            logger.info("operation %s is %s: %s", after.id, after.state, after.message)
