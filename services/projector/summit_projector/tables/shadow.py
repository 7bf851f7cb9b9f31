"""A schema beside the live one, for tables that are made again: by a rebuild, or from a stream that was replaced."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg


@asynccontextmanager
async def shadow_schema(live: asyncpg.Connection, purpose: str) -> AsyncIterator[str]:
    """An empty schema `<live schema>_<purpose>` while the block runs; one that a killed process has left is replaced.

    Raises asyncpg.InsufficientPrivilegeError when the user may not create schemas in the database.
    """
    shadow = f"{await live.fetchval('SELECT current_schema()')}_{purpose}"
    drop = f'SET client_min_messages = warning; DROP SCHEMA IF EXISTS "{shadow}" CASCADE'
    await live.execute(f'{drop}; CREATE SCHEMA "{shadow}"')
    try:
        yield shadow
    finally:
        if not live.is_closed():
            await live.execute(drop)
