"""Whether a connection keeps its session of the server, which behind a pooler is not certain.

PgBouncer with `pool_mode = transaction` gives each transaction the session that is free. That looks well until two
connections work at the same time: then prepared statements are missing, LISTEN hears nothing, and a lock of a session
belongs to whoever comes next.
"""

import asyncio
import secrets

import asyncpg
from pydantic import SecretStr

from summit_runtime.postgres import database
from summit_runtime.postgres.address import CONNECT_SECONDS
from summit_runtime.process import FatalError

_TRIES = 5
"""Somebody else may take the session of the first try, in the moment between two statements."""

_NOT_KEPT = (
    "DATABASE_URL leads to a pooler that gives each transaction another session of Postgres, as PgBouncer does with "
    "pool_mode = transaction: set pool_mode = session for this database, or connect to Postgres itself"
)


async def require(connection: asyncpg.Connection, url: SecretStr) -> None:
    """Raise FatalError when a pooler changes the session of the connection. The connection must be without work.

    Raises what `database.connect` raises.
    """
    if await _is(connection, f"pg_backend_pid() = {connection.get_server_pid()}"):
        return  # a pooler makes these numbers up
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            other = await database.connect(url, application="summit-session-check")
            try:
                kept = all([await _keeps(connection, other) for _ in range(_TRIES)])
            finally:
                other.terminate()
    except TimeoutError:
        return  # it waits for a session, which are all kept
    if not kept:
        raise FatalError(_NOT_KEPT)


async def _keeps(connection: asyncpg.Connection, other: asyncpg.Connection) -> bool:
    """Mark the session of one connection, and look over which of the two the mark is found.

    Statements without arguments need no prepared statement, which would be lost in the case that this looks for.
    """
    mark = secrets.token_hex(8)
    is_marked = f"current_setting('summit.mark', true) = '{mark}'"
    await connection.execute(f"SELECT set_config('summit.mark', '{mark}', false)")
    async with other.transaction():  # as long as it lasts, it has a session for itself
        return not await _is(other, is_marked) and await _is(connection, is_marked)


async def _is(connection: asyncpg.Connection, condition: str) -> bool:
    return bool(await connection.execute(f"SELECT WHERE {condition}") == "SELECT 1")
