"""Datacenters that the configuration does not declare any more."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("datacenters", sa.Column("retired", sa.Boolean(), server_default=sa.false()))
    op.alter_column("datacenters", "retired", server_default=None)
