"""Any order and duplication of events, in any batches, ends in the same rows: in Postgres as in the pure part."""

from datetime import UTC, datetime, timedelta
from typing import Any

import anyio.from_thread
import anyio.to_thread
import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from support.published import OBSERVED_AT, cluster_event, messages, migration_event, vm_event

from summit_models.event import Event, MigrationEventType, VmEventType
from summit_models.vm import VmStatus
from summit_projector.project import project
from summit_projector.recovery.stream_identity import Position
from summit_projector.tables import upsert
from summit_projector.tables.store import Store, open_store
from summit_runtime.nats.consumer import StreamMessage

TIMES = st.integers(0, 100).map(lambda minutes: datetime(2026, 11, 1, tzinfo=UTC) + timedelta(minutes=minutes))
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(
        vm_event,
        st.sampled_from("ab"),
        st.sampled_from(VmEventType),
        versions=st.tuples(st.integers(1, 3), st.integers(0, 2)),
        epoch=st.integers(0, 1),
        time=TIMES,
        status=st.sampled_from(VmStatus),
    ),
    st.builds(
        migration_event,
        st.just("m"),
        st.sampled_from(MigrationEventType),
        version=st.integers(1, 3),
        time=TIMES,
        completed=st.booleans(),
    ),
    st.builds(cluster_event, st.just("vulcan"), reason=st.sampled_from(["a", "b"])),
)


TABLES = ("vms", "migrations", "clusters")


async def empty(connection: asyncpg.Connection) -> None:
    await connection.execute("".join(f"DELETE FROM {table};" for table in (*TABLES, "events", "checkpoint")))  # noqa: S608


async def applied(opened: Store, connection: asyncpg.Connection, batches: list[list[StreamMessage]]) -> list[Any]:
    """All rows after applying the batches to empty tables."""
    await empty(connection)
    position: Position = await opened.position(OBSERVED_AT)
    for batch in batches:
        position = await opened.commit(project(batch), position)
    return [await connection.fetch(f"TABLE {table} ORDER BY 1") for table in TABLES]


async def journaled(opened: Store, connection: asyncpg.Connection, batches: list[list[StreamMessage]]) -> list[int]:
    """The revisions that the journal has after applying the batches to empty tables."""
    await applied(opened, connection, batches)
    entries = await connection.fetch("SELECT revision FROM events WHERE stream_created_at = $1 ORDER BY 1", OBSERVED_AT)
    return [entry["revision"] for entry in entries]


async def seen(opened: Store, connection: asyncpg.Connection, delivered: list[StreamMessage]) -> list[int]:
    """The revisions that rows of empty tables have had, when the messages are applied one by one."""
    await empty(connection)
    position: Position = await opened.position(OBSERVED_AT)
    revisions = set()
    for message in delivered:
        position = await opened.commit(project([message]), position)
        for table in TABLES:
            revisions |= {row["revision"] for row in await connection.fetch(f"SELECT revision FROM {table}")}  # noqa: S608
    return sorted(revisions)


@pytest.mark.parametrize("many_rows", [1, upsert.MANY_ROWS], ids=["by COPY", "by statements"])
async def test_any_order_and_duplication_ends_in_the_same_rows_and_a_true_journal(
    database_url: str, monkeypatch: pytest.MonkeyPatch, many_rows: int
) -> None:
    """SQL agrees with the comparison within a batch, and the journal has what the rows went through one by one."""
    monkeypatch.setattr(upsert, "MANY_ROWS", many_rows)
    connection = await asyncpg.connect(database_url, server_settings={"synchronous_commit": "off"})
    async with open_store(SecretStr(database_url)) as opened:
        await opened.prepare()

        @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.data(), st.lists(EVENTS, min_size=1, max_size=8))
        def holds(data: st.DataObject, events: list[Event]) -> None:
            in_order = messages(*events)
            again = data.draw(st.lists(st.sampled_from(in_order), max_size=4))
            shuffled = data.draw(st.permutations([*in_order, *again]))
            cut = data.draw(st.integers(1, 4))
            batches = [shuffled[start : start + cut] for start in range(0, len(shuffled), cut)]
            expected = anyio.from_thread.run(applied, opened, connection, [in_order])
            assert anyio.from_thread.run(applied, opened, connection, batches) == expected
            revisions = anyio.from_thread.run(seen, opened, connection, shuffled)
            assert anyio.from_thread.run(journaled, opened, connection, batches) == revisions

        await anyio.to_thread.run_sync(holds)
    await connection.close()
