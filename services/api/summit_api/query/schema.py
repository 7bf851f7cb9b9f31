"""Which revision of the schema the tables are at; the projector migrates them."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


async def schema_revision(connection: AsyncConnection) -> str | None:
    """What alembic wrote; None in a schema it has begun but not finished."""
    return (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar_one_or_none()
