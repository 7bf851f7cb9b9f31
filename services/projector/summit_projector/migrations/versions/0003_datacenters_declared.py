"""What the configuration said of a datacenter that was edited since, and the VMs that were added by hand."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("datacenters", sa.Column("declared", JSONB()))
    op.create_index(
        "vms_unmanaged", "vms", ["observed_at"], postgresql_where=sa.text("deleted_at IS NULL AND NOT managed")
    )
