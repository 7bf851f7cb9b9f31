"""Alembic's entry: runs the revisions on the connection it was given, one migrator at a time."""

import re

from alembic import context
from sqlalchemy import text

from summit_models.tables import metadata

# By schema, since advisory locks belong to the whole database; held until the transaction ends.
_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('summit-migrate'), hashtext(current_schema()))")
_PARTITION = re.compile(r"events_\d{4}_\d{2}")


def include_name(name: str | None, type_: str, _: object) -> bool:
    """Partitions come and go with the months; they are no part of the schema."""
    return not (type_ == "table" and name and _PARTITION.fullmatch(name))


connection = context.config.attributes["connection"]
connection.execute(_LOCK)
context.configure(connection=connection, target_metadata=metadata, include_name=include_name)
context.run_migrations()
