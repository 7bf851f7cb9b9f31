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
from summit_projector.settings import TIMES
from summit_projector.tables.upsert import MANY_ROWS
from summit_projector.tables.writer import TableWriter, open_writer
from summit_runtime.nats.streams.consumer import StreamMessage

MOMENTS = st.integers(0, 100).map(lambda minutes: datetime(2026, 11, 1, tzinfo=UTC) + timedelta(minutes=minutes))
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(
        vm_event,
        st.sampled_from("ab"),
        st.sampled_from(VmEventType),
        versions=st.tuples(st.integers(1, 3), st.integers(0, 2)),
        epoch=st.integers(0, 1),
        time=MOMENTS,
        status=st.sampled_from(VmStatus),
    ),
    st.builds(
        migration_event,
        st.just("m"),
        st.sampled_from(MigrationEventType),
        version=st.integers(1, 3),
        time=MOMENTS,
        completed=st.booleans(),
    ),
    # Of another cluster: the order of a cluster's own events decides which of its epochs count.
    st.builds(cluster_event, st.just("romulus"), reason=st.sampled_from(["a", "b"])),
)


TABLES = ("vms", "migrations", "clusters")


async def empty(connection: asyncpg.Connection) -> None:
    await connection.execute("".join(f"DELETE FROM {table};" for table in (*TABLES, "events", "checkpoint")))  # noqa: S608


async def applied(writer: TableWriter, connection: asyncpg.Connection, batches: list[list[StreamMessage]]) -> list[Any]:
    """All rows after applying the batches to empty tables."""
    await empty(connection)
    checkpoint = await writer.checkpoint(OBSERVED_AT)
    for batch in batches:
        checkpoint = await writer.commit(project(batch), checkpoint)
    return [await connection.fetch(f"TABLE {table} ORDER BY 1") for table in TABLES]


async def journaled(
    writer: TableWriter, connection: asyncpg.Connection, batches: list[list[StreamMessage]]
) -> list[int]:
    """The revisions that the journal has after applying the batches to empty tables."""
    await applied(writer, connection, batches)
    entries = await connection.fetch(JOURNAL, OBSERVED_AT, FILLING[0].sequence)
    return [entry["revision"] for entry in entries]


async def seen(writer: TableWriter, connection: asyncpg.Connection, delivered: list[StreamMessage]) -> list[int]:
    """The revisions that rows of empty tables have had, when the messages are applied one by one.

    Those of repetitions count only where there was no living row.
    """
    await empty(connection)
    checkpoint = await writer.checkpoint(OBSERVED_AT)
    revisions: set[int] = set()
    before: dict[tuple[str, str], dict[str, Any]] = {}
    for message in delivered:
        checkpoint = await writer.commit(project([message]), checkpoint)
        for name, row in (await rows(connection)).items():
            known = before.get(name, {"revision": 0, "deleted_at": "never there"})
            if row["revision"] != known["revision"] and (known.get("deleted_at") or b".observed" not in message.body):
                revisions.add(row["revision"])
            before[name] = row
    return sorted(revisions)


async def rows(connection: asyncpg.Connection) -> dict[tuple[str, str], dict[str, Any]]:
    """By table and key."""
    found = [(table, dict(row)) for table in TABLES for row in await connection.fetch(f"TABLE {table}")]
    return {(table, row.get("id", row["name"])): row for table, row in found}


JOURNAL = "SELECT revision FROM events WHERE stream_created_at = $1 AND revision < $2 ORDER BY 1"
FILLING = messages(*(vm_event(f"other-{n}") for n in range(MANY_ROWS)), start=1000)
"""So many rows more in each batch that it travels by COPY."""


@pytest.mark.parametrize("filling", [FILLING, []], ids=["by COPY", "by statements"])
async def test_any_order_and_duplication_ends_in_the_same_rows_and_a_true_journal(
    database_url: str, filling: list[StreamMessage]
) -> None:
    """SQL agrees with the comparison within a batch, and the journal has what the rows went through one by one."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("SET synchronous_commit = off")
    async with open_writer(SecretStr(database_url), TIMES) as writer:
        await writer.prepare()

        @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
        @given(st.data(), st.lists(EVENTS, min_size=1, max_size=8))
        def holds(data: st.DataObject, events: list[Event]) -> None:
            in_order = messages(*events)
            again = data.draw(st.lists(st.sampled_from(in_order), max_size=4))
            shuffled = data.draw(st.permutations([*in_order, *again]))
            cut = data.draw(st.integers(1, 4))
            batches = [[*filling, *shuffled[start : start + cut]] for start in range(0, len(shuffled), cut)]
            expected = anyio.from_thread.run(applied, writer, connection, [[*filling, *in_order]])
            assert anyio.from_thread.run(applied, writer, connection, batches) == expected
            revisions = anyio.from_thread.run(seen, writer, connection, shuffled)
            assert anyio.from_thread.run(journaled, writer, connection, batches) == revisions

        await anyio.to_thread.run_sync(holds)
    await connection.close()
