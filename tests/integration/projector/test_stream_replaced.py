"""Another stream under the same name is noticed, and the tables end as the new stream has them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg
from nats.aio.client import Client
from support.projecting import (
    Readings,
    delete_log,
    projector,
    projector_settings,
    publish,
    publisher,
)
from support.published import OBSERVED_AT, cluster_event, migration_event, unmanaged_event, vm_event
from support.waiting import until

from summit_models.cluster import ConnectionState
from summit_models.event import Event, VmEventType
from summit_projector.settings import ProjectorTimes
from summit_runtime.nats.streams.stream import ensure_stream

VMS = "SELECT name, cpu, revision FROM vms ORDER BY name"


SOON = ProjectorTimes(settle_seconds=0.1, check_seconds=0.1)
"""Nothing is waited for longer than a moment here."""


async def replace_stream(client: Client) -> None:
    await delete_log(client)
    await ensure_stream(client)


async def applied_once(nats_url: str, database_url: str, client: Client, *events: Event) -> None:
    async with projector(projector_settings(nats_url, database_url), SOON):
        await Readings(database_url).applied(await publish(client, *events))


async def test_new_stream_wins_over_old_rows(nats_url: str, database_url: str) -> None:
    """Its sequences start at 1 and its epochs may too; still its states count, and rows that it does not have go."""
    readings = Readings(database_url)
    async with publisher(nats_url) as client:
        await applied_once(
            nats_url, database_url, client, *(vm_event(name, epoch=7, versions=(50, 50), cpu=1) for name in "abc")
        )
        await replace_stream(client)
        await applied_once(nats_url, database_url, client, vm_event("b", versions=(40, 0), cpu=2), vm_event("d", cpu=2))
        await until(lambda: readings.fetch(VMS), lambda rows: len(rows) == 2)
    assert await readings.fetch(VMS) == [
        {"name": "b", "cpu": 2, "revision": 1},
        {"name": "d", "cpu": 2, "revision": 2},
    ]


async def test_old_rows_serve_until_the_new_stream_is_applied(nats_url: str, database_url: str) -> None:
    """Readers see old states for a moment, not an empty list; journal and ended migrations stay for good."""
    readings = Readings(database_url)
    async with publisher(nats_url) as client:
        ended = migration_event("ended", completed=True)
        running = migration_event("running")
        created = vm_event("a", VmEventType.CREATED, time=OBSERVED_AT - timedelta(minutes=1))
        await applied_once(nats_url, database_url, client, created, ended, running)
        await replace_stream(client)
        await applied_once(nats_url, database_url, client, vm_event("b"))
    assert await readings.fetch("SELECT name FROM migrations") == [{"name": "ended"}]
    assert len(await readings.fetch("SELECT 1 FROM events")) == 4


async def test_rows_of_a_new_stream_are_one_new_generation(nats_url: str, database_url: str) -> None:
    """They take the place of the old ones at once: readers of the feed get one reset."""
    readings = Readings(database_url)
    generation = "SELECT generation FROM checkpoint"
    async with publisher(nats_url) as client:
        await applied_once(nats_url, database_url, client, vm_event("a"), vm_event("b"))
        assert await readings.fetch(generation) == [{"generation": 0}]
        await replace_stream(client)
        await publish(client, vm_event("b"), vm_event("c"))
        async with projector(projector_settings(nats_url, database_url), SOON):
            await until(lambda: readings.fetch(VMS), lambda rows: [row["name"] for row in rows] == ["b", "c"])
            assert await readings.fetch(generation) == [{"generation": 1}]
            await readings.applied(await publish(client, vm_event("d")))
    assert await readings.fetch(generation) == [{"generation": 1}]


@asynccontextmanager
async def half_published(nats_url: str, database_url: str) -> AsyncIterator[tuple[Client, Readings]]:
    """A running projector, and a new stream that has one VM of two: their watcher is still listing."""
    readings = Readings(database_url)
    async with publisher(nats_url) as client:
        await applied_once(nats_url, database_url, client, cluster_event(), vm_event("a", cpu=1), vm_event("b", cpu=1))
        await replace_stream(client)
        await publish(client, cluster_event(state=ConnectionState.LISTING), vm_event("a", cpu=2))
        async with projector(projector_settings(nats_url, database_url), SOON):
            replayed = f'SELECT name FROM "{await schema(readings)}_replacement".vms'  # noqa: S608
            await until(lambda: rows(readings, replayed), lambda found: found == [{"name": "a"}])
            yield client, readings


async def rows(readings: Readings, sql: str) -> list[dict[str, object]]:
    """Rows of a table that may not be there yet."""
    try:
        return await readings.fetch(sql)
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        return []


async def schema(readings: Readings) -> str:
    (row,) = await readings.fetch("SELECT current_schema() AS name")
    return str(row["name"])


async def replacements(readings: Readings) -> list[dict[str, object]]:
    """The remains of a replay beside the tables."""
    return await readings.fetch("SELECT 1 FROM pg_namespace WHERE nspname = current_schema() || '_replacement'")


async def test_old_rows_serve_until_all_clusters_are_listed(nats_url: str, database_url: str) -> None:
    """Watchers come back one after another: no list ever shows a half of the new stream."""
    async with half_published(nats_url, database_url) as (client, readings):
        assert [row["cpu"] for row in await readings.fetch(VMS)] == [1, 1]
        await publish(client, vm_event("b", cpu=2), cluster_event())
        seen = [row["cpu"] for row in await until(lambda: readings.fetch(VMS), lambda rows: rows[0]["cpu"] == 2)]
        await until(lambda: replacements(readings), lambda left: left == [])
    assert seen == [2, 2]


async def test_interrupted_replay_leaves_everything_as_it_was(nats_url: str, database_url: str) -> None:
    """It ends at once on SIGTERM. The remains of a killed one are in nobody's way, and the next start begins again."""
    async with half_published(nats_url, database_url) as (client, readings):
        pass
    assert await replacements(readings) == []
    assert [row["cpu"] for row in await readings.fetch(VMS)] == [1, 1]
    name = await schema(readings)
    await readings.fetch(f'CREATE SCHEMA "{name}_replacement"')
    await readings.fetch(f'CREATE TABLE "{name}_replacement".vms (id TEXT)')
    async with publisher(nats_url) as client:
        await publish(client, vm_event("c", cpu=3), cluster_event())
        async with projector(projector_settings(nats_url, database_url), SOON):
            await until(lambda: readings.fetch(VMS), lambda rows: [row["cpu"] for row in rows] == [2, 3])
            await until(lambda: replacements(readings), lambda left: left == [])


