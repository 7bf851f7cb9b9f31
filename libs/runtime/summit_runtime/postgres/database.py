"""Connections to Postgres from one URL, for asyncpg (hot paths, LISTEN) and SQLAlchemy (queries, migrations).

The URL is libpq's; unknown options are settings of the server, so `?search_path=x` selects a schema.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import asyncpg
from pydantic import SecretStr
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from summit_runtime.postgres import address

COMMAND_TIMEOUT_SECONDS = 60.0

POOL_SIZE = 10
"""More than the cores of a small Postgres, so that a few slow queries leave room for the quick ones."""

OUTAGE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the connection ended while a statement was prepared (asyncpg 0.32)
)
"""Errors of calls to a server that is away, restarting, not migrated yet or out of disk; they pass by themselves."""

REVISION_CHANNEL = "summit_revision"
"""NOTIFY after each commit; the payload is the new revision."""
TRACE_CHANNEL = "summit_traces"
"""NOTIFY with the commits that have traced changes, for those who trace: `<revision>:<traceparent> …`."""


def outage(error: BaseException) -> str:
    """What happened to Postgres, in plain words, for one of the errors of `OUTAGE`, also in one of SQLAlchemy's."""
    while error.__cause__ and not isinstance(error, OUTAGE):
        error = error.__cause__
    text = str(error).strip().partition("\n")[0]
    match error:
        case asyncpg.ClientConfigurationError() | asyncpg.TargetServerAttributeNotMatched():
            return f"DATABASE_URL cannot be used: {text}"
        case asyncpg.PostgresConnectionError() | asyncpg.InterfaceError() | asyncpg.InternalClientError():
            return "Postgres has closed the connection" + (f": {text}" if text else "")
        case asyncpg.PostgresError():
            return f"Postgres reports: {text}"
        case TimeoutError():
            return "Postgres has not answered in time"
        case OSError(errno=int(number)) if number > 0:
            return f"Postgres cannot be reached: {os.strerror(number)}"
        case _:
            return f"Postgres cannot be reached: {text or type(error).__name__}"


def in_schema(url: SecretStr, schema: str) -> SecretStr:
    """The same database, in another schema."""
    parts = urlsplit(url.get_secret_value())
    query = {**dict(parse_qsl(parts.query, keep_blank_values=True)), "search_path": schema}
    return SecretStr(parts._replace(query=urlencode(query)).geturl())


async def connect(
    url: SecretStr, *, application: str, command_seconds: float = COMMAND_TIMEOUT_SECONDS, **settings: str
) -> asyncpg.Connection:
    """Open one connection, with settings of the server as `statement_timeout`.

    They are made once the session has begun: PgBouncer refuses a session that asks for them at its start. A command
    without an answer for `command_seconds` raises TimeoutError. Raises OSError or asyncpg.PostgresError when it cannot
    connect.
    """
    where = address.parse(url.get_secret_value())
    startup = {"application_name": application, **where.startup}
    connection = await _dial(where, command_timeout=command_seconds, server_settings=startup)
    try:
        await _set(connection, {**where.settings, **settings})
    except BaseException:
        connection.terminate()
        raise
    return connection


async def _dial(where: address.Address, **options: Any) -> asyncpg.Connection:
    """Connect to the first host that answers. When none does, the failure is that of the last one."""
    *others, last = where.attempts
    for attempt in others:
        with suppress(OSError, asyncpg.CannotConnectNowError, asyncpg.TargetServerAttributeNotMatched):
            return await asyncpg.connect(attempt, timeout=where.connect_seconds, **options)
    return await asyncpg.connect(last, timeout=where.connect_seconds, **options)


async def _set(connection: asyncpg.Connection, settings: Mapping[str, str]) -> None:
    """Change settings for the rest of the session, as the server reads them at the start of one."""
    if settings:
        changes = (f"set_config({_text(name)}, {_text(value)}, false)" for name, value in settings.items())
        await connection.execute(f"SELECT {', '.join(changes)}")


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def engine(
    url: SecretStr, *, application: str, command_seconds: float = COMMAND_TIMEOUT_SECONDS, **settings: str
) -> AsyncEngine:
    """A pool of connections for SQLAlchemy; nothing is opened until first use.

    Queries beyond `POOL_SIZE` wait their turn: SQLAlchemy's overflow would open a connection for each and close it
    afterwards, at twenty times the cost of the query, just when there is most to do.
    """
    pool = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: connect(url, application=application, command_seconds=command_seconds, **settings),
        pool_size=POOL_SIZE,
        max_overflow=0,
    )
    event.listen(pool.sync_engine, "checkout", _refuse_closed)
    event.listen(pool.sync_engine, "close", _terminate)
    return pool


def _refuse_closed(connection: Any, *_: object) -> None:
    """Let the pool open a new connection instead of one that has ended.

    The driver knows at once; SQLAlchemy's own `pool_pre_ping` asks the server in three round trips, each time.
    """
    if connection.driver_connection.is_closed():
        raise DisconnectionError


def _terminate(connection: Any, _: object) -> None:
    """End the connection without a goodbye, which a server that hangs would not answer."""
    connection.driver_connection.terminate()
