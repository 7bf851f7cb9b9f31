"""The checkpoint shows when rows have changed in another way than by the next event."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("checkpoint", sa.Column("generation", sa.BigInteger(), nullable=False, server_default="0"))
    op.alter_column("checkpoint", "generation", server_default=None)
