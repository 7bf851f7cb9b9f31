"""Trouble with Postgres between any two statements: the projector catches up, and each event counts exactly once."""

import asyncio

import asyncpg
import pytest
from nats.aio.client import Client
from support.projecting import Readings, projector, projector_settings, publish, publisher
from support.published import vm_event
from support.tcp_proxy import tcp_proxy
from support.waiting import until

from summit_projector import metrics
from summit_projector.settings import ProjectorTimes

TOTALS = """
SELECT (SELECT count(*) FROM vms) AS vms, (SELECT max(vm_version) FROM vms) AS newest,
       count(*) AS lines, count(DISTINCT revision) AS revisions FROM events
"""


async def publish_versions(client: Client, first: int, last: int) -> int:
    """Ten VMs that change in turn; the sequence of the last event."""
    return await publish(client, *(vm_event(f"vm-{n % 10}", versions=(n, 0)) for n in range(first, last + 1)))


async def logged(caplog: pytest.LogCaptureFixture, text: str) -> None:
    """Wait until a log line contains it."""

    async def lines() -> str:
        return caplog.text

    await until(lines, lambda lines: text in lines)


async def totals(readings: Readings) -> dict[str, int]:
    return (await readings.fetch(TOTALS))[0]


@pytest.mark.parametrize("lost", ["it", "answer"])
async def test_commit_whose_outcome_is_unknown_counts_once(nats_url: str, database_url: str, lost: str) -> None:
    """The connection breaks at the COMMIT: it may have happened or not, and the checkpoint shows which."""
    readings = Readings(database_url)
    async with tcp_proxy(database_url) as proxy, publisher(nats_url) as client:
        async with projector(projector_settings(nats_url, proxy.url)):
            await readings.applied(await publish_versions(client, 1, 20))
            for n in range(3):
                proxy.lose = lost  # type: ignore[assignment]
                await readings.applied(await publish_versions(client, 21 + 20 * n, 40 + 20 * n))
        assert proxy.lost == 3
    assert await totals(readings) == {"vms": 10, "newest": 80, "lines": 80, "revisions": 80}


async def test_terminated_connections_are_opened_again(nats_url: str, database_url: str) -> None:
    """An administrator or a failover ends them again and again in the middle of the work."""
    readings = Readings(database_url)
    terminate = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'summit-projector'"
        " AND pid IN (SELECT pid FROM pg_locks WHERE relation = 'vms'::regclass"
        " OR (locktype = 'advisory' AND objid = (hashtext(current_schema())::bigint & x'ffffffff'::bigint)::oid))"
    )
    settings = projector_settings(nats_url, database_url, batch_events=7)
    async with publisher(nats_url) as client, projector(settings):
        await readings.applied(0)
        async with asyncio.TaskGroup() as tasks:
            publishing = tasks.create_task(publish_versions(client, 1, 400))
            terminated = 0
            while terminated < 3:
                terminated += len(await readings.fetch(terminate))
                await asyncio.sleep(0.02)
        await readings.applied(publishing.result())
    assert await totals(readings) == {"vms": 10, "newest": 400, "lines": 400, "revisions": 400}


@pytest.mark.parametrize("trouble", ["disk_full", "serialization_failure", "read_only_sql_transaction"])
async def test_trouble_of_the_server_is_waited_out_and_no_event_is_blamed(
    nats_url: str, database_url: str, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    """So Postgres answers when its disk is full: no event becomes a dead letter, and all are applied afterwards."""
    readings = Readings(database_url)
    before = metrics.RESTARTS.labels("postgres")._value.get()
    async with publisher(nats_url) as client, projector(projector_settings(nats_url, database_url)):
        await readings.applied(await publish_versions(client, 1, 10))
        # Made to fail by the server itself, with the same state: who fills a disk fills it for all tests.
        await readings.fetch(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN RAISE EXCEPTION 'in trouble' USING ERRCODE = '{trouble}'; END $$"
        )
        await readings.fetch("CREATE TRIGGER fail BEFORE INSERT ON vms EXECUTE FUNCTION fail()")
        last = await publish_versions(client, 11, 30)
        await logged(caplog, "events wait:")
        await readings.fetch("DROP TRIGGER fail ON vms")
        await readings.applied(last)
    assert await totals(readings) == {"vms": 10, "newest": 30, "lines": 30, "revisions": 30}
    assert await readings.fetch("SELECT 1 FROM dead_letters") == []
    assert metrics.RESTARTS.labels("postgres")._value.get() > before


async def test_table_that_another_has_locked_is_waited_for(
    nats_url: str, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It waits for ten seconds at a time, so that the log has the reason."""
    readings, settings = Readings(database_url), projector_settings(nats_url, database_url)
    async with publisher(nats_url) as client, projector(settings, ProjectorTimes(lock_seconds=0.2)):
        await readings.applied(await publish_versions(client, 1, 10))
        connection = await asyncpg.connect(database_url)
        async with connection.transaction():
            await connection.execute("LOCK TABLE vms IN EXCLUSIVE MODE")
            last = await publish_versions(client, 11, 20)
            await logged(caplog, "lock timeout")
        await connection.close()
        await readings.applied(last)
    assert await totals(readings) == {"vms": 10, "newest": 20, "lines": 20, "revisions": 20}
