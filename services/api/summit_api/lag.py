"""Whether the tables follow the log. If they do not, every cluster is stale, whatever its watcher reports.

A projector that hangs, or that is not there, publishes nothing about it. So this process asks NATS every few seconds
for the oldest event that the tables do not have. Its age is by the clock of NATS at both ends.
"""

import asyncio
import contextlib
import logging
from datetime import datetime, timedelta

from nats.errors import Error as NatsError

from summit_api.metrics import TABLES_BEHIND
from summit_api.query.transaction.errors import QueryError
from summit_api.query.transaction.read_transaction import ReadModels
from summit_api.render.moment import Behind, clock_time
from summit_api.settings import ApiTimes
from summit_runtime.condition import Condition
from summit_runtime.nats.connection.bus import EventClient
from summit_runtime.nats.streams.unapplied import Unapplied, unapplied

logger = logging.getLogger("summit.api")


class Lag:
    """What the last looks have found. It stays while NATS does not answer: then reports end too."""

    def __init__(self) -> None:
        self._late: Behind | None = None
        self._was_late = False
        self._unreadable: Behind | None = None
        self._unreadable_since: datetime | None = None
        self._not_following = Condition(logger)

    @property
    def behind(self) -> Behind | None:
        """Why the tables do not show the present; None while they do, or nobody knows."""
        return self._unreadable or self._late

    def note(self, found: Unapplied, now: datetime, late_after: timedelta) -> None:
        """Note what the tables lack at this moment of the clock of NATS.

        It counts when it is late at two looks in a row: at the start of all processes the projector has what the last
        evening left to do, and a clock may just have been set.
        """
        is_late = found.age(now) > late_after
        self._late = _behind(found, now) if is_late and self._was_late else None
        self._was_late = is_late
        TABLES_BEHIND.set(max(0.0, found.age(now).total_seconds()))
        if self._late:
            self._not_following.holds("%s; all clusters and their VMs are shown as stale", self._late.reason)
        else:
            self._not_following.ends("the tables follow the log again")

    def unreadable(self, now: datetime, late_after: timedelta) -> None:
        """Note that the tables cannot be read: requests are refused, but open feeds would show the state before."""
        since = self._unreadable_since = self._unreadable_since or now
        if now - since > late_after:
            reason = f"this api has not been able to read the tables since {clock_time(since, now)}"
            self._unreadable = Behind(since, reason)

    def readable(self) -> None:
        """Note that the tables can be read."""
        self._unreadable = self._unreadable_since = None


def _behind(found: Unapplied, now: datetime) -> Behind:
    since = found.since or now
    events = "1 event" if found.events == 1 else f"{found.events} events"
    then = clock_time(since, now)
    return Behind(since, f"the tables show the state of {then}: the projector has not applied {events} since")


async def follow(client: EventClient, read_models: ReadModels, lag: Lag, times: ApiTimes) -> None:
    """Look for ever; while NATS does not answer, nothing is known, and nothing changes."""
    late_after = timedelta(seconds=times.late_seconds)
    while True:
        try:
            async with read_models.transaction() as transaction:
                revision, created_at = transaction.revision, transaction.stream_created_at
        except QueryError:
            lag.unreadable(client.clock.now(), late_after)
        else:
            lag.readable()
            with contextlib.suppress(NatsError, TimeoutError):
                lag.note(await unapplied(client, revision, created_at), client.clock.now(), late_after)
        await asyncio.sleep(times.lag_look_seconds)
