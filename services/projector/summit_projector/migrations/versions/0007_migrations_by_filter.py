"""An index for each filter and order of the list of migrations."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    newest_first = sa.text("created_at DESC")
    for name, column in {
        "datacenter": "datacenter_id",
        "cluster": "cluster",
        "namespace": "namespace",
        "phase": "phase",
        "direction": "direction",
    }.items():
        op.create_index(f"migrations_by_{name}", "migrations", [column, newest_first])
    op.create_index("migrations_by_start", "migrations", [sa.text("start_time DESC")])
    op.create_index("migrations_by_end", "migrations", [sa.text("end_time DESC")])
