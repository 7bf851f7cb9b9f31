"""A rebuild: the replayed tables are the same as the live ones, or differences are corrected while all goes on."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from nats.aio.client import Client
from support.projecting import (
    Readings,
    delete_log,
    projector,
    projector_settings,
    publish,
    publisher,
    put,
)
from support.published import bulk_steps, cluster_event, datacenter_event, migration_event, operation_steps, vm_event
from support.waiting import until

from summit_models.event import Event, MigrationEventType, VmEventType
from summit_models.subject import subject_of
from summit_projector.projections import PROJECTIONS
from summit_projector.rebuild import RebuildError, rebuild
from summit_projector.recovery.difference import Rebuilt
from summit_projector.tables.partitions import month_of
from summit_runtime.nats.streams.stream import ensure_stream, stream_config, stream_state

TABLES = (
    "vms",
    "migrations",
    "operations",
    "bulk_operations",
    "clusters",
    "datacenters",
    "vm_labels",
    "vm_words",
    "events",
    "dead_letters",
)
CHANGED_BY = "SELECT generation FROM checkpoint"


async def tables(readings: Readings) -> dict[str, list[dict[str, object]]]:
    """Everything in them."""
    return {table: await readings.fetch(f"TABLE {table} ORDER BY 1, 2") for table in TABLES}


def story() -> list[Event]:
    """A bit of everything: changes, an end, a name that returns, a late older event, epochs."""
    return [
        datacenter_event(),
        cluster_event(),
        *(vm_event(f"vm-{n}", VmEventType.CREATED, cpu=1) for n in range(60)),
        *(vm_event(f"vm-{n}", versions=(2, 1), cpu=2, ip=f"10.0.0.{n}") for n in range(40)),
        vm_event("vm-1", versions=(1, 1), cpu=99),
        vm_event("vm-2", VmEventType.DELETED, versions=(3, 1)),
        vm_event("vm-3", VmEventType.OBSERVED, versions=(3, 1), cpu=3),
        migration_event("done", completed=True, vm_name="vm-4"),
        migration_event("running", vm_name="vm-5"),
        migration_event("running", MigrationEventType.DELETED, version=2, vm_name="vm-5", completed=True),
        *operation_steps(name="vm-4"),
        *operation_steps(name="vm-5", ended_too=False),
        *bulk_steps("prod"),
        *bulk_steps("dev", ended_too=False),
    ]


@asynccontextmanager
async def projected(nats_url: str, database_url: str) -> AsyncIterator[tuple[Client, Readings]]:
    """A story that a running projector has applied, with a dead letter."""
    readings = Readings(database_url)
    async with publisher(nats_url) as client, projector(projector_settings(nats_url, database_url)):
        await publish(client, *story())
        stored_as = await put(client, subject_of(vm_event("bad")), b"no JSON")
        await readings.applied(stored_as)
        yield client, readings


async def rebuilt(client: Client, database_url: str, **settings: Any) -> Rebuilt:
    async with asyncio.timeout(30):
        return await rebuild(client, projector_settings("nats://unused", database_url, **settings))


async def test_a_rebuilt_model_equals_the_live_one(nats_url: str, database_url: str) -> None:
    """A replay from the first event in other batches ends in the same rows, so nothing is changed."""
    async with projected(nats_url, database_url) as (client, readings):
        before, generation = await tables(readings), await readings.fetch(CHANGED_BY)
        result = await rebuilt(client, database_url)
        assert (result.found, result.first_revision, result.revision) == (0, 1, len(story()) + 1)
        assert {table.table: table.rows for table in result.tables}["vms"] == 60
        assert await tables(readings) == before
        assert await readings.fetch(CHANGED_BY) == generation
        schemas = await readings.fetch("SELECT 1 FROM pg_namespace WHERE nspname = current_schema() || '_rebuild'")
    assert schemas == []
    assert "nothing differed" in result.as_text()


async def test_damaged_tables_are_repaired_and_the_projector_goes_on(nats_url: str, database_url: str) -> None:
    """A wrong, a missing and a surplus row, lost and changed entries: the result names them by key and column."""
    async with projected(nats_url, database_url) as (client, readings):
        before = await tables(readings)
        wrong, missing = vm_event("vm-7").data.id, vm_event("vm-8").data.id
        columns = ", ".join(PROJECTIONS["vms"].columns)
        await readings.fetch(f"UPDATE vms SET cpu = 1000, node_name = 'nowhere' WHERE id = '{wrong}'")  # noqa: S608
        await readings.fetch(f"DELETE FROM vms WHERE id = '{missing}'")  # noqa: S608
        await readings.fetch(
            f"INSERT INTO vms ({columns}) SELECT {columns} FROM "  # noqa: S608
            '(SELECT (jsonb_populate_record(vms, \'{"id": "ghost"}\')).* FROM vms LIMIT 1) AS ghost'
        )
        await readings.fetch("UPDATE clusters SET epoch = 1000")
        await readings.fetch("DELETE FROM vm_labels WHERE id IN (SELECT id FROM vms WHERE name = 'vm-9')")
        await readings.fetch("DELETE FROM events WHERE revision = 10")
        await readings.fetch("UPDATE events SET data = '{}' WHERE revision = 11")
        await readings.fetch("DELETE FROM dead_letters")
        result = await rebuilt(client, database_url)
        counts = {table.table: (table.missing, table.surplus, table.wrong) for table in result.tables if table.found}
        assert counts == {
            "events": (1, 0, 1),
            "vms": (1, 1, 1),
            "clusters": (0, 0, 1),
            "vm_labels": (1, 0, 0),
            "dead_letters": (1, 0, 0),
        }
        assert f"vms vulcan/{wrong} was wrong: cpu, node_name" in result.as_text()
        assert "vms vulcan/ghost was surplus" in result.as_text()
        after = await tables(readings)
        for row in (*before["dead_letters"], *after["dead_letters"]):
            del row["dead_lettered_at"]
        assert after == before
        await readings.applied(await publish(client, vm_event("vm-7", versions=(5, 1), cpu=8)))
        assert await readings.fetch("SELECT cpu FROM vms WHERE name = 'vm-7'") == [{"cpu": 8}]


async def test_readers_see_either_the_old_rows_or_the_new_ones(nats_url: str, database_url: str) -> None:
    """All changes are one transaction, and readers do not wait: they never see a half of each, or nothing."""
    async with projected(nats_url, database_url) as (client, readings):
        await readings.fetch("UPDATE vms SET cpu = 1000")
        reader = await asyncpg.connect(database_url)
        seen: list[tuple[int, int]] = []

        async def read() -> None:
            while True:
                async with reader.transaction(isolation="repeatable_read", readonly=True):
                    await reader.fetchval("SELECT revision FROM checkpoint")
                    rows = await reader.fetch("SELECT cpu FROM vms")
                seen.append((len(rows), sum(row["cpu"] == 1000 for row in rows)))

        reading = asyncio.create_task(read())
        await rebuilt(client, database_url)
        enough = len(seen) + 3

        async def read_so_often() -> int:
            return len(seen)

        await until(read_so_often, lambda times: times >= enough or reading.done())
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await reader.close()
    assert set(seen) == {(60, 60), (60, 0)}
    assert seen == sorted(seen, key=lambda counts: -counts[1])


async def test_events_that_come_meanwhile_are_applied_once(nats_url: str, database_url: str) -> None:
    """The projector is held for a moment only, and rows that it writes during a rebuild are no difference."""
    async with projected(nats_url, database_url) as (client, readings):

        async def change() -> int:
            last = 0
            for n in range(10, 200):
                last = await publish(client, vm_event(f"vm-{n % 60}", versions=(n, 1), cpu=n))
            return last

        changing = asyncio.create_task(change())
        results = [await rebuilt(client, database_url) for _ in range(2)]
        await readings.applied(await changing)
        assert [result.found for result in results] == [0, 0]
        assert (await rebuilt(client, database_url)).found == 0
        (history,) = await readings.fetch("SELECT count(*) AS n, count(DISTINCT revision) AS revisions FROM events")
    assert history["n"] == history["revisions"]


async def test_rows_that_are_older_than_the_stream_are_kept(nats_url: str, database_url: str) -> None:
    """So are journal entries and dead letters whose events have aged out, and VMs that were added by hand."""
    async with projected(nats_url, database_url) as (client, readings):
        stored_as = await put(client, subject_of(vm_event("bad")), b"no JSON either")
        last = await publish(client, *(vm_event(f"vm-{n}", versions=(9, 1), cpu=9) for n in range(30)))
        await readings.applied(last)
        await readings.fetch("UPDATE vms SET managed = false, cluster = NULL, revision = 108 WHERE name = 'vm-31'")
        for table in ("vm_labels", "vm_words"):
            beside = f"{table}.id = vms.id AND name = 'vm-31'"
            await readings.fetch(f"UPDATE {table} SET shown_by = '' FROM vms WHERE {beside}")  # noqa: S608
        before = await tables(readings)
        await client.jetstream().update_stream(replace(stream_config(), max_msgs=last - stored_as + 1))
        assert (await stream_state(client)).first_sequence == stored_as
        result = await rebuilt(client, database_url)
        assert (result.found, result.first_revision) == (0, stored_as)
        assert {table.table: table.kept for table in result.tables} == {
            "events": 0, "vms": 30, "migrations": 2, "operations": 2, "bulk_operations": 2, "clusters": 1,
            "datacenters": 1, "vm_labels": 30, "vm_words": 30, "dead_letters": 1,
        }  # fmt: skip
        assert await tables(readings) == before


async def test_months_that_were_dropped_stay_dropped(nats_url: str, database_url: str) -> None:
    """The operator keeps less history than the stream does."""
    now = datetime.now(UTC)
    old = (now - timedelta(days=70)).replace(day=1)
    async with projected(nats_url, database_url) as (client, readings):
        await readings.applied(await publish(client, vm_event("old", time=old), vm_event("new", time=now)))
        await readings.fetch(f"DROP TABLE {month_of(old).partition}")
        await readings.fetch(f"UPDATE checkpoint SET history_since = '{old + timedelta(days=31)}'")  # noqa: S608
        before = await tables(readings)
        assert (await rebuilt(client, database_url)).found == 0
        assert await tables(readings) == before


async def test_a_long_log_is_replayed_in_parts(nats_url: str, database_url: str) -> None:
    """The journal is merged into the live one on the way, so that it never needs its space twice."""
    async with projected(nats_url, database_url) as (client, readings):
        before = await tables(readings)
        await readings.fetch("DELETE FROM events WHERE revision % 2 = 0")
        result = await rebuilt(client, database_url, batch_events=7)
        assert result.tables[0].missing == result.found > 7
        assert await tables(readings) == before


async def test_tables_of_another_log_are_left_to_the_projector(nats_url: str, database_url: str) -> None:
    """It replaces them by itself; a rebuild from a stream that has just begun would empty the lists."""
    async with publisher(nats_url) as client:
        async with projector(projector_settings(nats_url, database_url)):
            await Readings(database_url).applied(await publish(client, *story()))
        await delete_log(client)
        await ensure_stream(client)
        await publish(client, vm_event("a"))
        with pytest.raises(RebuildError, match="created again"):
            await rebuilt(client, database_url)
    assert len(await Readings(database_url).fetch("SELECT 1 FROM vms")) == 60


async def test_rebuild_across_another_generation_is_given_up(nats_url: str, database_url: str) -> None:
    """The stream was replaced or cut meanwhile: the replay is of both, even if the stream is right again."""
    async with projected(nats_url, database_url) as (client, readings):
        before = await tables(readings)
        other = await asyncpg.connect(database_url)
        async with other.transaction():
            await other.execute("UPDATE checkpoint SET generation = generation + 1")
            rebuilding = asyncio.create_task(rebuilt(client, database_url))
            held = (
                "SELECT 1 FROM pg_stat_activity WHERE application_name = 'summit-rebuild' AND wait_event_type = 'Lock'"
            )
            await until(lambda: readings.fetch(held))
        await other.close()
        with pytest.raises(RebuildError, match="run it again"):
            await rebuilding
        assert await tables(readings) == before


async def test_tables_that_nobody_has_made_are_left_to_the_projector(nats_url: str, empty_database_url: str) -> None:
    """It creates the schema, and fills it from the stream."""
    async with publisher(nats_url) as client:
        with pytest.raises(RebuildError, match="start its projector first"):
            await rebuilt(client, empty_database_url)


async def test_tables_of_a_newer_version_are_left_to_that_version(nats_url: str, database_url: str) -> None:
    """After a downgrade this version's projector cannot migrate them, so it is no advice to start it."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE alembic_version SET version_num = '9999'")
    await connection.close()
    async with publisher(nats_url) as client:
        with pytest.raises(RebuildError, match=r"made by a newer version.*start that version again"):
            await rebuilt(client, database_url)


async def test_the_projectors_image_can_do_it(nats_url: str, database_url: str) -> None:
    """`python -m summit_projector.rebuild` is configured as the projector is, and prints the result to stdout."""
    async with projected(nats_url, database_url) as (_, readings):
        await readings.fetch("DELETE FROM clusters")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "summit_projector.rebuild",
            env={"PATH": os.environ["PATH"], "NATS_URL": nats_url, "DATABASE_URL": database_url},
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await asyncio.wait_for(process.communicate(), 30)
        assert await readings.fetch("SELECT name FROM clusters") == [{"name": "vulcan"}]
    assert process.returncode == 0
    assert b"clusters: 1 rows, 1 missing, 0 surplus, 0 wrong" in output
