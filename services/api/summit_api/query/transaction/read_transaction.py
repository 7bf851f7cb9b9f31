"""One consistent view of the tables: all queries of a request see the same revision.

A read-only REPEATABLE READ transaction whose first statement reads the checkpoint. Errors of Postgres become a
QueryError here. The pool recovers by itself, because it tests each connection before use. A connection whose other end
is gone without a sign looks well: when one does not answer, all are replaced, or each would cost a request.
"""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import asyncpg
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection

from summit_api.query.transaction.errors import (
    DatabaseUnavailableError,
    InvalidValueError,
    QueryError,
    QueryTooLongError,
    SchemaNewerError,
    SchemaNotReadyError,
)
from summit_api.query.transaction.position import Position, era
from summit_models.contract import Revision
from summit_models.subject import STREAM
from summit_models.tables import newer_schema
from summit_runtime.condition import Condition
from summit_runtime.postgres import database

logger = logging.getLogger("summit.api")

QUERY_SECONDS = 10.0
"""For one query: a longer one keeps others waiting, and its client has given up."""
NO_ANSWER_FACTOR = 1.5
"""Postgres itself ends a query that takes too long, and says so. Without a sign for this many times as long, nobody is
at the other end of the connection."""

_CHECKPOINT = """
SELECT version_num, revision, applied_at, generation, stream_created_at, history_since
FROM alembic_version LEFT JOIN checkpoint ON stream = $1
"""

_NO_SCHEMA = frozenset({"42P01", "42703", "3F000", "0A000"})
"""SQLSTATE undefined_table, undefined_column, invalid_schema_name: the projector has not migrated (yet).

feature_not_supported: a statement prepared before a migration; the next attempt prepares it again."""

_NOT_TEXT = "22021"
"""SQLSTATE character_not_in_repertoire: Postgres takes every character but NUL."""

_CANCELED = "57014"
"""SQLSTATE query_canceled: by statement_timeout, since nobody else cancels our queries."""

_NOT_OURS = frozenset({"08", "28", "3D", "53", "55", "57"})
"""SQLSTATE classes of a server that is away, full or wrong for us, not of a wrong statement."""
_CONNECTION_LOST = "08006"
"""The state of a driver error that has none: the connection ended under it."""

_NOT_FOR_US = frozenset({"25", "40", "58"})
"""Classes of a server that goes on for others: it ends idle transactions, is a standby that must recover, or cannot
read a file."""
_NOT_ALLOWED = frozenset({"42501", "42704"})
"""SQLSTATE insufficient_privilege: the user of DATABASE_URL may not read a table, such as one that an upgrade has made.

undefined_object: an option of DATABASE_URL is neither one of libpq nor a setting of the server."""

_UNCERTAIN = (OSError, TimeoutError, DBAPIError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""After these it is not certain that Postgres has answered."""


@dataclass(frozen=True)
class ReadTransaction:
    """A transaction, and how far the log had been applied when it began."""

    driver: asyncpg.Connection
    revision: Revision
    as_of: datetime | None
    """When that revision was applied; None before the first."""
    generation: int
    """Changes when rows change otherwise than by the next event: revisions of two generations do not compare."""
    stream_created_at: datetime | None
    """Which stream the tables are of; None before the first."""
    history_since: datetime | None
    """History before this was dropped; None while all is kept."""

    @property
    def position(self) -> Position:
        """How far the tables are, and in which era."""
        return Position(self.revision, era(self.generation, self.stream_created_at))

    async def fetch(self, sql: str, *arguments: object) -> Sequence[Sequence[Any]]:
        """The driver's own rows of a statement with `$1` for its first argument: for the hot endpoints."""
        rows: Sequence[Sequence[Any]] = await self.driver.fetch(sql, *arguments)
        return rows


class ReadModels:
    """The tables, as the api reads them."""

    def __init__(self, url: SecretStr, *, query_seconds: float = QUERY_SECONDS) -> None:
        limits = {"statement_timeout": str(int(query_seconds * 1000))}
        engine = database.engine(
            url, application="summit-api", command_seconds=query_seconds * NO_ANSWER_FACTOR, **limits
        )
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")  # the driver begins and ends
        self._unreachable = Condition(logger)
        self._refusing = Condition(logger)
        """It has no end: what Postgres refuses to one question, it may answer to the next."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[ReadTransaction]:
        """Read the tables as of one moment. Raises QueryError while Postgres or its schema is not there."""
        async with self._connect() as connection:
            driver = cast(asyncpg.Connection, (await connection.get_raw_connection()).driver_connection)
            async with _reading(driver):
                schema, *checkpoint = await driver.fetchrow(_CHECKPOINT, STREAM) or (None,)
                if newer := newer_schema(schema):
                    raise SchemaNewerError(newer)
                yield ReadTransaction(driver, *(checkpoint if any(checkpoint) else (Revision(0), None, 0, None, None)))

    @asynccontextmanager
    async def _connect(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._engine.connect() as connection:
                self._unreachable.ends("Postgres can be reached again: requests are answered")
                yield connection
        except (DBAPIError, asyncpg.PostgresError) as error:
            if known := self._known(error):
                raise known from error
            raise
        except TimeoutError as error:
            await self._engine.dispose()
            raise self._unavailable(error) from error
        except (*database.OUTAGE, PoolTimeoutError) as error:
            raise self._unavailable(error) from error

    async def schema_revision(self) -> str | None:
        """The revision that alembic wrote; None in a schema that it has begun but not finished. Raises QueryError."""
        async with self._connect() as connection:
            return (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar_one_or_none()

    async def close(self) -> None:
        await self._engine.dispose()

    def _known(self, error: DBAPIError | asyncpg.PostgresError) -> QueryError | None:
        """The meaning of a failed statement or connection; None for a mistake of ours."""
        cause = error.orig if isinstance(error, DBAPIError) else error
        state = getattr(cause, "sqlstate", None) or _CONNECTION_LOST
        if state in _NO_SCHEMA:
            return SchemaNotReadyError()
        if state == _NOT_TEXT:
            return InvalidValueError("a name cannot contain the character NUL")
        if state == _CANCELED:
            return QueryTooLongError()
        if state[:2] in _NOT_OURS:
            return self._unavailable(cause or error)
        if state[:2] in _NOT_FOR_US or state in _NOT_ALLOWED:
            reason = database.outage(cause or error)
            self._refusing.holds("%s; what needs it is answered with 503", reason, cause=reason)
            return DatabaseUnavailableError("Postgres refuses what this answer needs; the api's log has the reason")
        return None

    def _unavailable(self, error: BaseException) -> QueryError:
        self._unreachable.holds("%s; requests are answered with 503", database.outage(error))
        return DatabaseUnavailableError()


@asynccontextmanager
async def _reading(driver: asyncpg.Connection) -> AsyncIterator[None]:
    """A read-only transaction that ends with the block, or else with its connection.

    A task that is cancelled or gives up while Postgres does not answer cannot end the transaction. Back in the pool,
    the connection would show the tables of that moment to all its next users.
    """
    ended = False
    try:
        async with driver.transaction(isolation="repeatable_read", readonly=True):
            yield
        ended = True
    except _UNCERTAIN:
        raise
    except Exception:
        ended = not driver.is_in_transaction()
        raise
    finally:
        if not ended:
            driver.terminate()
