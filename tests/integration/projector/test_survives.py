"""Restarts, outages and rivals: whatever happens between two commits, the outcome is the same."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr
from support.program import frozen
from support.projecting import Readings, projector, projector_settings, publish, publisher
from support.published import vm_event
from support.waiting import until

from summit_projector.settings import TIMES, ProjectorTimes
from summit_projector.tables.writer import open_writer
from summit_runtime.postgres import database
from summit_standalone.embedded.child import Child
from summit_standalone.embedded.postgres import embedded_postgres

NAMES = "SELECT name FROM vms WHERE deleted_at IS NULL ORDER BY name"


async def names(readings: Readings) -> list[str]:
    return [row["name"] for row in await readings.fetch(NAMES)]


async def test_postgres_that_restarts_is_waited_for(nats_url: str, tmp_path: Path) -> None:
    """Events published meanwhile wait in the stream."""
    async with publisher(nats_url) as client:
        async with embedded_postgres(tmp_path) as url:
            readings = Readings(url)
            projecting = projector(projector_settings(nats_url, url))
            await projecting.__aenter__()
            await readings.applied(await publish(client, vm_event("a")))
        last = await publish(client, vm_event("b"))
        async with embedded_postgres(tmp_path):
            await readings.applied(last)
            assert await names(readings) == ["a", "b"]
            await projecting.__aexit__(None, None, None)


async def test_what_was_seen_is_still_there_after_a_crash_of_postgres(nats_url: str, tmp_path: Path) -> None:
    """Nobody has to apply it again: a visible commit is on the disk."""
    servers: list[Child] = []
    async with publisher(nats_url) as client, embedded_postgres(tmp_path, servers.append) as url:
        readings = Readings(url)
        async with projector(projector_settings(nats_url, url)):
            await readings.applied(await publish(client, *[vm_event(name) for name in "abc"]))
            last = await publish(client, vm_event("d"))
            await readings.applied(last)
            os.kill(servers[-1].pid or 0, signal.SIGQUIT)
        await until(readings.revision, lambda revision: revision >= 0)
        assert await readings.revision() == last


async def test_postgres_that_comes_back_empty_is_filled_again(nats_url: str, database_url: str) -> None:
    """The tables follow from the stream: dropped ones are filled from it again."""
    readings = Readings(database_url)
    async with publisher(nats_url) as client, projector(projector_settings(nats_url, database_url)):
        await readings.applied(await publish(client, vm_event("a")))
        schema = (await readings.fetch("SELECT current_schema() AS name"))[0]["name"]
        await readings.fetch(f"DROP SCHEMA {schema} CASCADE")
        await readings.fetch(f"CREATE SCHEMA {schema}")
        await readings.applied(await publish(client, vm_event("b")))
    assert await names(readings) == ["a", "b"]


async def test_only_one_projector_is_active_and_the_other_takes_over(nats_url: str, database_url: str) -> None:
    """The second waits for the lock, and has it within a second or two of the first one's end."""
    readings = Readings(database_url)
    locks = (
        "SELECT DISTINCT pid FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND granted"
    )
    waiting = "SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = 'summit-projector'"
    settings = projector_settings(nats_url, database_url)
    async with publisher(nats_url) as client, projector(settings):
        async with projector(settings):
            await until(lambda: readings.fetch(waiting), lambda rows: rows[0]["n"] == 2)
            await readings.applied(await publish(client, vm_event("a")))
            assert len(await readings.fetch(locks)) == 1
        await readings.applied(await publish(client, vm_event("b")))
    assert await names(readings) == ["a", "b"]


async def test_projector_that_stands_still_leaves_its_place_to_another(nats_url: str, database_url: str) -> None:
    """It held the lock for half a minute, or as long as its machine answered. When it goes on, it stands by."""
    readings = Readings(database_url)
    settings = projector_settings(nats_url, database_url, batch_events=1)
    async with publisher(nats_url) as client:
        first = await start_process(nats_url, database_url)
        await readings.applied(await publish(client, vm_event("a")))
        with frozen([first.pid]):
            async with projector(settings, ProjectorTimes(silent_seconds=0.2)):
                await readings.applied(await publish(client, vm_event("b")))
        await readings.applied(await publish(client, vm_event("c")))
        first.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(first.wait(), 5) == 0
    assert await names(readings) == ["a", "b", "c"]


async def test_place_of_a_projector_that_stands_still_in_a_transaction_is_taken(database_url: str) -> None:
    """Its session ends with the transaction. One that migrates is silent for longer, and keeps its place."""
    url = SecretStr(database_url)
    async with open_writer(url, TIMES) as active, open_writer(url, TIMES) as standby, open_writer(url, TIMES) as other:
        await other._connection.execute("SELECT pg_advisory_lock(1, 2)")
        assert await active.try_lock()
        assert not await standby.end_silent(0)
        await active.begin_applying()
        assert not await standby.end_silent(60)
        await active._connection.execute("BEGIN")
        assert await standby.end_silent(0)
        assert await standby.try_lock()
        with pytest.raises(database.OUTAGE):
            await active.ping()
        await other.ping()


async def test_killed_process_leaves_nothing_half_done(nats_url: str, database_url: str) -> None:
    """`python -m summit_projector`, killed with SIGKILL in the middle and started again: each event once."""
    readings = Readings(database_url)
    async with publisher(nats_url) as client:
        last = await publish(client, *(vm_event(f"vm-{n % 50}", versions=(n, 0)) for n in range(1, 201)))
        first = await start_process(nats_url, database_url, PROJECTOR_BATCH_EVENTS="7")
        await until(readings.revision, lambda revision: revision > 0)
        first.kill()
        await first.wait()
        second = await start_process(nats_url, database_url)
        await readings.applied(last)
        second.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(second.wait(), 5) == 0
    assert len(await names(readings)) == 50
    (history,) = await readings.fetch("SELECT count(*) AS n, count(DISTINCT revision) AS distinct FROM events")
    assert history == {"n": 200, "distinct": 200}


async def test_sigterm_ends_it_also_while_nothing_can_be_reached() -> None:
    """Waiting for a server must not keep a pod from ending."""
    process = await start_process("nats://127.0.0.1:1", "postgresql://127.0.0.1:1/none")
    assert process.stderr
    await asyncio.wait_for(process.stderr.readuntil(b"cannot be reached"), 10)
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 5) == 0


async def test_checkpoint_that_another_moved_stops_the_commit(nats_url: str, database_url: str) -> None:
    """Even without the lock two projectors cannot both apply an event: the second starts again from the checkpoint."""
    readings = Readings(database_url)
    async with publisher(nats_url) as client, projector(projector_settings(nats_url, database_url)):
        await readings.applied(await publish(client, vm_event("a"), vm_event("b")))
        connection = await asyncpg.connect(database_url)
        await connection.execute("UPDATE checkpoint SET revision = 1, event_id = $1", vm_event("a").id)
        await connection.close()
        await readings.applied(await publish(client, vm_event("c")))
    assert await names(readings) == ["a", "b", "c"]


async def start_process(nats_url: str, database_url: str, **variables: str) -> asyncio.subprocess.Process:
    """A projector as a process of its own."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "summit_projector",
        env={"PATH": os.environ["PATH"], "HOME": "/", "NATS_URL": nats_url, "DATABASE_URL": database_url} | variables,
        stderr=asyncio.subprocess.PIPE,
    )
