"""A data directory of an earlier version: the present one starts with it, and no row and no history is lost."""

import lzma
import tarfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr
from support.feeding import feed_stack, listening
from support.projecting import Readings
from support.published import migration_event, unmanaged_event
from support.recorded import difference

from summit_projector import migrate
from summit_standalone.embedded.nats import embedded_nats

IDENTIFIED = """WHERE (id, shown_by) IN (
    SELECT id, CASE WHEN managed THEN cluster ELSE '' END FROM vms WHERE cluster IS NOT NULL OR NOT managed
)"""
"""Rows by the uid and the cluster that shows it; a VM that was added by hand belongs to none."""
RECORDED = Path(__file__).parent / "recorded/data_directory_0008.tar.xz"
SAME = ("vms", "vm_labels", "vm_words", "migrations", "clusters", "datacenters")
HISTORY = "SELECT revision, observed_at, vm_id, type, data FROM vm_events ORDER BY revision"
JOURNAL = "SELECT revision, time, key, type, data FROM events WHERE collection = 'vms' ORDER BY revision"
SET_ASIDE = "SELECT revision, subject, reason, body, set_aside_at FROM set_aside"
DEAD_LETTERS = "SELECT revision, subject, reason, body, dead_lettered_at FROM dead_letters"


@pytest.fixture
async def readings(empty_database_url: str, tmp_path: Path) -> Readings:
    """The tables of the data directory, before anything has been migrated; its NATS is in `tmp_path`.

    Postgres has had the setting that is left out since version 17.
    """
    with lzma.open(RECORDED) as packed, tarfile.open(fileobj=packed) as archive:
        archive.extractall(tmp_path, filter="data")
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute((tmp_path / "tables.sql").read_text().replace("SET transaction_timeout = 0;", ""))
    await connection.close()
    return Readings(empty_database_url)


def values(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in rows]


async def test_no_row_and_no_history_is_lost(readings: Readings, empty_database_url: str) -> None:
    """Not even the entry of a late older state, which only the earlier version wrote."""
    rows = {table: await readings.fetch(f"TABLE {table} ORDER BY 1") for table in SAME}
    history, set_aside = values(await readings.fetch(HISTORY)), values(await readings.fetch(SET_ASIDE))
    await migrate.upgrade(SecretStr(empty_database_url))
    now = {table: await readings.fetch(f"TABLE {table} ORDER BY 1") for table in SAME}
    assert difference(rows, now) is None
    for table in ("vms", "vm_labels", "vm_words"):
        assert len(await readings.fetch(f"SELECT FROM {table} {IDENTIFIED}")) == len(rows[table])
    assert values(await readings.fetch(JOURNAL)) == history
    assert values(await readings.fetch(DEAD_LETTERS)) == set_aside
    assert (len(rows["vms"]), len(history), len(set_aside)) == (29, 189, 1)


async def test_every_entry_is_of_the_stream_that_is_there(readings: Readings, empty_database_url: str) -> None:
    """So a log that has lost its end right after the upgrade is recognized by them."""
    await migrate.upgrade(SecretStr(empty_database_url))
    streams = "SELECT DISTINCT events.stream_created_at = checkpoint.stream_created_at AS same FROM events, checkpoint"
    assert await readings.fetch(streams) == [{"same": True}]


async def test_lists_history_and_feed_go_on(readings: Readings, empty_database_url: str, tmp_path: Path) -> None:
    """They follow the stream that is there. A feed from before gets a reset, since there was no journal yet."""
    (row,) = await readings.fetch("SELECT * FROM vms WHERE id = 'by-hand-1'")
    await migrate.upgrade(SecretStr(empty_database_url))
    async with embedded_nats(tmp_path / "nats") as nats_url, feed_stack(nats_url, empty_database_url) as stack:
        assert (await stack.get("/api/v1/vms", limit=100))["revision"] == 267
        async with listening(stack.http, last_event_id="200-0123abcd") as listener:
            await listener.joined()
            assert listener.messages[0]["type"] == "reset"
            later = row["observed_at"] + timedelta(minutes=1)
            changed = unmanaged_event("by-hand-1", name=row["name"], time=later, cpu=16, changes={"cpu": 8})
            assert await stack.applied(changed, migration_event("m", epoch=1)) == 269
            await listener.until(lambda: listener.payloads("migration:updated"))
        assert [vm["vm"]["cpu"] for vm in listener.payloads("vm:updated")] == [16]
        history = (await stack.get("/api/v1/vms/by-hand-1/events"))["items"]
    assert [line["changes"] for line in history] == [
        [{"field": "cpu", "from": 8, "to": 16}],
        [{"field": "cpu", "from": 2, "to": 8}],
        [],
    ]
    entries = await readings.fetch("SELECT revision, collection FROM events WHERE revision > 267 ORDER BY revision")
    assert values(entries) == [(268, "vms"), (269, "migrations")]
