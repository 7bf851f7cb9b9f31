"""How far the disks of a VM are while it is being provisioned."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("vms", sa.Column("provisioning_progress", sa.BigInteger()))
