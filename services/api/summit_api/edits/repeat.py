"""Edits are published again before they age out of the log, because no watcher repeats them.

This also fills a log that was lost and made new: then only the tables still have the edits. Each api does it. A
repetition is based on the revision of its row, so that it is stored once and never over something newer.
"""

import asyncio
import contextlib
import logging
from datetime import timedelta

from nats.errors import Error as NatsError

from summit_api.edits import datacenter as datacenters
from summit_api.edits import target
from summit_api.edits import vm as vms
from summit_api.query.transaction.errors import QueryError
from summit_api.query.transaction.read_transaction import ReadModels
from summit_api.settings import ApiTimes
from summit_models.event import Event
from summit_runtime.nats.connection.bus import EventClient
from summit_runtime.nats.publishing.append import Basis, ConflictError, NotStoredError, append
from summit_runtime.nats.streams.repeating import repeat_after

logger = logging.getLogger("summit.api")


async def keep_repeating(client: EventClient, read_models: ReadModels, times: ApiTimes) -> None:
    """Repeat for ever; while Postgres or NATS is away it waits."""
    while True:
        with contextlib.suppress(QueryError, NotStoredError, NatsError, TimeoutError):  # logged where they occur
            at_most = timedelta(seconds=times.repeat_after_seconds)
            await repeat(client, read_models, await repeat_after(client, client.clock.now(), at_most))
        await asyncio.sleep(times.repeat_check_seconds)


async def repeat(client: EventClient, read_models: ReadModels, after: timedelta) -> None:
    """Repeat once. Raises QueryError without Postgres, NotStoredError without NATS."""
    now = client.clock.now()
    since = now - after  # not by the clock of Postgres: the times in rows are of NATS
    async with read_models.transaction() as transaction:
        silent_vms = await target.silent_vms(transaction, since)
        silent_datacenters = await target.silent_datacenters(transaction, since)
    repetitions: list[tuple[Event, Basis]] = [
        *((vms.observed(state, basis.revision, now), basis) for state, basis in silent_vms),
        *((datacenters.edited(state, basis.revision, now, by=None), basis) for state, basis in silent_datacenters),
    ]
    for event, basis in repetitions:
        with contextlib.suppress(ConflictError):  # the log has something newer
            await append(client, [event], basis)
            logger.debug("repeated %s", event.id)
