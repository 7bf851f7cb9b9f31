"""From the stream to the tables: a published event is there after one commit, once, with its journal entry."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import asyncpg
import pytest
from support.projecting import Readings, projector, projector_settings, publish, publisher, put
from support.published import OBSERVED_AT, cluster_event, datacenter_event, migration_event, vm_event
from support.waiting import until

from summit_models.event import VmEventType
from summit_models.subject import subject_of
from summit_models.tables import SCHEMA_REVISION
from summit_projector.tables.upsert import MANY_ROWS
from summit_runtime.postgres.database import REVISION_CHANNEL
from summit_standalone.embedded.nats import embedded_nats
from summit_standalone.embedded.server_process import choose_port

# Too long for a row of the index on vm_name; what repeats would be compressed below the limit.
REFUSED = migration_event("m", vm_name="".join(chr(0x4E00 + n * 7919 % 20000) for n in range(9000)))


async def test_published_events_become_rows_and_journal(nats_url: str, database_url: str) -> None:
    """All four collections, with what happened in each, and the checkpoint at the last sequence."""
    readings = Readings(database_url)
    async with publisher(nats_url) as client, projector(projector_settings(nats_url, database_url)):
        last = await publish(
            client,
            datacenter_event(),
            cluster_event(),
            vm_event("erp", VmEventType.CREATED, cpu=2),
            vm_event("erp", versions=(2, 1), cpu=4, labels={"app": "erp"}),
            migration_event("m", vm_name="erp", phase="Running"),
        )
        await readings.applied(last)
    (vm,) = await readings.fetch("SELECT name, cpu, labels, revision, deleted_at FROM vms")
    assert vm == {"name": "erp", "cpu": 4, "labels": '{"app": "erp"}', "revision": 4, "deleted_at": None}
    entries = await readings.fetch("SELECT revision, collection, key, type, data FROM events ORDER BY revision")
    assert [tuple(entry.values())[:-1] for entry in entries] == [
        (1, "datacenters", "dc-solna", "summit.datacenter.updated"),
        (2, "clusters", "vulcan", "summit.cluster.synced"),
        (3, "vms", vm_event("erp").data.id, "summit.vm.created"),
        (4, "vms", vm_event("erp").data.id, "summit.vm.updated"),
        (5, "migrations", migration_event("m").data.id, "summit.migration.updated"),
    ]
    assert json.loads(entries[3]["data"])["cpu"] == 4
    assert await readings.fetch("SELECT vm_name, phase, revision FROM migrations") == [
        {"vm_name": "erp", "phase": "Running", "revision": 5}
    ]
    assert await readings.fetch("SELECT name, state FROM clusters") == [{"name": "vulcan", "state": "synced"}]
    assert await readings.fetch("SELECT id, name FROM datacenters") == [{"id": "dc-solna", "name": "Solna"}]
    assert await readings.fetch("SELECT version_num FROM alembic_version") == [{"version_num": SCHEMA_REVISION}]


async def test_each_commit_is_notified_with_its_revision(nats_url: str, database_url: str) -> None:
    """The api is notified of a revision when the tables have it."""
    notified: asyncio.Queue[str] = asyncio.Queue()
    listener = await asyncpg.connect(database_url)
    await listener.add_listener(REVISION_CHANNEL, lambda *call: notified.put_nowait(call[-1]))
    async with publisher(nats_url) as client, projector(projector_settings(nats_url, database_url)):
        last = await publish(client, vm_event("a"), vm_event("b"))
        async with asyncio.timeout(10):
            while await notified.get() != str(last):
                pass
        assert await listener.fetchval("SELECT count(*) FROM vms") == 2
    await listener.close()


async def test_events_that_cannot_be_applied_are_dead_letters(nats_url: str, database_url: str) -> None:
    """No event at all, one that the database refuses, and one that the driver cannot encode: they stop nothing."""
    readings = Readings(database_url)
    async with publisher(nats_url) as client:
        await publish(client, vm_event("a"), REFUSED)
        await put(client, subject_of(vm_event("b")), b"no JSON")
        last = await publish(client, vm_event("d", memory_bytes=2**63), vm_event("c"))
        async with projector(projector_settings(nats_url, database_url)):
            await readings.applied(last)
    kept = await readings.fetch("SELECT revision, reason, body FROM dead_letters ORDER BY revision")
    assert [row["revision"] for row in kept] == [2, 3, 4]
    assert "the database refuses it" in kept[0]["reason"]
    assert kept[1]["body"] == b"no JSON"
    assert await readings.fetch("SELECT name FROM vms ORDER BY name") == [{"name": "a"}, {"name": "c"}]


async def test_refused_event_takes_no_neighbour_with_it(nats_url: str, database_url: str) -> None:
    """This holds for one that needs a partition which the failed transaction had made, too."""
    readings = Readings(database_url)
    old = vm_event("old", time=OBSERVED_AT.replace(year=2023))
    many = [vm_event(f"vm-{n}") for n in range(MANY_ROWS)]
    async with publisher(nats_url) as client:
        last = await publish(client, old, *many, REFUSED, vm_event("last"))
        async with projector(projector_settings(nats_url, database_url)):
            await readings.applied(last)
    assert [row["revision"] for row in await readings.fetch("SELECT revision FROM dead_letters")] == [last - 1]
    assert await readings.fetch("SELECT count(*) AS n FROM vms") == [{"n": MANY_ROWS + 2}]
    assert await readings.fetch("SELECT count(*) AS n FROM events") == [{"n": MANY_ROWS + 2}]


async def test_history_goes_to_the_month_it_was_observed_in(nats_url: str, database_url: str) -> None:
    """The partitions of this month and the next are there before they are needed, others from the first event on."""
    readings = Readings(database_url)
    async with publisher(nats_url) as client, projector(projector_settings(nats_url, database_url)):
        await readings.applied(0)
        partitions = "SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace"
        partitions += " WHERE relispartition AND relkind = 'r' AND n.nspname = current_schema()"
        assert len(await until(lambda: readings.fetch(partitions))) == 2
        old = vm_event("a")
        old = old.model_copy(update={"time": old.time.replace(year=2024, month=12, day=31)})
        await readings.applied(await publish(client, old))
        assert "events_2024_12" in {row["relname"] for row in await readings.fetch(partitions)}
    assert await readings.fetch("SELECT key FROM events_2024_12") == [{"key": old.data.id}]


async def test_metrics_show_how_far_and_how_fast(nats_url: str, database_url: str, tmp_path: Path) -> None:
    """`/metrics` beside the probes: the revision, nothing behind, and an event that became a row in good time."""
    port = choose_port(tmp_path, 0)
    readings = Readings(database_url)
    settings = projector_settings(nats_url, database_url, probe_port=port)
    async with publisher(nats_url) as client, projector(settings), aiohttp.ClientSession() as http:
        await readings.applied(0)
        last = await publish(client, vm_event("a", time=datetime.now(UTC)))
        await readings.applied(last)
        async with http.get(f"http://127.0.0.1:{port}/metrics") as answer:
            metrics = (await answer.text()).splitlines()
    assert "summit_projector_active 1.0" in metrics
    assert f"summit_projector_revision {last}.0" in metrics
    assert "summit_projector_lag_messages 0.0" in metrics


async def test_readyz_names_what_is_missing(tmp_path: Path, database_url: str) -> None:
    """It is ready while it applies events. When NATS is away it is not ready, and gives the reason."""
    port = choose_port(tmp_path, 0)
    async with aiohttp.ClientSession() as http:

        async def readyz() -> tuple[int, str]:
            try:
                async with http.get(f"http://127.0.0.1:{port}/readyz") as answer:
                    return answer.status, await answer.text()
            except aiohttp.ClientError:
                return 0, "no answer"

        async with embedded_nats(tmp_path / "nats") as url:
            projecting = projector(projector_settings(url, database_url, probe_port=port))
            await projecting.__aenter__()
            await until(readyz, lambda answer: answer[0] == 200)
        await until(readyz, lambda answer: "[-]nats failed: not connected" in answer[1])
        await projecting.__aexit__(None, None, None)


async def test_many_dead_letters_are_a_few_lines(
    nats_url: str, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """They name the first ones and count the others: a writer with a bug may have it in each event."""
    readings = Readings(database_url)
    async with publisher(nats_url) as client:
        for n in range(12):
            last = await put(client, f"summit.vms.dc-solna.vulcan.prod.v{n}", b"no JSON")
        async with projector(projector_settings(nats_url, database_url)):
            await readings.applied(last)
    lines = [line for line in caplog.messages if "dead letter" in line]
    assert [line.partition(" is a dead letter")[0] for line in lines[:-1]] == [
        f"event {n + 1} on summit.vms.dc-solna.vulcan.prod.v{n}" for n in range(5)
    ]
    assert lines[-1] == "7 more dead letters up to revision 12: see table dead_letters"
