"""The SQL of a rebuild: compare a live table with its twin in the shadow schema, and make it the same.

Rows are exchanged, not tables. So grants, views, triggers, statistics and prepared statements stay what they are, no
reader ever waits, and the snapshot of each reader holds either the old rows or the new ones.
"""

from collections import Counter
from dataclasses import dataclass

import asyncpg
from sqlalchemy import Table

from summit_models import tables
from summit_models.event import REPETITIONS
from summit_models.subject import STREAM
from summit_models.tables import ENTRY_SHOWN_BY, DeadLetter
from summit_projector.projections import PROJECTIONS
from summit_projector.recovery.difference import EXAMPLES, Difference, Finding
from summit_projector.tables.checkpoint import Checkpoint, advance, new_generation
from summit_projector.tables.partitions import create_statement, month_of
from summit_projector.tables.upsert import OLDER_THAN_ANY

STATEMENT_SECONDS = 3600.0
"""To compare a million rows takes seconds; an hour is for a database that has something else to do."""


_DEAD_LETTERS = tables.metadata.tables[str(DeadLetter.__tablename__)]


@dataclass(frozen=True)
class Twin:
    """A live table and how its rows are compared with the replayed ones."""

    table: Table
    key: tuple[str, ...]
    kept: str
    """Condition on a live row `l` without a replayed twin: the stream cannot deny it."""
    ignored: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return self.table.name

    @property
    def columns(self) -> list[str]:
        return [column.name for column in self.table.columns if column.computed is None]

    @property
    def compared(self) -> list[str]:
        return [column for column in self.columns if column not in self.ignored]


_OF_VMS = [
    Twin(table, ("id", "shown_by"), "EXISTS (SELECT 1 FROM vms WHERE vms.id = l.id AND vms.shown_by = l.shown_by)")
    for table in (tables.vm_labels, tables.vm_words)
]
"""After vms: triggers have followed what was corrected there."""


def twins(first: int, last: Checkpoint) -> list[Twin]:
    """The tables to compare, in the order in which to do it, for a stream that reaches from `first` to `last`.

    The last events of some rows are before `first` and have aged out of the stream: ended migrations, VMs long deleted.
    A row that outlives a stream may be from an earlier one.
    """
    older = f"l.revision < {first}"
    since = last.stream_created_at.isoformat()
    judged = f"l.revision BETWEEN {first} AND {last.revision} AND l.dead_lettered_at >= '{since}'"
    return [
        *(Twin(p.table, p.identity_columns, f"{older} OR {p.outlives('l')}") for p in PROJECTIONS.values()),
        *_OF_VMS,
        Twin(_DEAD_LETTERS, ("revision",), f"NOT ({judged})", frozenset({"dead_lettered_at"})),
    ]


def successors() -> list[Twin]:
    """The tables of a stream that replaces another one: rows that it does not have go, if they do not outlive it."""
    return [
        *(Twin(p.table, p.identity_columns, p.outlives("l")) for p in PROJECTIONS.values()),
        *_OF_VMS,
        Twin(_DEAD_LETTERS, ("revision",), "TRUE"),
    ]


async def compare(live: asyncpg.Connection, shadow: str, twin: Twin) -> Difference:
    """Count the rows that differ, and name the first of them."""
    found = await live.fetch(_differences(shadow, twin), timeout=STATEMENT_SECONDS)
    rows = await live.fetchval(f'SELECT count(*) FROM "{shadow}".{twin.name}', timeout=STATEMENT_SECONDS)  # noqa: S608
    kept = await live.fetchval(
        f"SELECT count(*) FROM {twin.name} AS l WHERE {_without_twin(shadow, twin)} AND ({twin.kept})",  # noqa: S608
        timeout=STATEMENT_SECONDS,
    )
    kinds = Counter(kind for _, kind, _ in found)
    examples = [Finding(key, kind, tuple(columns)) for key, kind, columns in found[:EXAMPLES]]
    counts = {kind: kinds[kind] for kind in ("missing", "surplus", "wrong")}
    return Difference(twin.name, rows + kept, **counts, kept=kept, examples=examples)


async def put_right(live: asyncpg.Connection, shadow: str, twin: Twin) -> int:
    """Delete what is surplus, and return how many; add what is missing, replace what is wrong, touch nothing else."""
    deleted: str = await live.execute(
        f"DELETE FROM {twin.name} AS l WHERE {_without_twin(shadow, twin)} AND NOT ({twin.kept})",  # noqa: S608
        timeout=STATEMENT_SECONDS,
    )
    await live.execute(_replace(shadow, twin), timeout=STATEMENT_SECONDS)
    return int(deleted.rsplit(maxsplit=1)[-1])


async def take_place(
    live: asyncpg.Connection, shadow: str, before: Checkpoint, after: Checkpoint, generation: int
) -> int:
    """Let the shadow's rows, which are of another stream, take the place of the live ones, in one transaction.

    Returns the number of rows that went because the other stream does not have them. Rows of the old one that stay are
    older than any event. Raises CheckpointMovedError when the live tables are not at `before`, of this generation.
    """
    async with live.transaction():
        await advance(live, before, after, generation)
        await new_generation(live, generation)
        await merge_journal(live, shadow)
        removed = [await put_right(live, shadow, twin) for twin in successors()]
        for projection in PROJECTIONS.values():
            twin = Twin(projection.table, projection.identity_columns, "TRUE")
            await live.execute(
                f"UPDATE {twin.name} AS l SET {OLDER_THAN_ANY} WHERE {_without_twin(shadow, twin)}",  # noqa: S608
                timeout=STATEMENT_SECONDS,
            )
    return sum(removed[: len(PROJECTIONS)])