async def test_empty_stream_denies_nothing(nats_url: str, database_url: str) -> None:
    """Rows are still shown, older than any event: the api publishes edits again. The first event decides."""
    readings = Readings(database_url)
    async with publisher(nats_url) as client:
        await applied_once(nats_url, database_url, client, vm_event("a"), unmanaged_event("by-hand"))
        await replace_stream(client)
        async with projector(projector_settings(nats_url, database_url), SOON):
            old = [{"name": name, "cpu": None, "revision": 0} for name in ("a", "by-hand")]
            await until(lambda: readings.fetch(VMS), lambda rows: rows == old)
        async with projector(projector_settings(nats_url, database_url), SOON):
            await publish(client, vm_event("b"))
            new = [{"name": "b", "cpu": None, "revision": 1}, {"name": "by-hand", "cpu": None, "revision": 0}]
            await until(lambda: readings.fetch(VMS), lambda rows: rows == new)


async def test_stream_replaced_under_a_running_projector_is_noticed(nats_url: str, database_url: str) -> None:
    """The consumer alone would wait for ever for the next sequence of the old stream."""
    assert ProjectorTimes().check_seconds <= 5
    readings = Readings(database_url)
    async with publisher(nats_url) as client, projector(projector_settings(nats_url, database_url), SOON):
        await readings.applied(await publish(client, *(vm_event(name) for name in "abc")))
        await replace_stream(client)
        await publish(client, vm_event("d"))
        await until(lambda: readings.fetch(VMS), lambda rows: [row["name"] for row in rows] == ["d"])


async def test_replay_of_the_same_stream_repeats_no_entry(nats_url: str, database_url: str) -> None:
    """Each event keeps one entry, since sequence and time are the same."""
    readings = Readings(database_url)
    async with publisher(nats_url) as client:
        await applied_once(nats_url, database_url, client, vm_event("a"), vm_event("a", versions=(2, 0)))
        await readings.fetch("UPDATE checkpoint SET event_id = 'lost'")
        await applied_once(nats_url, database_url, client, vm_event("a", versions=(3, 0)))
    lines = await readings.fetch("SELECT revision FROM events ORDER BY revision")
    assert [line["revision"] for line in lines] == [1, 2, 3]
