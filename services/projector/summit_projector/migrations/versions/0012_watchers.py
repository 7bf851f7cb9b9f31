"""Which watcher has a cluster, how far its clock is off, and which cluster it is declared beside."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("clusters", sa.Column("duplicate_of", sa.Text(), nullable=True))
    op.add_column("clusters", sa.Column("watcher", sa.Text(), nullable=True))
    op.add_column("clusters", sa.Column("clock_offset_seconds", sa.BigInteger(), nullable=True))
