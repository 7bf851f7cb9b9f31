"""An index for each filter and order of lists, free text and labels beside their VMs, and history by time."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, TSVECTOR

revision = "0004"
down_revision = "0003"

TEXT = sa.Text()
LIVE = sa.text("deleted_at IS NULL")

SEPARATORS = "-._:/(),"
"""Between the words of a text, beside the space. `summit_api.query.search` has the same."""
LONGEST = 400
"""Characters of a word or label by which it is found. More than 2 kB is refused by tsvector, 2.7 kB by an index, and
an event must not fail for it."""


def upgrade() -> None:
    _orders()
    _labels()
    _words()
    _history()


def _orders() -> None:
    op.create_index("vms_by_node", "vms", ["node_name", "name", "id"], postgresql_where=LIVE)
    for column in ("cpu", "memory", "disk", "created_at"):
        op.create_index(
            f"vms_by_{column.removesuffix('_at')}",
            "vms",
            [sa.text(f"{column} DESC"), "name", "id"],
            postgresql_where=LIVE,
        )
    op.create_index(
        "vms_with_problems", "vms", ["name", "id"], postgresql_where=sa.text("deleted_at IS NULL AND problems <> '[]'")
    )
    # Its column was observed_at, which each event changes: no update of any VM could stay on its page (HOT), seven
    # times the cost of one that does.
    op.drop_index("vms_unmanaged", "vms")
    op.create_index(
        "vms_unmanaged", "vms", ["name", "id"], postgresql_where=sa.text("deleted_at IS NULL AND NOT managed")
    )


def _labels() -> None:
    op.create_table(
        "vm_labels",
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("labels", ARRAY(TEXT), nullable=False),
    )
    op.execute(f"""
        CREATE FUNCTION label_terms(labels jsonb) RETURNS text[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$ BEGIN
            RETURN ARRAY(SELECT left(key, {LONGEST}) FROM jsonb_object_keys(labels) AS key)
                || ARRAY(SELECT left(key || '=' || value, {LONGEST}) FROM jsonb_each_text(labels));
        END $$
    """)  # noqa: S608  names are our own
    op.execute("INSERT INTO vm_labels (id, labels) SELECT id, label_terms(labels) FROM vms")
    op.create_index("vm_labels_by_label", "vm_labels", ["labels"], postgresql_using="gin")
    _keep("vm_labels", "labels", "label_terms(NEW.labels)", ("labels",))


def _words() -> None:
    op.create_table(
        "vm_words",
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("text", TEXT, nullable=False),
        sa.Column("words", TSVECTOR, nullable=False),
    )
    op.execute("""
        CREATE FUNCTION vm_text(name text, namespace text, node_name text, guest_os text, ip text, ips jsonb)
        RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
            SELECT lower(concat_ws(' ', name, namespace, node_name, guest_os, ip,
                translate(nullif(ips, '[]')::text, '[]",', '')))
        $$
    """)
    # plpgsql keeps the plan of an expression, SQL makes it each time: half the time of either function.
    op.execute(f"""
        CREATE FUNCTION text_words(value text) RETURNS tsvector LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
        DECLARE
            words text[] := array_remove(string_to_array(
                translate(left(value, 20000), '{SEPARATORS}', '{" " * len(SEPARATORS)}'), ' '), '');
        BEGIN
            IF length(value) > {LONGEST} THEN
                words := ARRAY(SELECT left(word, {LONGEST}) FROM unnest(words) AS word);
            END IF;
            RETURN array_to_tsvector(words);
        END $$
    """)  # noqa: S608
    columns = ("name", "namespace", "node_name", "guest_os", "ip", "ips")
    op.execute(f"""
        INSERT INTO vm_words (id, text, words)
        SELECT id, value, text_words(value) FROM vms, LATERAL vm_text({", ".join(columns)}) AS value
    """)  # noqa: S608
    op.create_index("vm_words_by_word", "vm_words", ["words"], postgresql_using="gin")
    value = f"vm_text({', '.join(f'NEW.{column}' for column in columns)})"
    _keep("vm_words", "text, words", f"{value}, text_words({value})", columns)


def _keep(table: str, targets: str, values: str, columns: tuple[str, ...]) -> None:
    """Let triggers keep a table beside `vms`, touched only when the columns it is made of change.

    In `vms` itself the index would make each change of a label cost an entry in every index: measured with 12 of
    them, 70 µs of Postgres' time instead of 35.
    """
    assignments = ", ".join(f"{target} = excluded.{target}" for target in targets.split(", "))
    op.execute(f"""
        CREATE FUNCTION {table}_keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF TG_OP = 'DELETE' THEN
                DELETE FROM {table} WHERE id = OLD.id;
            ELSE
                INSERT INTO {table} (id, {targets}) VALUES (NEW.id, {values})
                ON CONFLICT (id) DO UPDATE SET {assignments};
            END IF;
            RETURN NULL;
        END $$
    """)  # noqa: S608  names are our own
    old, new = (", ".join(f"{row}.{column}" for column in columns) for row in ("OLD", "NEW"))
    op.execute(
        f"CREATE TRIGGER {table}_added AFTER INSERT OR DELETE ON vms FOR EACH ROW EXECUTE FUNCTION {table}_keep()"
    )
    op.execute(
        f"CREATE TRIGGER {table}_changed AFTER UPDATE ON vms FOR EACH ROW "
        f"WHEN (({old}) IS DISTINCT FROM ({new})) EXECUTE FUNCTION {table}_keep()"
    )


def _history() -> None:
    op.drop_index("vm_events_by_vm", "vm_events")
    op.create_index("vm_events_by_vm", "vm_events", ["vm_id", "observed_at", "revision"])
    op.add_column("checkpoint", sa.Column("history_since", sa.DateTime(timezone=True)))
