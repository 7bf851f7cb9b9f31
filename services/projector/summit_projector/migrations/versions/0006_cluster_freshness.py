"""More about a cluster's connection: KubeVirt's version, the end of its credentials, events that wait for NATS."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("clusters", sa.Column("kubevirt_version", sa.Text()))
    op.add_column("clusters", sa.Column("credentials_expire_at", sa.DateTime(timezone=True)))
    op.add_column("clusters", sa.Column("waiting_events", sa.BigInteger(), server_default="0"))
    op.alter_column("clusters", "waiting_events", server_default=None)
