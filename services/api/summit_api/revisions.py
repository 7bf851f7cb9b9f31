"""How far the tables are, as this process knows it: one LISTEN for all requests that wait for a revision.

A notification is a hint to look, not the answer: channels belong to the whole database, and a log that is replayed
makes revisions go down. The checkpoint says how far it is.
"""

import asyncio
import contextlib
import logging

from pydantic import SecretStr

from summit_api.settings import ApiTimes
from summit_models.contract import Revision
from summit_models.subject import STREAM
from summit_runtime import database
from summit_runtime.backoff import Backoff

logger = logging.getLogger("summit.api")

_REVISION = "SELECT revision FROM checkpoint WHERE stream = $1"


class Revisions:
    """The newest known revision of the tables."""

    def __init__(self) -> None:
        self.current = Revision(0)
        self._moved = asyncio.Event()

    def tell(self, revision: Revision) -> None:
        """Take in how far the tables are, and wake those who wait."""
        if revision != self.current:
            self.current = revision
            moved, self._moved = self._moved, asyncio.Event()
            moved.set()

    async def wait_for(self, revision: int, timeout_seconds: float) -> bool:
        """Wait until the tables contain `revision`; False when they do not within the time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                while self.current < revision:
                    await self._moved.wait()
        return self.current >= revision


async def follow(url: SecretStr, revisions: Revisions, times: ApiTimes) -> None:
    """Keep `revisions` up to date for ever; while Postgres is away they stay where they were."""
    backoff = Backoff(initial_seconds=0.1, max_seconds=5.0)
    while True:
        try:
            await _listen(url, revisions, times.look_seconds)
        except database.OUTAGE as error:
            logger.debug("no revisions are heard of: %s: %s", type(error).__name__, error)
        await asyncio.sleep(backoff.next_seconds())


async def _listen(url: SecretStr, revisions: Revisions, look_seconds: float) -> None:
    connection = await database.connect(url, application="summit-api-revisions")
    hint = asyncio.Event()
    try:
        connection.add_termination_listener(lambda *_: hint.set())
        await connection.add_listener(database.REVISION_CHANNEL, lambda *_: hint.set())
        while True:
            hint.clear()  # before the look: a commit after it sets it again
            revisions.tell(await connection.fetchval(_REVISION, STREAM) or Revision(0))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(look_seconds):
                    await hint.wait()
    finally:
        connection.terminate()
