"""A stream that has lost its end: the tables go back to where both agree, and follow the stream from there."""

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from support.nats_server import nats_server
from support.projecting import Readings, projector, projector_settings, publish, publisher
from support.published import cluster_event, migration_event, vm_event
from support.waiting import until

from summit_models.event import Event, VmEventType
from summit_projector.settings import ProjectorTimes

VMS = "SELECT name, cpu, revision, deleted_at IS NULL AS lives FROM vms ORDER BY name"
HISTORY = "SELECT revision, data ->> 'name' AS name FROM events ORDER BY revision"


@pytest.fixture
async def lost(tmp_path: Path, database_url: str) -> Callable[..., Any]:
    """A projector whose stream is cut back to the events `before` while it runs, and then goes on with `since`."""

    @asynccontextmanager
    async def cut(
        before: list[Event], gone: list[Event], since: list[Event], *, check_seconds: float = 0.3
    ) -> AsyncIterator[Client]:
        directory, readings = tmp_path / "nats", Readings(database_url)
        async with nats_server(directory) as (address, _), publisher(f"nats://{address}") as client:
            kept = await publish(client, cluster_event(), *before)
        shutil.copytree(directory / "jetstream", tmp_path / "older")
        async with nats_server(directory) as (address, _), publisher(f"nats://{address}") as client:
            times = ProjectorTimes(check_seconds=check_seconds)
            projecting = projector(projector_settings(f"nats://{address}", database_url), times)
            await projecting.__aenter__()
            await readings.applied(await publish(client, *gone))
        shutil.rmtree(directory / "jetstream")
        shutil.move(tmp_path / "older", directory / "jetstream")
        async with nats_server(directory) as (address, _), publisher(f"nats://{address}") as client:
            await readings.applied(await publish(client, *since) or kept)
            yield client
            await projecting.__aexit__(None, None, None)

    return cut


async def test_rows_are_those_of_the_stream_again(
    lost: Callable[..., Any], database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Changes by lost events are undone; no other row is touched, and no old state is shown again."""
    readings = Readings(database_url)
    before = [vm_event("a", cpu=1), vm_event("b", cpu=1), vm_event("c", cpu=1), vm_event("a", versions=(2, 0), cpu=2)]
    gone = [
        vm_event("b", versions=(2, 0), cpu=99),
        vm_event("c", VmEventType.DELETED, versions=(2, 0)),
        vm_event("d", cpu=99),
    ]
    since = [vm_event("e", cpu=5)]
    async with lost(before, gone, since):
        wanted = [
            {"name": "a", "cpu": 2, "revision": 5, "lives": True},
            {"name": "b", "cpu": 1, "revision": 3, "lives": True},
            {"name": "c", "cpu": 1, "revision": 4, "lives": True},
            {"name": "e", "cpu": 5, "revision": 6, "lives": True},
        ]
        assert await until(lambda: readings.fetch(VMS), lambda rows: rows == wanted)
        history = await readings.fetch(HISTORY)
        assert await readings.fetch("SELECT generation FROM checkpoint") == [{"generation": 1}]  # one reset of feeds
    names = [(line["revision"], line["name"]) for line in history]
    assert names == [(1, "vulcan"), (2, "a"), (3, "b"), (4, "c"), (5, "a"), (6, "e")]
    assert "going back to revision 5, up to which it is the same" in caplog.text


@pytest.mark.parametrize("ignored", ["stale", "not begun", "unreadable"])
async def test_a_last_message_that_does_not_count_hides_no_state_when_the_tables_go_back(
    lost: Callable[..., Any], database_url: str, ignored: str
) -> None:
    """The VM was gone, or had the forged state: the last state that counts is before it under the subject."""
    readings = Readings(database_url)
    epoch = {"stale": 1, "not begun": 3, "unreadable": 2}[ignored]
    forged = vm_event("a", epoch=epoch, versions=(9, 9), cpu=99)
    if ignored == "unreadable":
        forged = forged.model_copy(update={"source": "/datacenters/elsewhere"})
    before = [cluster_event(epoch=1), cluster_event(epoch=2), vm_event("a", epoch=2, cpu=1), forged]
    async with lost(before, [vm_event("a", epoch=2, versions=(5, 0), cpu=50)], [vm_event("b", epoch=2, cpu=2)]):
        rows = await until(lambda: readings.fetch(VMS), lambda rows: len(rows) == 2 and rows[0]["cpu"] != 50)
        assert [(row["name"], row["cpu"], row["lives"]) for row in rows] == [("a", 1, True), ("b", 2, True)]


async def test_events_that_use_lost_revisions_again_are_applied(lost: Callable[..., Any], database_url: str) -> None:
    """This holds even if the stream has grown beyond its old end meanwhile: after a reconnect it is checked first."""
    readings = Readings(database_url)
    before = [vm_event(f"before-{n}") for n in range(20)]
    gone = [vm_event(f"gone-{n}") for n in range(10)]
    since = [vm_event(f"since-{n}") for n in range(30)]
    async with lost(before, gone, since, check_seconds=1000):
        names = sorted(f"{prefix}-{n}" for prefix, count in (("before", 20), ("since", 30)) for n in range(count))
        await until(
            lambda: readings.fetch("SELECT name FROM vms"), lambda rows: sorted(row["name"] for row in rows) == names
        )
        (history,) = await readings.fetch("SELECT count(*) AS n, count(DISTINCT revision) AS revisions FROM events")
    assert history == {"n": 51, "revisions": 51}


async def test_a_stream_that_only_lost_its_end_needs_no_new_event(lost: Callable[..., Any], database_url: str) -> None:
    """An idle fleet's tables go back as well."""
    readings = Readings(database_url)
    async with lost([vm_event("a", cpu=1)], [vm_event("a", versions=(2, 0), cpu=2), vm_event("b")], []):
        wanted = [{"name": "a", "cpu": 1, "revision": 2, "lives": True}]
        assert await until(lambda: readings.fetch(VMS), lambda rows: rows == wanted)


async def test_entries_of_every_collection_show_where_both_agree(
    lost: Callable[..., Any], database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Here the last common event is of a migration, and the lost one as well."""
    readings = Readings(database_url)
    before = [vm_event("a"), migration_event("m", phase="Pending")]
    async with lost(before, [migration_event("m", version=2, phase="Running")], []):
        phases = "SELECT phase, revision FROM migrations"
        await until(lambda: readings.fetch(phases), lambda rows: rows == [{"phase": "Pending", "revision": 3}])
        assert [line["revision"] for line in await readings.fetch(HISTORY)] == [1, 2, 3]
    assert "going back to revision 3, up to which it is the same" in caplog.text
