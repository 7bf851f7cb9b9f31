"""A log that has lost its end: the tables go back to where both agree, and follow the log from there."""

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from support.nats_server import nats_server
from support.projecting import Readings, projector, projector_settings, publish, publisher
from support.published import cluster_event, vm_event
from support.waiting import until

from summit_models.event import VmEvent, VmEventType
from summit_projector.settings import ProjectorTimes

VMS = "SELECT name, cpu, revision, deleted_at IS NULL AS lives FROM vms ORDER BY name"
HISTORY = "SELECT revision, data ->> 'name' AS name FROM events ORDER BY revision"


def now(name: str, type_: VmEventType = VmEventType.UPDATED, **more: Any) -> VmEvent:
    """An event of a moment after the stream was made, which is about to be."""
    return vm_event(name, type_, time=datetime.now(UTC) + timedelta(minutes=1), **more)


@pytest.fixture
async def lost(tmp_path: Path, database_url: str) -> Callable[..., Any]:
    """A projector whose log is cut back, while it runs, to what was stored `before`, and then goes on with `since`."""

    @asynccontextmanager
    async def cut(
        before: list[VmEvent], gone: list[VmEvent], since: list[VmEvent], *, check_seconds: float = 0.3
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


async def test_rows_are_again_what_the_log_says(
    lost: Callable[..., Any], database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What only lost events said is taken back; all else is not touched, and not one old state is shown again."""
    readings = Readings(database_url)
    before = [now("a", cpu=1), now("b", cpu=1), now("c", cpu=1), now("a", versions=(2, 0), cpu=2)]
    gone = [now("b", versions=(2, 0), cpu=99), now("c", VmEventType.DELETED, versions=(2, 0)), now("d", cpu=99)]
    since = [now("e", cpu=5)]
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


async def test_events_that_use_lost_numbers_again_are_not_passed_over(
    lost: Callable[..., Any], database_url: str
) -> None:
    """Though the log has grown beyond its old end before anyone has looked: a reconnect is looked at first."""
    readings = Readings(database_url)
    before = [now(f"before-{n}") for n in range(20)]
    gone = [now(f"gone-{n}") for n in range(10)]
    since = [now(f"since-{n}") for n in range(30)]
    async with lost(before, gone, since, check_seconds=1000):
        names = sorted(f"{word}-{n}" for word, count in (("before", 20), ("since", 30)) for n in range(count))
        await until(
            lambda: readings.fetch("SELECT name FROM vms"), lambda rows: sorted(row["name"] for row in rows) == names
        )
        (history,) = await readings.fetch("SELECT count(*) AS n, count(DISTINCT revision) AS revisions FROM events")
    assert history == {"n": 51, "revisions": 51}


async def test_a_log_that_only_lost_its_end_needs_no_new_event(lost: Callable[..., Any], database_url: str) -> None:
    """An idle fleet's tables go back as well."""
    readings = Readings(database_url)
    async with lost([now("a", cpu=1)], [now("a", versions=(2, 0), cpu=2), now("b")], []):
        wanted = [{"name": "a", "cpu": 1, "revision": 2, "lives": True}]
        assert await until(lambda: readings.fetch(VMS), lambda rows: rows == wanted)
