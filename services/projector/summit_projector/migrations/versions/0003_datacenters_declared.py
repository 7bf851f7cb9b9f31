"""What the configuration said of a datacenter that was edited since."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("datacenters", sa.Column("declared", JSONB()))
