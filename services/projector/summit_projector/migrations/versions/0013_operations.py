"""What was asked to be done to VMs, and how far it is."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "operations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=True),
        sa.Column("vm_id", sa.Text(), nullable=True),
        sa.Column("vm_name", sa.Text(), nullable=True),
        sa.Column("namespace", sa.Text(), nullable=True),
        sa.Column("cluster", sa.Text(), nullable=True),
        sa.Column("datacenter", sa.Text(), nullable=True),
        sa.Column("parameters", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("dry_run", sa.Boolean(), nullable=True),
        sa.Column("by", sa.Text(), nullable=True),
        sa.Column("parent", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=True),
        sa.Column("accepted", sa.Boolean(), nullable=True),
        sa.Column("progress", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("executor", sa.Text(), nullable=True),
        sa.Column("instance", sa.Text(), nullable=True),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("observed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "operations_active",
        "operations",
        ["cluster", "vm_id"],
        unique=False,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index(
        "operations_by_action", "operations", ["action", sa.literal_column("requested_at DESC")], unique=False
    )
    op.create_index("operations_by_age", "operations", [sa.literal_column("requested_at DESC"), "id"], unique=False)
    op.create_index("operations_by_caller", "operations", ["by", sa.literal_column("requested_at DESC")], unique=False)
    op.create_index(
        "operations_by_cluster", "operations", ["cluster", sa.literal_column("requested_at DESC")], unique=False
    )
    op.create_index(
        "operations_by_datacenter", "operations", ["datacenter", sa.literal_column("requested_at DESC")], unique=False
    )
    op.create_index(
        "operations_by_namespace", "operations", ["namespace", sa.literal_column("requested_at DESC")], unique=False
    )
    op.create_index(
        "operations_by_parent", "operations", ["parent", sa.literal_column("requested_at DESC")], unique=False
    )
    op.create_index(
        "operations_by_state", "operations", ["state", sa.literal_column("requested_at DESC")], unique=False
    )
    op.create_index("operations_by_vm", "operations", ["vm_id", sa.literal_column("requested_at DESC")], unique=False)
    op.add_column("clusters", sa.Column("may", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column("vms", sa.Column("live_migratable_reason", sa.Text(), nullable=True))
