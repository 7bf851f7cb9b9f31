"""A VM or migration is identified by its uid and the cluster that shows it: two clusters may show the same uid.

Rows have had one cluster so far, so each keeps its row under the new key. The journal stays as it is: the data of an
entry names the cluster. Tables of VMs are rewritten, which takes seconds with 100 000 VMs.
"""

from alembic import op

revision = "0011"
down_revision = "0010"

_LISTED = {
    "vms_by_name": "name",
    "vms_by_datacenter": "datacenter, name",
    "vms_by_cluster": "cluster, name",
    "vms_by_namespace": "namespace, name",
    "vms_by_status": "status, name",
    "vms_by_node": "node_name, name",
    "vms_by_cpu": "cpu DESC, name",
    "vms_by_memory": "memory DESC, name",
    "vms_by_disk": "disk DESC, name",
    "vms_by_created": "created_at DESC, name",
}
_OF_SOME = {"vms_unmanaged": "NOT managed", "vms_with_problems": "problems <> '[]'"}
_TEXT = "vm_text(NEW.name, NEW.namespace, NEW.node_name, NEW.guest_os, NEW.ip, NEW.ips)"
_BESIDE = {
    "vm_labels": ("labels", "label_terms(NEW.labels)"),
    "vm_words": ("text, words", f"{_TEXT}, text_words({_TEXT})"),
}
"""Their columns beside the key, and the values of these, as in 0008."""


def upgrade() -> None:
    _identify_vms()
    _identify_migrations()
    for table, (targets, values) in _BESIDE.items():
        _identify_beside(table, targets, values)


def _identify_vms() -> None:
    op.execute("""
        ALTER TABLE vms ADD COLUMN shown_by text
        GENERATED ALWAYS AS (CASE WHEN managed THEN coalesce(cluster, '') ELSE '' END) STORED NOT NULL
    """)
    op.execute("ALTER TABLE vms DROP CONSTRAINT vms_pkey, ADD PRIMARY KEY (id, shown_by)")
    for index in (*_LISTED, *_OF_SOME):
        op.execute(f"DROP INDEX {index}")
    for index, columns in _LISTED.items():
        op.execute(f"CREATE INDEX {index} ON vms ({columns}, id, shown_by) WHERE deleted_at IS NULL")
    for index, condition in _OF_SOME.items():
        op.execute(f"CREATE INDEX {index} ON vms (name, id, shown_by) WHERE deleted_at IS NULL AND {condition}")


def _identify_migrations() -> None:
    op.execute("UPDATE migrations SET cluster = '' WHERE cluster IS NULL")
    op.execute("ALTER TABLE migrations DROP CONSTRAINT migrations_pkey, ADD PRIMARY KEY (id, cluster)")
    op.execute("DROP INDEX migrations_by_age")
    op.execute("CREATE INDEX migrations_by_age ON migrations (created_at DESC, id, cluster)")


def _identify_beside(table: str, targets: str, values: str) -> None:
    """Identify the rows of a table that triggers keep beside `vms` in the same way."""
    assignments = ", ".join(f"{target} = excluded.{target}" for target in targets.split(", "))
    op.execute(f"ALTER TABLE {table} ADD COLUMN shown_by text")
    op.execute(f"UPDATE {table} SET shown_by = vms.shown_by FROM vms WHERE vms.id = {table}.id")  # noqa: S608
    op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey, ADD PRIMARY KEY (id, shown_by)")
    op.execute(f"""
        CREATE OR REPLACE FUNCTION {table}_keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF TG_OP = 'DELETE' THEN
                DELETE FROM {table} WHERE id = OLD.id AND shown_by = OLD.shown_by;
            ELSE
                INSERT INTO {table} (id, shown_by, {targets}) VALUES (NEW.id, NEW.shown_by, {values})
                ON CONFLICT (id, shown_by) DO UPDATE SET {assignments};
            END IF;
            RETURN NULL;
        END $$
    """)  # noqa: S608  names are our own
