"""Rows into their tables, unless the row there is as new.

Few rows are inserted by prepared statements. Many VMs travel by binary COPY into a temporary table and from there by
INSERT … ON CONFLICT: half the server's time and a quarter of ours. But to empty a temporary table at each commit takes
milliseconds, which one event on a quiet day must not wait for.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import asyncpg

from summit_projector.project import Entry
from summit_projector.projections import PROJECTIONS, Identity, Order, Projection, Row

MANY_ROWS = 50
"""From here on COPY is faster, measured with rows of `vms`."""

TABLES = tuple(projection.table.name for projection in PROJECTIONS.values())

OLDER_THAN_ANY = "epoch = -1, revision = 0"
"""Values that make a row older than any event: the next one takes its place."""

_STAGING = "CREATE TEMPORARY TABLE IF NOT EXISTS incoming_vms (LIKE vms INCLUDING GENERATED) ON COMMIT DELETE ROWS"


async def prepare(connection: asyncpg.Connection) -> None:
    """Make the temporary table, which lives as long as the connection."""
    await connection.execute(_STAGING)


async def write(connection: asyncpg.Connection, rows_by_table: Mapping[str, list[Row]]) -> None:
    """Write rows, in the transaction that is open."""
    for table, rows in rows_by_table.items():
        if table == "vms" and len(rows) >= MANY_ROWS:
            await connection.copy_records_to_table("incoming_vms", records=rows, columns=_COLUMNS[table])
            await connection.execute(_UPSERT_STAGED_VMS)
        else:
            await connection.executemany(_UPSERTS[table], rows)


class Stored(NamedTuple):
    """How new a row is, and whether it shows a living object that an event of this stream has confirmed."""

    order: Order
    lives: bool


async def stored_rows(connection: asyncpg.Connection, entries: Iterable[Entry]) -> dict[tuple[str, Identity], Stored]:
    """The rows of the entries, by collection and identity; also those of other clusters with the same key."""
    keys: defaultdict[str, set[str]] = defaultdict(set)
    for entry in entries:
        keys[entry.collection].add(entry.key)
    rows: dict[tuple[str, Identity], Stored] = {}
    for collection, wanted in keys.items():
        width = len(PROJECTIONS[collection].identity_columns)
        for row in map(tuple, await connection.fetch(_STORED[collection], list(wanted))):
            rows[collection, row[:width]] = Stored(row[width:-1], row[-1])
    return rows


def _upsert(projection: Projection, source: str) -> str:
    """SQL that writes rows from `source` unless the row there is as new."""
    name, columns, identity = projection.table.name, ", ".join(projection.columns), projection.identity_columns
    assignments = ", ".join(f"{c} = excluded.{c}" for c in projection.columns if c not in identity)
    incoming = ", ".join(f"excluded.{column}" for column in projection.order_columns)
    stored = ", ".join(f"{name}.{column}" for column in projection.order_columns)
    return (
        f"INSERT INTO {name} ({columns}) {source} "
        f"ON CONFLICT ({', '.join(identity)}) DO UPDATE SET {assignments} WHERE ({incoming}) > ({stored})"
    )


def _values(columns: Sequence[str]) -> str:
    return f"VALUES ({', '.join(f'${n}' for n in range(1, len(columns) + 1))})"


_COLUMNS = {projection.table.name: projection.columns for projection in PROJECTIONS.values()}
_UPSERTS = {p.table.name: _upsert(p, _values(p.columns)) for p in PROJECTIONS.values()}
_UPSERT_STAGED_VMS = _upsert(PROJECTIONS["vms"], f"SELECT {', '.join(_COLUMNS['vms'])} FROM incoming_vms")  # noqa: S608
# The primary key.
_STORED = {
    p.table.name: f"SELECT {columns}, {lives} FROM {p.table.name} WHERE {p.key} = ANY($1)"  # noqa: S608
    for p in PROJECTIONS.values()
    for columns in [", ".join((*p.identity_columns, *p.order_columns))]
    for lives in ["revision > 0" if p.deleted is None else "revision > 0 AND deleted_at IS NULL"]
}
