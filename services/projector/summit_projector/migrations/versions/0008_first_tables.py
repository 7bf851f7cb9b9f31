"""The tables as they were before the journal, in one step: no data directory has an earlier revision.

The present state, the history of VMs, events that could not be applied, the checkpoint, and texts and labels beside
their VMs.
"""

from alembic import op

revision = "0008"
down_revision = None

SEPARATORS = "-._:/(),"
"""Between the words of a text, beside the space. `summit_api.query.selection.search` has the same."""
LONGEST = 400
"""Characters of a word or label by which it is found. More than 2 kB is refused by tsvector, 2.7 kB by an index, and
an event must not fail for it."""

# The fillfactor leaves room on each page for the next state of all its rows: an update that moves no index entry stays
# on the page (HOT). Measured with each VM updated in turn: at 50 all updates are HOT, in half the time of 85 and in
# less space in the end.
TABLES = """
CREATE TABLE checkpoint (
    stream text PRIMARY KEY, revision bigint NOT NULL, stream_created_at timestamptz NOT NULL, event_id text,
    applied_at timestamptz NOT NULL, generation bigint NOT NULL, history_since timestamptz
);
CREATE TABLE clusters (
    name text PRIMARY KEY, datacenter text, state text, since timestamptz, reason text, server_version text,
    last_contact timestamptz, resources jsonb,
    observed_at timestamptz NOT NULL, epoch bigint NOT NULL, revision bigint NOT NULL,
    identity text, kubevirt_version text, credentials_expire_at timestamptz, waiting_events bigint
) WITH (fillfactor = 50);
CREATE TABLE datacenters (
    id text PRIMARY KEY, name text, location text, coordinates jsonb, clusters jsonb,
    observed_at timestamptz NOT NULL, epoch bigint NOT NULL, revision bigint NOT NULL,
    declared jsonb, retired boolean
);
CREATE TABLE migrations (
    id text PRIMARY KEY, name text, namespace text, cluster text, datacenter_id text, vm_id text, vm_name text,
    phase text, direction text, completed boolean, failure_reason text, mode text,
    source_cluster text, target_cluster text, source_node text, target_node text, source_pod text, target_pod text,
    start_time timestamptz, end_time timestamptz, phase_transitions jsonb, created_at timestamptz,
    labels jsonb, send_to_url text, receive_from_id text, migration_id text,
    observed_at timestamptz NOT NULL, epoch bigint NOT NULL, object_version bigint NOT NULL, revision bigint NOT NULL,
    deleted_at timestamptz
) WITH (fillfactor = 50);
CREATE TABLE set_aside (
    revision bigint PRIMARY KEY, subject text NOT NULL, reason text NOT NULL, body bytea NOT NULL,
    set_aside_at timestamptz NOT NULL
);
CREATE TABLE vm_events (
    revision bigint, observed_at timestamptz, vm_id text NOT NULL, type text NOT NULL, epoch bigint NOT NULL,
    data jsonb NOT NULL, PRIMARY KEY (revision, observed_at)
) PARTITION BY RANGE (observed_at);
CREATE TABLE vms (
    id text PRIMARY KEY, name text, namespace text, cluster text, datacenter text, kind text, managed boolean,
    status text, printable_status text, phase text, ready boolean, run_strategy text,
    cpu bigint, memory bigint, disk bigint, memory_bytes bigint, disk_bytes bigint,
    ip text, ips jsonb, node_name text, guest_os text, instancetype text, machine_type text, firmware_uuid text,
    labels jsonb, live_migratable boolean, agent_connected boolean,
    migration_status text, migration_source text, migration_target text, last_migrated_at timestamptz,
    created_at timestamptz, started_at timestamptz, problems jsonb,
    observed_at timestamptz NOT NULL, epoch bigint NOT NULL, vm_version bigint NOT NULL, vmi_version bigint NOT NULL,
    revision bigint NOT NULL, deleted_at timestamptz
) WITH (fillfactor = 50);
"""

# One for each filter and order of the lists, in the order of their pages. None has a column that each event changes:
# then no update of any VM could stay on its page, at seven times the cost.
INDEXES = """
CREATE INDEX migrations_active ON migrations (created_at DESC) WHERE NOT completed;
CREATE INDEX migrations_by_age ON migrations (created_at DESC, id);
CREATE INDEX migrations_by_vm ON migrations (vm_name, created_at DESC);
CREATE INDEX migrations_by_datacenter ON migrations (datacenter_id, created_at DESC);
CREATE INDEX migrations_by_cluster ON migrations (cluster, created_at DESC);
CREATE INDEX migrations_by_namespace ON migrations (namespace, created_at DESC);
CREATE INDEX migrations_by_phase ON migrations (phase, created_at DESC);
CREATE INDEX migrations_by_direction ON migrations (direction, created_at DESC);
CREATE INDEX migrations_by_start ON migrations (start_time DESC);
CREATE INDEX migrations_by_end ON migrations (end_time DESC);
CREATE INDEX vm_events_by_vm ON vm_events (vm_id, observed_at, revision);
CREATE INDEX vms_by_cluster ON vms (cluster, name, id) WHERE deleted_at IS NULL;
CREATE INDEX vms_by_datacenter ON vms (datacenter, name, id) WHERE deleted_at IS NULL;
CREATE INDEX vms_by_name ON vms (name, id) WHERE deleted_at IS NULL;
CREATE INDEX vms_by_namespace ON vms (namespace, name, id) WHERE deleted_at IS NULL;
CREATE INDEX vms_by_status ON vms (status, name, id) WHERE deleted_at IS NULL;
CREATE INDEX vms_by_node ON vms (node_name, name, id) WHERE deleted_at IS NULL;
CREATE INDEX vms_by_cpu ON vms (cpu DESC, name, id) WHERE deleted_at IS NULL;
CREATE INDEX vms_by_memory ON vms (memory DESC, name, id) WHERE deleted_at IS NULL;
CREATE INDEX vms_by_disk ON vms (disk DESC, name, id) WHERE deleted_at IS NULL;
CREATE INDEX vms_by_created ON vms (created_at DESC, name, id) WHERE deleted_at IS NULL;
CREATE INDEX vms_with_problems ON vms (name, id) WHERE deleted_at IS NULL AND problems <> '[]';
CREATE INDEX vms_unmanaged ON vms (name, id) WHERE deleted_at IS NULL AND NOT managed;
"""


def upgrade() -> None:
    for statement in f"{TABLES}{INDEXES}".split(";")[:-1]:  # asyncpg prepares one at a time
        op.execute(statement)
    _labels()
    _words()


def _labels() -> None:
    op.execute("CREATE TABLE vm_labels (id text PRIMARY KEY, labels text[] NOT NULL)")
    op.execute(f"""
        CREATE FUNCTION label_terms(labels jsonb) RETURNS text[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$ BEGIN
            RETURN ARRAY(SELECT left(key, {LONGEST}) FROM jsonb_object_keys(labels) AS key)
                || ARRAY(SELECT left(key || '=' || value, {LONGEST}) FROM jsonb_each_text(labels));
        END $$
    """)  # noqa: S608  names are our own
    op.execute("CREATE INDEX vm_labels_by_label ON vm_labels USING gin (labels)")
    _keep("vm_labels", "labels", "label_terms(NEW.labels)", ("labels",))


def _words() -> None:
    op.execute("CREATE TABLE vm_words (id text PRIMARY KEY, text text NOT NULL, words tsvector NOT NULL)")
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
    op.execute("CREATE INDEX vm_words_by_word ON vm_words USING gin (words)")
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
