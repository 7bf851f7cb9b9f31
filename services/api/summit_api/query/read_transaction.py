"""One consistent view of the tables: all queries of a request see the same revision.

A read-only REPEATABLE READ transaction whose first statement reads the checkpoint. Whatever goes wrong with Postgres
becomes a 503 problem here, and the pool recovers by itself: connections are tested before they are used.
"""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import asyncpg
from pydantic import SecretStr
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection

from summit_api.problems import ProblemError, unavailable
from summit_api.query.position import Position, era
from summit_models.contract import Revision
from summit_models.event import STREAM
from summit_runtime import database

logger = logging.getLogger("summit.api")

QUERY_SECONDS = 10.0
"""For one query: what takes longer keeps others waiting, and whoever asked has given up."""

_POSITION = """
SELECT revision, applied_at, generation, stream_created_at, history_since FROM checkpoint WHERE stream = $1
"""

_NO_SCHEMA = frozenset({"42P01", "42703", "3F000", "0A000"})
"""SQLSTATE undefined_table, undefined_column, invalid_schema_name: the projector has not migrated (yet).

feature_not_supported: a statement prepared before a migration; the next attempt prepares it anew."""

_NOT_TEXT = "22021"
"""SQLSTATE character_not_in_repertoire: Postgres takes every character but NUL."""

_CANCELED = "57014"
"""SQLSTATE query_canceled: by statement_timeout, since nobody else cancels our queries."""

_NOT_OURS = frozenset({"08", "28", "3D", "53", "55", "57"})
"""SQLSTATE classes of a server that is away, full or wrong for us, not of a wrong statement."""
_CONNECTION_LOST = "08006"
"""What a driver error without a state is: the connection ended under it."""


@dataclass(frozen=True)
class ReadTransaction:
    """A transaction, and how far the stream had been applied when it began."""

    connection: AsyncConnection
    driver: asyncpg.Connection
    revision: Revision
    as_of: datetime | None
    """When that revision was applied; None while nothing has been."""
    generation: int
    """Another one when rows have changed otherwise than by the next event, so revisions of the two do not compare."""
    stream_created_at: datetime | None
    """Which stream the tables are of; None while they are of none."""
    history_since: datetime | None
    """History before this was dropped; None while all is kept."""

    @property
    def position(self) -> Position:
        """How far they are, and of what."""
        return Position(self.revision, era(self.generation, self.stream_created_at))

    async def fetch(self, sql: str, *arguments: object) -> Sequence[Sequence[Any]]:
        """The driver's own rows of a statement with `$1` for its first argument: for the hot endpoints."""
        rows: Sequence[Sequence[Any]] = await self.driver.fetch(sql, *arguments)
        return rows


class ReadModels:
    """The tables, as the api reads them."""

    def __init__(self, url: SecretStr, *, query_seconds: float = QUERY_SECONDS) -> None:
        milliseconds = str(int(query_seconds * 1000))
        engine = database.engine(url, application="summit-api", statement_timeout=milliseconds)
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")  # the driver begins and ends
        self._reachable = True

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[ReadTransaction]:
        """Read the tables as of one moment. Raises ProblemError 503 while Postgres or its schema is not there."""
        async with self.connect() as connection:
            driver = cast(asyncpg.Connection, (await connection.get_raw_connection()).driver_connection)
            async with _reading(driver):
                position = await driver.fetchrow(_POSITION, STREAM)
                yield ReadTransaction(connection, driver, *(position or (Revision(0), None, 0, None, None)))

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._engine.connect() as connection:
                self._tell(reachable=True)
                yield connection
        except (DBAPIError, asyncpg.PostgresError) as error:
            if problem := self._problem(error):
                raise problem from error
            raise
        except (*database.OUTAGE, PoolTimeoutError) as error:
            raise self._unreachable(error) from error

    async def close(self) -> None:
        await self._engine.dispose()

    def _problem(self, error: DBAPIError | asyncpg.PostgresError) -> ProblemError | None:
        """What a failed statement or connection means to the client; None if it is a mistake of ours."""
        cause = error.orig if isinstance(error, DBAPIError) else error
        state = getattr(cause, "sqlstate", None) or _CONNECTION_LOST
        if state in _NO_SCHEMA:
            return _schema_not_ready()
        if state == _NOT_TEXT:
            return ProblemError(400, "Invalid request", "a name cannot contain the character NUL")
        if state == _CANCELED:
            return unavailable(
                "Query too long", "the tables did not answer in time: ask for less, with filters or `limit`"
            )
        if state[:2] in _NOT_OURS:
            return self._unreachable(cause or error)
        return None

    def _unreachable(self, error: BaseException) -> ProblemError:
        self._tell(reachable=False, reason=f"{type(error).__name__}: {error}".removesuffix(": "))
        return unavailable("Database unavailable", "Postgres cannot be reached at the moment; try again shortly")

    def _tell(self, *, reachable: bool, reason: str = "") -> None:
        """Log a change of state once, not each request."""
        if reachable != self._reachable:
            self._reachable = reachable
            logger.warning("Postgres can be reached again" if reachable else f"Postgres cannot be reached: {reason}")


@asynccontextmanager
async def _reading(driver: asyncpg.Connection) -> AsyncIterator[None]:
    """A read-only transaction that ends with the block, or else with its connection.

    Who is cancelled or gives up while Postgres does not answer cannot end it. In the pool, such a connection would show
    the tables of that moment to all its next users.
    """
    ended = False
    try:
        async with driver.transaction(isolation="repeatable_read", readonly=True):
            yield
        ended = True
    except (ProblemError, asyncpg.PostgresError):  # of all others it is not certain that Postgres has answered
        ended = not driver.is_in_transaction()
        raise
    finally:
        if not ended:
            driver.terminate()


def _schema_not_ready() -> ProblemError:
    return unavailable(
        "Schema not ready",
        "the tables have not been migrated to what this api reads; the projector does so when it starts",
    )
