"""The identity of the cluster that answers, so that another one behind its address is noticed."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("clusters", sa.Column("identity", sa.Text()))
