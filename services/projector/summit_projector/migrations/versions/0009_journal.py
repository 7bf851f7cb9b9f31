"""The history of VMs becomes the journal of every collection, and `set_aside` becomes `dead_letters`.

Tables and partitions are renamed, and columns are added with a default that Postgres does not write into old rows. So
this takes a moment, however long the history is.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

TIMESTAMPTZ = sa.DateTime(timezone=True)
CHECKPOINT = "SELECT stream_created_at, history_since FROM checkpoint"
PARTITIONS = """
SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = 'vm_events'::regclass AND child.relname LIKE 'vm\\_events\\_%'
"""
# Entries of earlier streams, and states that were carried over from dropped months: they are no event of this stream.
OF_NO_STREAM = """
UPDATE events SET stream_created_at = NULL
WHERE time < :stream_created_at OR (time = :history_since AND type = 'summit.vm.observed')
"""


def upgrade() -> None:
    _rename_history()
    _note_the_stream()
    _dead_letters()
    # Until now only VMs had a history. A feed that goes on from before this revision would miss the other collections.
    op.execute("UPDATE checkpoint SET generation = generation + 1")


def _rename_history() -> None:
    for name in op.get_bind().scalars(sa.text(PARTITIONS)).all():
        op.rename_table(name, name.removeprefix("vm_"))
    op.rename_table("vm_events", "events")
    op.execute("ALTER INDEX vm_events_pkey RENAME TO events_pkey")
    op.execute("ALTER INDEX vm_events_by_vm RENAME TO events_by_key")
    op.alter_column("events", "observed_at", new_column_name="time")
    op.alter_column("events", "vm_id", new_column_name="key")
    op.drop_column("events", "epoch")
    op.add_column("events", sa.Column("collection", sa.Text(), nullable=False, server_default="vms"))
    op.alter_column("events", "collection", server_default=None)


def _note_the_stream() -> None:
    checkpoint = op.get_bind().execute(sa.text(CHECKPOINT)).one_or_none()
    stream = sa.text(f"'{checkpoint.stream_created_at.isoformat()}'") if checkpoint else None
    op.add_column("events", sa.Column("stream_created_at", TIMESTAMPTZ, server_default=stream))
    op.alter_column("events", "stream_created_at", server_default=None)
    if checkpoint:
        op.get_bind().execute(sa.text(OF_NO_STREAM), checkpoint._asdict())


def _dead_letters() -> None:
    op.rename_table("set_aside", "dead_letters")
    op.execute("ALTER INDEX set_aside_pkey RENAME TO dead_letters_pkey")
    op.alter_column("dead_letters", "set_aside_at", new_column_name="dead_lettered_at")
