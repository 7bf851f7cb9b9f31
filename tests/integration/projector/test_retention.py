"""A year of history is kept unless the operator decides otherwise, and the rest still shows how everything was.

Tables that only grow fill every disk: tombstones end with their history, and what repeats a state is none.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr
from support.api_stack import STREAM_CREATED_AT, Stack, api_over, api_stack
from support.projecting import Readings, projector, projector_settings, publish, publisher
from support.published import cluster_event, datacenter_event, migration_event, vm_event
from support.waiting import until

from summit_models.event import Event, MigrationEventType, VmEventType
from summit_projector.rebuild import rebuild
from summit_projector.settings import TIMES, ProjectorSettings
from summit_projector.tables.partitions import Month, create_statement, drop_months, month_before, month_in, month_of
from summit_projector.tables.writer import open_writer
from summit_runtime.nats.connection.clock import Clock

NOW = datetime.now(UTC)
LONG_AGO, SINCE = NOW - timedelta(days=200), month_before(NOW, 2).begin
"""The months of the two are apart, whatever the day."""
PARTITIONS = "SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = 'events'::regclass"


async def test_states_at_the_end_of_the_dropped_months_are_carried_over(database_url: str) -> None:
    """So is the state of a VM that has not changed, changed since or ended since, but not of one that ended before."""
    ended = {"type_": VmEventType.DELETED, "versions": (2, 0)}
    async with api_stack(database_url) as stack:
        stack.now = NOW
        await stack.apply(
            *(vm_event(name, time=LONG_AGO, memory=1) for name in ("same", "changed", "ended", "gone")),
            vm_event("gone", time=LONG_AGO + timedelta(days=1), **ended),
            vm_event("same", VmEventType.OBSERVED, time=NOW, memory=1),
            vm_event("changed", time=NOW - timedelta(hours=1), versions=(2, 0), memory=2),
            vm_event("ended", time=NOW - timedelta(hours=1), **ended),
        )
        async with stack.database() as database:
            dropped = await drop_months(database, months=2, now=NOW)
            assert dropped
            assert all(month.begin < SINCE for month in dropped)
            assert await drop_months(database, months=2, now=NOW) == []

        early = await stack.http.get("/api/v1/vms", params={"at": (SINCE - timedelta(seconds=1)).isoformat()})
        assert early.status_code == 410
        then = await stack.get("/api/v1/vms", at=SINCE.isoformat())
        assert [(vm["name"], vm["memory"]) for vm in then["items"]] == [("changed", 1), ("ended", 1), ("same", 1)]
        now = await stack.get("/api/v1/vms", at=NOW.isoformat())
        assert [(vm["name"], vm["memory"]) for vm in now["items"]] == [("changed", 2), ("same", 1)]
        *_, first = (await stack.get(f"/api/v1/vms/{vm_event('same').data.id}/events"))["items"]
        assert (first["type"], first["changes"]) == ("summit.vm.observed", [])


async def test_every_collection_keeps_its_last_state(database_url: str) -> None:
    """A migration that has ended and is gone has no state to keep; its row stays."""
    async with api_stack(database_url) as stack:
        await stack.apply(
            *(event.model_copy(update={"time": LONG_AGO}) for event in (datacenter_event(), cluster_event())),
            migration_event("running", time=LONG_AGO, changes={"phase": "Pending"}),
            migration_event("gone", MigrationEventType.DELETED, time=LONG_AGO, completed=True),
        )
        async with stack.database() as database:
            await drop_months(database, months=2, now=NOW)
            entries = await database.fetch("SELECT collection, type, time, data ? 'changes' AS changes FROM events")
    assert sorted(tuple(entry) for entry in entries) == [
        ("clusters", "summit.cluster.synced", SINCE, False),
        ("datacenters", "summit.datacenter.updated", SINCE, False),
        ("migrations", "summit.migration.observed", SINCE, False),
    ]


async def test_what_was_carried_over_is_no_event_of_the_stream(database_url: str) -> None:
    """The stream and the tables are compared by journal entries, and the stream has no event of this time."""
    async with api_stack(database_url) as stack:
        await stack.apply(vm_event("a", time=LONG_AGO), vm_event("b", time=LONG_AGO))
        async with open_writer(SecretStr(database_url), TIMES, history_months=2) as writer:
            await writer.prepare()
            await writer.journal.drop_old_months(NOW)
            assert await writer.journal.newest(2, STREAM_CREATED_AT) is None


def parts(rows: list[dict[str, Any]]) -> set[Month]:
    return {month for row in rows if (month := month_in(row["relname"]))}


async def test_a_projector_whose_clock_is_ahead_drops_no_history_that_is_to_be_kept(
    nats_url: str, database_url: str
) -> None:
    """A machine whose clock was two years ahead for a moment dropped all history at its start, for good."""
    settings, readings = projector_settings(nats_url, database_url, history_months=2), Readings(database_url)
    times = replace(TIMES, check_seconds=0.05, retention_seconds=0)
    ahead = Clock(lambda: datetime.now(UTC) + timedelta(days=800))
    events = [vm_event("old", time=LONG_AGO), vm_event("new", time=NOW)]
    async with publisher(nats_url) as client, projector(settings, times, ahead):
        await readings.applied(await publish(client, *events))
        kept = await until(lambda: readings.fetch(PARTITIONS), lambda rows: month_of(LONG_AGO) not in parts(rows))
        assert month_of(NOW) in parts(kept)
        assert [row["time"] for row in await readings.fetch("SELECT time FROM events ORDER BY time")] == [SINCE, NOW]


async def test_history_is_not_dropped_by_a_projector_that_is_behind(nats_url: str, database_url: str) -> None:
    """A projector that was behind carried older states over, and these hid what it applied afterwards."""
    keeping = projector_settings(nats_url, database_url)
    dropping = projector_settings(nats_url, database_url, history_months=2, batch_events=1)
    times, readings = replace(TIMES, check_seconds=0, retention_seconds=0), Readings(database_url)
    async with publisher(nats_url) as client:
        async with projector(keeping):
            await readings.applied(await publish(client, vm_event("a", time=LONG_AGO, memory=1)))
        day = timedelta(days=1)
        last = await publish(
            client,
            vm_event("a", time=SINCE - day, versions=(2, 0), memory=2),
            vm_event("a", time=NOW, versions=(3, 0), memory=3),
        )
        async with projector(dropping, times):
            await readings.applied(last)
            await until(lambda: readings.fetch(PARTITIONS), lambda rows: not parts(rows) & {month_of(LONG_AGO)})
    async with api_over(database_url) as (http, _, _):
        answer = await http.get("/api/v1/vms", params={"at": (SINCE + day).isoformat()})
        assert [vm["memory"] for vm in answer.json()["items"]] == [2]


async def test_a_backup_that_reads_the_journal_when_a_month_begins_holds_up_no_event(
    nats_url: str, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """No event was applied for as long as it took: a partition was to be made and another one to be dropped."""
    settings, readings = projector_settings(nats_url, database_url, history_months=2), Readings(database_url)
    async with publisher(nats_url) as client:
        async with projector(settings):
            await readings.applied(await publish(client, vm_event("old", time=LONG_AGO)))
        backup = await asyncpg.connect(database_url)
        await backup.execute(f"DROP TABLE {month_of(NOW).next.partition}")
        await backup.execute("BEGIN; LOCK TABLE events IN ACCESS SHARE MODE")
        times = replace(TIMES, check_seconds=0.05, retention_seconds=0.5)
        async with projector(settings, times):
            await readings.applied(await publish(client, vm_event("new", time=NOW)))
            await until(lambda: any("is not dropped yet" in line for line in caplog.messages))
            await readings.applied(await publish(client, vm_event("newer", time=NOW)))
            assert {month_of(LONG_AGO), month_of(NOW).next} <= parts(await readings.fetch(PARTITIONS))
            await backup.close()
            await until(lambda: readings.fetch(PARTITIONS), lambda rows: month_of(LONG_AGO) not in parts(rows))


def ended(name: str, time: datetime) -> list[Event]:
    """A VM and a migration that were there for a day, until this time."""
    begin = time - timedelta(days=1)
    return [
        vm_event(name, VmEventType.CREATED, time=begin),
        vm_event(name, VmEventType.DELETED, time=time, versions=(2, 0)),
        migration_event(name, time=begin),
        migration_event(name, MigrationEventType.DELETED, time=time, version=2),
    ]


async def rows(stack: Stack, table: str, column: str = "id") -> set[str]:
    async with stack.database() as database:
        return {row[column] for row in await database.fetch(f"TABLE {table}")}


async def test_tombstones_do_not_grow_for_ever(database_url: str) -> None:
    """They end with their history, with what is kept beside them, and so do dead letters. Younger ones stay."""
    old, new = vm_event("old").data.id, vm_event("new").data.id
    async with api_stack(database_url) as stack:
        stack.now = NOW
        await stack.apply(*ended("old", LONG_AGO), *ended("new", NOW - timedelta(hours=1)), vm_event("living"))
        async with stack.database() as database:
            letters = [(1, LONG_AGO), (2, NOW)]
            await database.executemany("INSERT INTO dead_letters VALUES ($1, '', '', '', $2)", letters)
            await drop_months(database, months=2, now=NOW)
        for table in ("vms", "vm_labels", "vm_words"):
            assert await rows(stack, table) == {new, vm_event("living").data.id}, table
        assert await rows(stack, "dead_letters", "revision") == {2}
        assert [found["name"] for found in await stack.get("/api/v1/migrations")] == ["new"]
        for path in (f"/api/v1/vms/{old}", f"/api/v1/vms/{old}/events"):
            assert (await stack.http.get(path)).json()["type"] == "/docs#vm-not-found"
        assert "was deleted at" in (await stack.http.get(f"/api/v1/vms/{new}")).json()["detail"]


async def test_tombstone_stays_while_the_stream_has_its_events(database_url: str) -> None:
    """A replay would bring the VM back without it, and report its row as missing."""
    async with api_stack(database_url) as stack:
        await stack.apply(*ended("old", NOW - timedelta(days=80)))
        async with stack.database() as database:
            assert await drop_months(database, months=1, now=NOW)
            assert await rows(stack, "vms") == {vm_event("old").data.id}
            await drop_months(database, months=1, now=NOW + timedelta(days=11))
        assert await rows(stack, "vms") == set()


async def test_unchanged_observed_events_do_not_grow_the_history(database_url: str) -> None:
    """The row is confirmed, and `?at=` still shows the VM between the two."""
    observed = [vm_event("a", VmEventType.OBSERVED, time=LONG_AGO + timedelta(days=days)) for days in (30, 60, 90)]
    async with api_stack(database_url) as stack:
        stack.now = NOW
        await stack.apply(vm_event("a", VmEventType.CREATED, time=LONG_AGO), observed[0])
        await stack.apply(observed[1])
        await stack.apply(observed[2])
        (vm,) = (await stack.get("/api/v1/vms"))["items"]
        assert (datetime.fromisoformat(vm["observedAt"]), vm["revision"]) == (observed[2].time, 4)
        (entry,) = (await stack.get(f"/api/v1/vms/{vm['id']}/events"))["items"]
        assert (entry["type"], entry["revision"]) == ("summit.vm.created", 1)
        then = await stack.get("/api/v1/vms", at=(LONG_AGO + timedelta(days=45)).isoformat())
        assert [vm["name"] for vm in then["items"]] == ["a"]


async def test_observed_event_is_history_where_nothing_else_is(database_url: str) -> None:
    """It is the first that is known of a VM, the first in another stream, or the VM is there again."""
    ends = vm_event("b", VmEventType.DELETED, versions=(2, 0))
    async with api_stack(database_url) as stack:
        await stack.apply(vm_event("a", VmEventType.OBSERVED), vm_event("b"), ends)
        await stack.apply(vm_event("b", VmEventType.OBSERVED, versions=(3, 0)))
        async with stack.database() as database:
            await database.execute("UPDATE vms SET epoch = -1, revision = 0 WHERE name = 'a'")
        await stack.apply(vm_event("a", VmEventType.OBSERVED), vm_event("a", VmEventType.OBSERVED))
        assert await rows(stack, "events", "revision") == {1, 2, 3, 4, 5}


async def test_rebuild_of_a_log_that_begins_with_a_repetition_finds_no_difference(
    nats_url: str, database_url: str
) -> None:
    """The events before it have aged out of the log, and the journal has them."""
    settings = projector_settings(nats_url, database_url)
    async with publisher(nats_url) as client:
        async with projector(settings):
            await Readings(database_url).applied(await publish(client, vm_event("a", VmEventType.OBSERVED, time=NOW)))
        connection = await asyncpg.connect(database_url)
        await connection.execute(create_statement(month_of(LONG_AGO)))
        await connection.execute("UPDATE events SET time = $1, revision = 7", LONG_AGO)
        assert (await rebuild(client, settings)).found == 0
        assert await connection.fetchval("SELECT count(*) FROM events") == 1
        await connection.close()


def test_a_year_of_history_is_kept_by_default() -> None:
    """At 5 changes a second a year is 200 GB, and the years before it would be as much each."""
    assert ProjectorSettings.model_fields["history_months"].default == 12
