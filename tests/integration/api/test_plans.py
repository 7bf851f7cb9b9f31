"""Each filter and each order of a list has its index: on a large table Postgres reads no other way."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from summit_api.access.principal import EVERYTHING, Scope
from summit_api.query import history, journal, migrations, operations, vms
from summit_api.query.migrations import MigrationPageQuery
from summit_api.query.operations import OperationFilters, OperationPageQuery
from summit_api.query.pages.order import Value
from summit_api.query.pages.paging import Listing
from summit_api.query.selection.filters import VmFilters
from summit_api.query.vms import COLUMNS, VmPageQuery
from summit_projector import migrate
from summit_projector.tables.partitions import create_statement, month_before

ROWS = 20_000

SEED = f"""
INSERT INTO vms (id, name, namespace, cluster, datacenter, managed, status, cpu, memory, disk, ip, ips, node_name,
    guest_os, labels, created_at, problems, observed_at, epoch, vm_version, vmi_version, revision)
SELECT md5(n::text), 'vm-' || md5((n * 7)::text), 'ns-' || n % 200, 'cluster-' || n % 50, 'dc-' || n % 50, n % 500 > 0,
    CASE WHEN n % 50 = 0 THEN 'error' ELSE 'status-' || n % 20 END, n % 700, n % 900, n % 800,
    '10.0.' || n / 256 || '.' || n % 256,
    '[]', 'node-' || n % 300, 'Fedora', jsonb_build_object('app', 'app-' || n % 400, 'n' || n % 300, 'x'),
    now() - n * interval '1 minute', CASE WHEN n % 500 = 0 THEN '["p"]'::jsonb ELSE '[]' END, now(), 1, 1, 1, n
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO migrations (id, name, namespace, cluster, datacenter_id, vm_name, phase, direction, completed, start_time,
    end_time, created_at, observed_at, epoch, object_version, revision)
SELECT md5(n::text), 'm-' || n, 'ns-' || n % 200, 'cluster-' || n % 50, 'dc-' || n % 50, 'vm-' || n % 5000,
    CASE WHEN n % 90 = 0 THEN 'Failed' ELSE 'Succeeded' END, CASE WHEN n % 90 = 0 THEN 'incoming' ELSE 'unknown' END,
    n % 900 > 0, now() - n * interval '1 minute', now() - n * interval '1 minute', now() - n * interval '1 minute',
    now(), 1, 1, n
FROM generate_series(1, {ROWS}) AS n;
INSERT INTO operations (id, action, vm_id, vm_name, namespace, cluster, datacenter, parameters, dry_run, by, parent,
    state, accepted, message, requested_at, deadline, ended_at, observed_at, epoch, revision)
SELECT md5(n::text), 'action-' || n % 90, md5((n % 5000)::text), 'vm-' || n % 5000, 'ns-' || n % 200,
    'cluster-' || n % 50, 'dc-' || n % 50, '{{}}', false, 'token:' || n % 90, 'p-' || n % 300, 'state-' || n % 90,
    true, '', now() - n * interval '1 minute', now(), CASE WHEN n % 900 > 0 THEN now() END, now(), 0, n
