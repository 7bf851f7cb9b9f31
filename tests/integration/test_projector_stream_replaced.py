"""Another stream under the same name: it is noticed, and the tables end up saying what the new stream says."""

from datetime import timedelta
from pathlib import Path

from nats.aio.client import Client
from projecting import Readings, eventually, projector, projector_settings, publish, publisher
from published import OBSERVED_AT, migration_event, vm_event

from summit_models.event import STREAM, Event, VmEventType
from summit_projector import session
from summit_runtime import bus
from summit_standalone.embedded_nats import embedded_nats

VMS = "SELECT name, cpu, revision FROM vms ORDER BY name"


async def replace_stream(client: Client) -> None:
    await client.jetstream().delete_stream(STREAM)
    await bus.ensure_stream(client)


async def applied_once(nats_url: str, database_url: str, client: Client, *events: Event) -> None:
    async with projector(projector_settings(nats_url, database_url)):
        await Readings(database_url).applied(await publish(client, *events))


async def test_new_stream_wins_over_old_rows(nats_url: str, database_url: str) -> None:
    """Its sequences start at 1 and its epochs may too; still its states count, and what it does not know is gone."""
    readings = Readings(database_url)
    async with publisher(nats_url) as client:
        await applied_once(
            nats_url, database_url, client, *(vm_event(name, epoch=7, versions=(50, 50), cpu=1) for name in "abc")
        )
        await replace_stream(client)
        await applied_once(nats_url, database_url, client, vm_event("b", versions=(40, 0), cpu=2), vm_event("d", cpu=2))
        await eventually(lambda: readings.fetch(VMS), lambda rows: len(rows) == 2)
    assert await readings.fetch(VMS) == [
        {"name": "b", "cpu": 2, "revision": 1},
        {"name": "d", "cpu": 2, "revision": 2},
    ]


async def test_old_rows_serve_until_the_new_stream_is_applied(nats_url: str, database_url: str) -> None:
    """Readers see old states for a moment, not an empty list; history and ended migrations stay for good."""
    readings = Readings(database_url)
    async with publisher(nats_url) as client:
        ended = migration_event("ended", completed=True)
        running = migration_event("running")
        created = vm_event("a", VmEventType.CREATED, time=OBSERVED_AT - timedelta(minutes=1))
        await applied_once(nats_url, database_url, client, created, ended, running)
        await replace_stream(client)
        await applied_once(nats_url, database_url, client, vm_event("b"))
    assert await readings.fetch("SELECT name FROM migrations") == [{"name": "ended"}]
    assert len(await readings.fetch("SELECT 1 FROM vm_events")) == 2


async def test_rows_changed_without_an_event_are_another_generation(nats_url: str, database_url: str) -> None:
    """Once when all rows become old, once when those that were not confirmed go: who follows events sees neither."""
    readings = Readings(database_url)
    generation = "SELECT generation FROM checkpoint"
    async with publisher(nats_url) as client:
        await applied_once(nats_url, database_url, client, vm_event("a"), vm_event("b"))
        assert await readings.fetch(generation) == [{"generation": 0}]
        await replace_stream(client)
        await publish(client, vm_event("b"))
        async with projector(projector_settings(nats_url, database_url)):
            await eventually(lambda: readings.fetch(generation), lambda rows: rows == [{"generation": 2}])
    assert [row["name"] for row in await readings.fetch(VMS)] == ["b"]


async def test_stream_replaced_under_a_running_projector_is_noticed(nats_url: str, database_url: str) -> None:
    """The consumer alone would wait for ever for the next sequence of the old stream."""
    readings = Readings(database_url)
    async with publisher(nats_url) as client, projector(projector_settings(nats_url, database_url)):
        await readings.applied(await publish(client, *(vm_event(name) for name in "abc")))
        await replace_stream(client)
        await publish(client, vm_event("d"))
        await eventually(lambda: readings.fetch(VMS), lambda rows: [row["name"] for row in rows] == ["d"])
    assert session.CHECK_SECONDS <= 5


async def test_stream_that_lost_its_end_is_noticed_by_the_event(tmp_path: Path, database_url: str) -> None:
    """After a power failure the same numbers are used again: the id of the event at the checkpoint tells."""
    readings = Readings(database_url)
    async with embedded_nats(tmp_path / "nats") as url, publisher(url) as client:
        await applied_once(url, database_url, client, vm_event("a"), vm_event("b"))
        # As a stream that was cut after its first event and went on with another one.
        await readings.fetch("UPDATE checkpoint SET event_id = 'lost'")
        await applied_once(url, database_url, client, vm_event("c"))
    assert [row["name"] for row in await readings.fetch(VMS)] == ["a", "b", "c"]


async def test_replay_of_the_same_stream_repeats_no_history(nats_url: str, database_url: str) -> None:
    """Each event keeps one line, since sequence and time are the same."""
    readings = Readings(database_url)
    async with publisher(nats_url) as client:
        await applied_once(nats_url, database_url, client, vm_event("a"), vm_event("a", versions=(2, 0)))
        await readings.fetch("UPDATE checkpoint SET event_id = 'lost'")
        await applied_once(nats_url, database_url, client, vm_event("a", versions=(3, 0)))
    lines = await readings.fetch("SELECT revision FROM vm_events ORDER BY revision")
    assert [line["revision"] for line in lines] == [1, 2, 3]
