"""migration initiators."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("migrations", sa.Column("initiator", sa.Text(), nullable=True))
    op.add_column("migrations", sa.Column("operation", sa.Text(), nullable=True))
    op.add_column("migrations", sa.Column("stuck", sa.Text(), nullable=True))
    op.create_index(
        "migrations_stuck",
        "migrations",
        [sa.literal_column("created_at DESC")],
        unique=False,
        postgresql_where=sa.text("stuck IS NOT NULL"),
    )