FROM generate_series(1, {ROWS}) AS n;
"""  # noqa: S608


@pytest.fixture(scope="module")
async def database(postgres: str) -> AsyncIterator[asyncpg.Connection]:
    """Large tables of which the planner knows, made once."""
    admin = await asyncpg.connect(postgres)
    await admin.execute("CREATE SCHEMA plans")
    url = f"{postgres}?search_path=plans"
    await migrate.upgrade(SecretStr(url))
    database = await asyncpg.connect(url)
    await database.execute(SEED)
    await database.execute("VACUUM ANALYZE vms, vm_labels, vm_words, migrations, operations")
    yield database
    await database.close()
    await admin.execute("DROP SCHEMA plans CASCADE")
    await admin.close()


async def indexes(database: asyncpg.Connection, listing: Listing, after: list[Value] | None) -> set[str]:
    """The indexes that the statements of a page read; fails for one that reads a whole table."""
    used: set[str] = set()
    for segment in listing.order.segments(after):
        statement = listing.statement(segment.conditions, segment.order_by, 101)
        plan = "\n".join(row[0] for row in await database.fetch(f"EXPLAIN {statement.sql}", *statement.arguments))
        assert "Seq Scan" not in plan, f"{statement.sql}\n{plan}"
        used |= set(re.findall(r"(?:using|Bitmap Index Scan on) (\w+)", plan))
    return used


FILTERS = {
    "datacenter": ({"datacenter": ["dc-1"]}, "vms_by_datacenter"),
    "cluster": ({"cluster": ["cluster-1"]}, "vms_by_cluster"),
    "namespace": ({"namespace": ["ns-1"]}, "vms_by_namespace"),
    "name": ({"name": ["vm-1"]}, "vms_by_name"),
    "status": ({"status": ["error"]}, "vms_by_status"),
    "node": ({"node": ["node-1"]}, "vms_by_node"),
    "managed": ({"managed": False}, "vms_unmanaged"),
    "problems": ({"problems": True}, "vms_with_problems"),
    "label=": ({"label": ["app=app-1"]}, "vm_labels_by_label"),
    "label in": ({"label": ["app in (app-1,app-2),n1"]}, "vm_labels_by_label"),
    "label exists": ({"label": ["n1"]}, "vm_labels_by_label"),
    "label or": ({"label": ["n1", "app=app-2,!n2"]}, "vm_labels_by_label"),
    "label!=": ({"label": ["app!=app-1"]}, "vms_by_name"),
    "q": ({"q": ["10.0.7.77"]}, "vm_words_by_word"),
    "q or": ({"q": ["10.0.7.77", "10.0.8.88"]}, "vm_words_by_word"),
}


def test_every_filter_of_vms_is_here() -> None:
    """A new filter needs an index in `tables.py` and a line in FILTERS."""
    declared = {VmFilters.model_fields[name].alias or name for name in VmFilters.declared()}
    assert {parameter for parameters, _ in FILTERS.values() for parameter in parameters} == declared


@pytest.mark.parametrize("name", FILTERS)
async def test_filter_of_vms_has_its_index(database: asyncpg.Connection, name: str) -> None:
    """A rare value is found by its own index; common values are met along the order."""
    parameters, index = FILTERS[name]
    query = VmPageQuery.model_validate(parameters)
    assert index in await indexes(database, vms.page_listing(query, EVERYTHING), None)


@pytest.mark.parametrize("direction", ["", "-"])
@pytest.mark.parametrize("name", [name for name in COLUMNS if name != "id"])
async def test_order_of_vms_has_its_index(database: asyncpg.Connection, name: str, direction: str) -> None:
    """In both directions, on the first page and on a later one.

    Equals are by name in either, so against the direction of the index each group of equals is sorted: of statuses
    there are many here, for a group of most of the fleet is quicker sorted without.
    """
    query = VmPageQuery.model_validate({"sort": f"{direction}{name}"})
    listing = vms.page_listing(query, EVERYTHING)
    index = {"nodeName": "vms_by_node", "createdAt": "vms_by_created"}.get(name, f"vms_by_{name}")
    assert index in await indexes(database, listing, None)
    columns = ", ".join(column.sql for column in query.order.columns)
    row = await database.fetchrow(f"SELECT {columns} FROM vms ORDER BY {query.order.order_by} OFFSET 9000 LIMIT 1")  # noqa: S608
    assert index in await indexes(database, listing, list(row))


async def test_part_of_the_fleet_is_found_by_index(database: asyncpg.Connection) -> None:
    """The scope of a principal is a filter like others."""
    scope = Scope(datacenters=frozenset({"dc-1"}), namespaces=frozenset({"ns-1"}))
    assert await indexes(database, vms.page_listing(VmPageQuery(), scope), None)


MIGRATIONS = {
    "datacenter": ({"datacenter": ["dc-1"]}, "migrations_by_datacenter"),
    "cluster": ({"cluster": ["cluster-1"]}, "migrations_by_cluster"),
    "namespace": ({"namespace": ["ns-1"]}, "migrations_by_namespace"),
    "vm": ({"vm": ["vm-1"]}, "migrations_by_vm"),
    "phase": ({"phase": ["Failed"]}, "migrations_by_phase"),
    "direction": ({"direction": "incoming"}, "migrations_by_direction"),
    "completed": ({"completed": False}, "migrations_active"),
    "stuck": ({"stuck": True}, "migrations_stuck"),
    **{
        f"{sign}{name}": ({"sort": f"{sign}{name}"}, f"migrations_by_{index}")
        for sign in ("", "-")
        for name, index in {
            "createdAt": "age",
            "startTime": "start",
            "endTime": "end",
            "vmName": "vm",
            "phase": "phase",
            "namespace": "namespace",
            "cluster": "cluster",
            "datacenterId": "datacenter",
        }.items()
    },
}


@pytest.mark.parametrize("name", MIGRATIONS)
async def test_filter_and_order_of_migrations_has_its_index(database: asyncpg.Connection, name: str) -> None:
    """As in the list of VMs."""
    parameters, index = MIGRATIONS[name]
    query = MigrationPageQuery.model_validate({"limit": 100, **parameters})
    assert index in await indexes(database, migrations.listing(query, query.order, EVERYTHING), None)


OPERATIONS: dict[str, tuple[dict[str, Any], str]] = {
    "datacenter": ({"datacenter": ["dc-1"]}, "operations_by_datacenter"),
    "cluster": ({"cluster": ["cluster-1"]}, "operations_by_cluster"),
    "namespace": ({"namespace": ["ns-1"]}, "operations_by_namespace"),
    "vm": ({"vm": ["1"]}, "operations_by_vm"),
    "by": ({"by": ["token:1"]}, "operations_by_caller"),
    "parent": ({"parent": ["p-1"]}, "operations_by_parent"),
    "state": ({"state": ["failed"]}, "operations_by_state"),
    "action": ({"action": ["stop"]}, "operations_by_action"),
    "ended": ({"ended": False}, "operations_active"),
    "since": ({"since": datetime.now(UTC) - timedelta(hours=1)}, "operations_by_age"),
    "-requestedAt": ({"sort": "-requestedAt"}, "operations_by_age"),
    "requestedAt": ({"sort": "requestedAt"}, "operations_by_age"),
}


def test_every_filter_of_operations_is_here() -> None:
    """As for VMs."""
    declared = {OperationFilters.model_fields[name].alias or name for name in OperationFilters.declared()}
    assert {parameter for parameters, _ in OPERATIONS.values() for parameter in parameters} - {"sort"} == declared


@pytest.mark.parametrize("name", OPERATIONS)
async def test_filter_and_order_of_operations_has_its_index(database: asyncpg.Connection, name: str) -> None:
    """As in the list of VMs."""
    parameters, index = OPERATIONS[name]
    query = OperationPageQuery.model_validate({"limit": 100, **parameters})
    assert index in await indexes(database, operations.listing(query, EVERYTHING), None)


@pytest.fixture(scope="module")
async def journal_database(database: asyncpg.Connection) -> asyncpg.Connection:
    """The same, with a journal of this month and the one before."""
    months = {month_before(datetime.now(UTC), n) for n in (0, 1)}
    for month in months:
        await database.execute(create_statement(month))
    await database.execute(
        f"""
        INSERT INTO events (revision, time, key, type, data, collection, stream_created_at)
        SELECT n, $1::timestamptz - INTERVAL '30 days' * (1 - n / {ROWS}.0), md5((n % 500)::text), 'summit.vm.updated',
            '{{}}', 'vms', $2
        FROM generate_series(1, {ROWS}) AS n
        """,  # noqa: S608
        datetime.now(UTC),
        datetime(2026, 1, 1, tzinfo=UTC),
    )
    await database.execute("VACUUM ANALYZE events")
    return database


@pytest.mark.parametrize(
    "collection", [history.VMS, history.MIGRATIONS, history.OPERATIONS, history.CLUSTERS], ids=lambda c: c.table
)
async def test_history_of_an_object_has_its_index(
    journal_database: asyncpg.Connection, collection: history.Collection
) -> None:
    """Each page reads the partitions by it, and so does the look for the state before."""
    read = await indexes(journal_database, history.listing(collection, "key", EVERYTHING), None)
    assert all(name.endswith("_revision_idx") for name in read), read


async def test_history_of_a_vm_finds_its_operations_by_index(journal_database: asyncpg.Connection) -> None:
    """The operations of the VM, and of each its events."""
    read = await indexes(journal_database, history.operations_on("key", EVERYTHING), None)
    assert "operations_by_vm" in read
    assert all(name.endswith("_revision_idx") for name in read - {"operations_by_vm"}), read


async def test_feed_reads_the_journal_by_revision(journal_database: asyncpg.Connection) -> None:
    """The primary key of each partition serves it: there is no index on the revision alone."""
    arguments = (ROWS - 3, ROWS, datetime(2026, 1, 1, tzinfo=UTC), 1000)
    plan = "\n".join(row[0] for row in await journal_database.fetch(f"EXPLAIN {journal.ENTRIES}", *arguments))
    assert "Seq Scan" not in plan, plan
    assert set(re.findall(r"(?:using|Bitmap Index Scan on) (\w+)", plan)) == set(re.findall(r"\w+_pkey", plan))
