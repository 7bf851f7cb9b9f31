"""The user that may only read: the api's. What it may do is granted, not set, so nothing that it sends can change it.

Rights to the tables that are made later, such as the months of the journal, are granted in advance.
"""

import asyncpg

from summit_runtime.process import FatalError

_EXISTS = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)"
_HERE = "SELECT quote_ident(current_schema()) AS schema, quote_ident(current_database()) AS database"
# In a schema that is shared, tables of others are theirs to grant.
_OURS = """
SELECT quote_ident(relname) FROM pg_class
WHERE relnamespace = quote_ident(current_schema())::regnamespace AND relkind IN ('r', 'p')
    AND pg_has_role(relowner, 'USAGE')
"""


async def admit(connection: asyncpg.Connection, user: str, password: str | None = None) -> None:
    """Let a user read our tables in the connection's schema, those that this user of ours makes later included.

    With a password, make the user first, or change its password. Raises FatalError for a user that is not there and may
    not be made.
    """
    if password is not None:
        await _make(connection, user, password)
    elif not await connection.fetchval(_EXISTS, user):
        raise FatalError(
            f"the user {user!r} of PROJECTOR_READER does not exist in Postgres: create it, or set "
            "PROJECTOR_READER_PASSWORD, with which the projector creates it"
        )
    schema, reader = (await connection.fetchrow(_HERE))["schema"], _name(user)
    tables = [f"{schema}.{name}" for (name,) in await connection.fetch(_OURS)]
    await connection.execute(f"""
        GRANT USAGE ON SCHEMA {schema} TO {reader};
        ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO {reader};
        {f"GRANT SELECT ON {', '.join(tables)} TO {reader}" if tables else ""}
    """)


async def _make(connection: asyncpg.Connection, user: str, password: str) -> None:
    reader = _name(user)
    try:
        if not await connection.fetchval(_EXISTS, user):
            await connection.execute(f"CREATE ROLE {reader}")
        # What may not be done fails before the statement with the password, which Postgres would log.
        await connection.execute(f"ALTER ROLE {reader} LOGIN")
        await connection.execute(f"ALTER ROLE {reader} PASSWORD {_text(password)}")
    except asyncpg.InsufficientPrivilegeError as error:
        raise FatalError(
            f"the user of DATABASE_URL may not create the user {user!r} of PROJECTOR_READER: give it "
            "CREATEROLE, or create the user yourself and leave PROJECTOR_READER_PASSWORD empty"
        ) from error
    # Everybody may make temporary tables, so this is no grant that could be left out.
    await connection.execute(
        f"REVOKE TEMPORARY ON DATABASE {(await connection.fetchrow(_HERE))['database']} FROM PUBLIC"
    )


def _name(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
