"""Everything that the verdict compares, gathered when all has come to rest."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
from pydantic import SecretStr
from soak.world import World
from support.oracle import Json, Replay, Truth, replay

from summit_models.event import REPETITIONS
from summit_models.tables import metadata
from summit_projector.project import Entry
from summit_projector.projections import PROJECTIONS
from summit_runtime.nats.connection import bus
from summit_runtime.nats.streams.consumer import StreamMessage, consume
from summit_runtime.nats.streams.stream import stream_state

Record = dict[str, Any]

_DEAD_LETTERS = "SELECT revision, subject, reason FROM dead_letters"
_HISTORY = "SELECT revision, time, key, type, data, collection FROM events ORDER BY revision"


@dataclass
class Evidence:
    """Truth, log, tables and API of the same moment."""

    truths: Mapping[str, Truth]
    """By cluster."""
    expected: Mapping[str, Mapping[str, Json]]
    """Normalized VMs by cluster and uid."""
    messages: Sequence[StreamMessage]
    vms: Replay
    migrations: Replay
    tables: Mapping[str, Mapping[str, Record]]
    """Rows by table and key."""
    history: Sequence[Entry]
    """In the order of their revisions."""
    dead_letters: Sequence[Record]
    checkpoint: int
    listed: Sequence[Json]
    datacenters: Json
    status: Json
    listed_migrations: Sequence[Json]
    listed_operations: Sequence[Json]

    def news(self) -> list[int]:
        """Revisions of the VM events that the feed sends."""
        return [row.revision for row in self.history if row.collection == "vms" and row.type not in REPETITIONS]

    def shown(self) -> dict[str, range]:
        """Revisions of each VM that the API lists, from its last news on: a repetition is listed, and is no news."""
        last = {
            row.key: row.revision for row in self.history if row.collection == "vms" and row.type not in REPETITIONS
        }
        return {vm["id"]: range(last.get(vm["id"], vm["revision"]), vm["revision"] + 1) for vm in self.listed}


async def gather(world: World) -> Evidence:
    """Look at everything. The fleets must stand still."""
    messages = await _stream(world.nats_url)
    connection = await asyncpg.connect(world.database_url)
    try:
        return Evidence(
            truths={site.name: site.cluster.truth() for site in world.sites},
            expected={site.name: site.expected_vms() for site in world.sites},
            messages=messages,
            vms=replay(messages),
            migrations=replay(messages, "migrations"),
            tables={p.table.name: await _rows(connection, p.table.name, p.key) for p in PROJECTIONS.values()},
            history=[Entry(**row, identity=(), order=()) for row in await connection.fetch(_HISTORY)],
            dead_letters=[dict(row) for row in await connection.fetch(_DEAD_LETTERS)],
            checkpoint=await connection.fetchval("SELECT revision FROM checkpoint"),
            listed=await world.vms(),
            datacenters=await world.get("/api/v1/datacenters"),
            status=await world.get("/api/v1/status"),
            listed_migrations=await world.migrations(),
            listed_operations=await world.operations(),
        )
    finally:
        await connection.close()


async def _stream(nats_url: str) -> list[StreamMessage]:
    async with bus.connected(SecretStr(nats_url), name="soak") as client:
        end = (await stream_state(client)).last_sequence
        messages: list[StreamMessage] = []
        async with consume(client, after=0) as consumer:
            while not messages or messages[-1].sequence < end:
                messages += await consumer.next_batch()
        return messages


async def _rows(connection: asyncpg.Connection, table: str, key: str) -> dict[str, Record]:
    """The rows of a table by key, in the order of the columns that the projection knows."""
    columns = ", ".join(column.name for column in metadata.tables[table].columns if column.computed is None)
    rows = await connection.fetch(f"SELECT {columns} FROM {table}")  # noqa: S608  names are our own
    return {row[key]: dict(row) for row in rows}


def text_of(value: Any) -> Any:
    """A value of a row for comparison; JSON is decoded, since its text may differ."""
    return json.loads(value) if isinstance(value, str) and value[:1] in ("{", "[") else value
