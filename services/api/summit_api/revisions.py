"""How far the tables are, as this process knows it: one LISTEN for all that wait for a commit.

A notification is only a hint to read the checkpoint: channels belong to the whole database, and revisions go down when
the log is replaced. A standby notifies nobody, so the checkpoint is read all the time there.
"""

import asyncio
import logging

import asyncpg
from pydantic import SecretStr

from summit_api.settings import ApiTimes
from summit_api.traces import Traces
from summit_models.contract import Revision
from summit_models.subject import STREAM
from summit_runtime import tracing
from summit_runtime.backoff import Backoff
from summit_runtime.postgres import database, session
from summit_runtime.waiting import wait

logger = logging.getLogger("summit.api")

# `applied_at` changes with the rows, also when no event has changed them.
_LOOK = """
SELECT pg_is_in_recovery(), coalesce(revision, 0), generation, applied_at
FROM (VALUES (1)) AS one LEFT JOIN checkpoint ON stream = $1
"""


class Revisions:
    """The newest known revision of the tables."""

    def __init__(self) -> None:
        self.current = Revision(0)
        self.traces = Traces()
        self._next = asyncio.Event()

    def note(self, revision: Revision) -> None:
        """Note how far the tables are, and wake all that wait: also when only their era has changed."""
        self.current = revision
        noted, self._next = self._next, asyncio.Event()
        noted.set()

    def next(self) -> asyncio.Event:
        """Is set when the tables may have changed again."""
        return self._next

    async def wait_for(self, revision: int, timeout_seconds: float) -> bool:
        """Wait until the tables contain `revision`; False when they do not within the time."""
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        while self.current < revision:
            if not await wait(self._next, deadline - asyncio.get_running_loop().time()):
                return False
        return True


async def follow(url: SecretStr, revisions: Revisions, times: ApiTimes) -> None:
    """Keep `revisions` up to date for ever; while Postgres is away they stay where they are.

    Raises FatalError behind a pooler that does not keep sessions: the pool of connections needs them as well.
    """
    backoff = Backoff(initial_seconds=0.1, max_seconds=5.0)
    while True:
        try:
            await _follow(url, revisions, times)
        except database.OUTAGE as error:
            logger.debug("revisions are not followed: %s: %s", type(error).__name__, error)
        await asyncio.sleep(backoff.next_seconds())


async def _follow(url: SecretStr, revisions: Revisions, times: ApiTimes) -> None:
    connection = await database.connect(url, application="summit-api-revisions")
    hint, listens, known = asyncio.Event(), False, None
    try:
        await session.require(connection, url)
        connection.add_termination_listener(lambda *_: hint.set())
        while True:
            hint.clear()  # before the look: a commit after it sets it again
            # A notification that is lost with the other end of the connection is missed for one look, not for a minute.
            is_standby, *found = await connection.fetchrow(_LOOK, STREAM, timeout=times.look_seconds)
            if found != known:
                known = found
                revisions.note(found[0])
            if not (is_standby or listens):  # a standby that becomes the primary notifies from then on
                await _listen(connection, revisions, hint)
                listens = True
                continue  # nobody has heard of a commit before this
            await wait(hint, times.standby_look_seconds if is_standby else times.look_seconds)
    finally:
        connection.terminate()


async def _listen(connection: asyncpg.Connection, revisions: Revisions, hint: asyncio.Event) -> None:
    """Let each commit set the hint. Traces come first, so that a traced change is known before it is read."""
    if tracing.is_on():
        await connection.add_listener(database.TRACE_CHANNEL, lambda *notified: revisions.traces.note(notified[-1]))
    await connection.add_listener(database.REVISION_CHANNEL, lambda *_: hint.set())