async def merge_journal(live: asyncpg.Connection, shadow: str) -> Difference:
    """Move the replayed journal into the live one: entries that are missing or wrong there, but no dropped month.

    Entries that the stream does not have are older than it, or of an earlier stream: they stay.
    """
    since = await live.fetchval("SELECT history_since FROM checkpoint WHERE stream = $1", STREAM)
    kept = f"time >= '{since.isoformat()}' AND" if since else ""
    replayed = f'(SELECT * FROM "{shadow}".events AS s WHERE {kept} NOT ({_IS_REPETITION})) AS s'  # noqa: S608  names are our own
    async with live.transaction():
        for (time,) in await live.fetch(f"SELECT DISTINCT date_trunc('month', time, 'UTC') FROM {replayed}"):  # noqa: S608
            await live.execute(create_statement(month_of(time)))
        counts = await live.fetchrow(_COMPARE_JOURNAL.format(replayed=replayed), timeout=STATEMENT_SECONDS)
        await live.execute(_MERGE_JOURNAL.format(replayed=replayed), timeout=STATEMENT_SECONDS)
        await live.execute(f'TRUNCATE "{shadow}".events')
    return Difference("events", **counts)


# Index events_by_key. The first event that a stream still has of an object may repeat a state of before.
_IS_REPETITION = f"""
s.type IN ({", ".join(f"'{type_}'" for type_ in sorted(REPETITIONS))}) AND EXISTS (
    SELECT FROM events AS before WHERE before.key = s.key AND before.collection = s.collection AND before.time < s.time
        AND {ENTRY_SHOWN_BY.format("before.")} = {ENTRY_SHOWN_BY.format("s.")}
)
"""
# By the primary key of each partition. A stream that was restored from a backup has entries of the one before it: they
# become its own, which is no difference.
_COMPARE_JOURNAL = """
SELECT count(*) AS rows, count(*) FILTER (WHERE l.key IS NULL) AS missing,
       count(*) FILTER (WHERE l.key IS NOT NULL
           AND (l.collection, l.key, l.type, l.data) IS DISTINCT FROM (s.collection, s.key, s.type, s.data)) AS wrong
FROM {replayed} LEFT JOIN events AS l USING (revision, time)
"""
_MERGE_JOURNAL = """
INSERT INTO events AS l (revision, time, key, type, data, collection, stream_created_at)
SELECT revision, time, key, type, data, collection, stream_created_at FROM {replayed}
ON CONFLICT (revision, time) DO UPDATE
SET key = excluded.key, type = excluded.type, data = excluded.data, collection = excluded.collection,
    stream_created_at = excluded.stream_created_at
WHERE (l.key, l.type, l.data, l.collection, l.stream_created_at) IS DISTINCT FROM
    (excluded.key, excluded.type, excluded.data, excluded.collection, excluded.stream_created_at)
"""


def _differences(shadow: str, twin: Twin) -> str:
    key, same = twin.key[0], _same(twin)  # a key is never null: one column of it shows whether there is a row
    surplus, both = f"s.{key} IS NULL AND NOT ({twin.kept})", f"l.{key} IS NOT NULL AND s.{key} IS NOT NULL"
    named = ", ".join(f"nullif(coalesce(l.{c}, s.{c})::text, '')" for c in reversed(twin.key))
    wrong = ", ".join(f"CASE WHEN {both} AND l.{c} IS DISTINCT FROM s.{c} THEN '{c}' END" for c in twin.compared)
    return (
        f"SELECT concat_ws('/', {named}),"  # noqa: S608  names are our own
        f" CASE WHEN l.{key} IS NULL THEN 'missing' WHEN s.{key} IS NULL THEN 'surplus' ELSE 'wrong' END,"
        f" array_remove(ARRAY[{wrong}], NULL)"
        f' FROM {twin.name} AS l FULL JOIN "{shadow}".{twin.name} AS s ON {same}'
        f" WHERE l.{key} IS NULL OR ({surplus}) OR ({both} AND {_distinct(twin, 'l', 's')}) ORDER BY 1"
    )


def _without_twin(shadow: str, twin: Twin) -> str:
    return f'NOT EXISTS (SELECT 1 FROM "{shadow}".{twin.name} AS s WHERE {_same(twin)})'  # noqa: S608


def _same(twin: Twin) -> str:
    return " AND ".join(f"l.{column} = s.{column}" for column in twin.key)


def _replace(shadow: str, twin: Twin) -> str:
    columns = ", ".join(twin.columns)
    return (
        f'INSERT INTO {twin.name} ({columns}) SELECT {columns} FROM "{shadow}".{twin.name}'  # noqa: S608
        f" ON CONFLICT ({', '.join(twin.key)}) DO UPDATE SET {_assignments(twin)}"
        f" WHERE {_distinct(twin, twin.name, 'excluded')}"
    )


def _assignments(twin: Twin) -> str:
    return ", ".join(f"{column} = excluded.{column}" for column in twin.compared if column not in twin.key)


def _distinct(twin: Twin, one: str, other: str) -> str:
    left, right = (", ".join(f"{row}.{column}" for column in twin.compared) for row in (one, other))
    return f"({left}) IS DISTINCT FROM ({right})"
