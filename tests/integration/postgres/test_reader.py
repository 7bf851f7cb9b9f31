"""The user that may only read: tried from outside with every table, and with all else that SQL can do."""

import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest
from support.projecting import Readings, projector, projector_settings, publish, publisher
from support.published import vm_event
from support.reader import as_reader

from summit_projector.tables import reader
from summit_projector.tables.partitions import create_statement, month_of
from summit_runtime.process import FatalError

TABLES = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') ORDER BY 1"
LATER = month_of(datetime(2031, 5, 1, tzinfo=UTC))
ON_EACH_TABLE = (
    "INSERT INTO {} DEFAULT VALUES",
    "DELETE FROM {}",
    "TRUNCATE {}",
    "ALTER TABLE {} ADD COLUMN mine text",
    "DROP TABLE {}",
    "CREATE INDEX ON {} ((1))",
    "SELECT * FROM {} FOR UPDATE",
    "LOCK TABLE {} IN ROW EXCLUSIVE MODE",
    "COMMENT ON TABLE {} IS 'mine'",
    "CREATE TRIGGER mine BEFORE INSERT ON {} EXECUTE FUNCTION vm_labels_keep()",
)
ELSEWHERE = (
    "UPDATE vms SET name = 'mine'",
    "UPDATE checkpoint SET revision = 0",
    "UPDATE alembic_version SET version_num = '0'",
    "CREATE TABLE mine (x int)",
    "CREATE TEMPORARY TABLE mine (x int)",
    "CREATE SCHEMA mine",
    "CREATE ROLE mine",
    "CREATE DATABASE mine",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "ALTER FUNCTION label_terms(jsonb) RENAME TO mine",
    "DROP FUNCTION label_terms(jsonb) CASCADE",
    "SELECT * FROM public_rebuild.vms",
    "SET ROLE summit",
    "ALTER ROLE summit PASSWORD 'mine'",
    "ALTER SYSTEM SET work_mem = '1GB'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT rolpassword FROM pg_authid",
    "COPY vms TO PROGRAM 'cat'",
    "COPY vms TO '/tmp/mine'",
    "SELECT lo_import('/etc/passwd')",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'summit'",
)
RIGHTS = "SELECT oid, relacl::text FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY oid"


@pytest.fixture
async def owner(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """The owner of tables with a month that was made after the rights were granted, and of a schema of a rebuild."""
    owner = await asyncpg.connect(database_url)
    await owner.execute("CREATE SCHEMA public_rebuild; CREATE TABLE public_rebuild.vms (LIKE vms)")
    await owner.execute(create_statement(LATER))
    yield owner
    await owner.close()


@pytest.fixture
async def user(owner: asyncpg.Connection) -> AsyncIterator[str]:
    """A user that has been admitted to existing tables, as in a data directory from before there was such a user."""
    user = f"reader_{secrets.token_hex(4)}"
    await reader.admit(owner, user, "it's")
    yield user
    await owner.execute(f"DROP OWNED BY {user}; DROP ROLE {user}")


async def test_reader_can_read_every_table_and_do_nothing_else(
    owner: asyncpg.Connection, user: str, database_url: str
) -> None:
    """`default_transaction_read_only` would be no right: whoever has it can unset it."""
    connection = await asyncpg.connect(as_reader(database_url, user, "it's"))
    await connection.execute("SET default_transaction_read_only = off")
    await owner.execute(create_statement(LATER.next))
    tables = [name for (name,) in await owner.fetch(TABLES)]
    assert {"vms", "events", "checkpoint", LATER.partition, LATER.next.partition} <= {*tables}
    rights = await owner.fetch(RIGHTS)
    for table in tables:
        await connection.fetch(f"TABLE {table}")
        await connection.execute(f"GRANT ALL ON {table} TO PUBLIC")  # grants nothing, with a warning
        for statement in ON_EACH_TABLE:
            await refused(connection, statement.format(table))
    for statement in ELSEWHERE:
        await refused(connection, statement)
    assert await owner.fetch(RIGHTS) == rights
    await connection.close()


async def refused(connection: asyncpg.Connection, statement: str) -> None:
    """In a transaction of its own: what was done after all is undone before it is reported."""
    transaction = connection.transaction()
    try:
        await transaction.start()
        await connection.execute(statement)
    except asyncpg.InsufficientPrivilegeError:
        await transaction.rollback()
    except asyncpg.ActiveSQLTransactionError:  # a statement that runs outside of transactions only
        await transaction.rollback()
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    else:
        await transaction.rollback()
        pytest.fail(f"the reader may: {statement}")


async def test_projector_makes_the_reader_before_the_tables(nats_url: str, empty_database_url: str) -> None:
    """So no table is ever there that the api may not read, and one from before has its rights as well."""
    user = f"reader_{secrets.token_hex(4)}"
    settings = projector_settings(nats_url, empty_database_url, reader=user, reader_password="reads")
    async with publisher(nats_url) as client:
        for number in range(2):
            async with projector(settings):
                last = await publish(client, vm_event(f"vm-{number}"))
                await Readings(empty_database_url).applied(last)
    rows = await Readings(as_reader(empty_database_url, user)).fetch("SELECT name FROM vms ORDER BY name")
    assert [row["name"] for row in rows] == ["vm-0", "vm-1"]
    await Readings(empty_database_url).fetch(f"DROP OWNED BY {user}")
    await Readings(empty_database_url).fetch(f"DROP ROLE {user}")


async def test_reader_that_is_not_there_stops_the_projector(owner: asyncpg.Connection) -> None:
    """The sentence names both settings, of which one mends it."""
    with pytest.raises(FatalError, match=r"'nobody' of PROJECTOR_READER does not exist .* PROJECTOR_READER_PASSWORD"):
        await reader.admit(owner, "nobody")


async def test_projector_that_may_make_no_users_says_so(database_url: str) -> None:
    """The user of a database that others administer."""
    connection = await asyncpg.connect(as_reader(database_url))
    with pytest.raises(FatalError, match=r"may not create the user 'mine' of PROJECTOR_READER: give it CREATEROLE"):
        await reader.admit(connection, "mine", "secret")
    await connection.close()
