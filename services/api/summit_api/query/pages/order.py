"""The order of a list, `sort=-memory,name`, and where in it a page begins.

A page is read in segments, stretches of the order that one index can be read along. After the key (8192, 'a', 'x') of
`-memory,name` they are: the rest of the VMs with 8192 MiB, those with less, those of which it is not known. Each is an
equality and a bound, which an index answers. In one condition with OR they would be a filter over all rows.
Null comes last in either direction, and what identifies a row is last of all, so that no two rows are equal.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from pydantic.alias_generators import to_camel
from sqlalchemy import Table

from summit_api.query.transaction.arguments import Bind

Value = str | int | datetime | None


class Column(NamedTuple):
    """A column that a list can be sorted by."""

    sql: str
    kind: type[str | int | datetime] = str
    nullable: bool = True


_NEVER_NULL = ("name", "id")
"""Columns that are compared as one row. With `shown_by` they end the indexes of `vms`."""


def sortable(table: Table, *names: str) -> Mapping[str, Column]:
    """Columns of a table by the names of their members in JSON."""
    return {to_camel(name): Column(name, table.c[name].type.python_type, name not in _NEVER_NULL) for name in names}


ID = Column("id", nullable=False)
IDENTITY = (ID, Column("shown_by", nullable=False))
"""What identifies a VM."""


class _Key(NamedTuple):
    """Columns that are compared at once, as a row: one, or neighbours that are never null and go the same way."""

    columns: tuple[Column, ...]
    descending: bool

    @property
    def nullable(self) -> bool:
        return self.columns[0].nullable

    @property
    def sql(self) -> str:
        names = [column.sql for column in self.columns]
        return names[0] if len(names) == 1 else f"({', '.join(names)})"

    def order_by(self, *, nulls: bool) -> str:
        """Without `nulls` it does not mention them, and so agrees with an index that is read in either direction."""
        direction = " DESC" if self.descending else ""
        last = " NULLS LAST" if nulls and self.nullable else ""
        return ", ".join(f"{column.sql}{direction}{last}" for column in self.columns)

    def compared(self, operator: str, values: Sequence[Value], bind: Bind) -> str:
        placeholders = ", ".join(map(bind, values))
        return f"{self.sql} {operator} ({placeholders})"


@dataclass(frozen=True)
class Segment:
    """Rows that are equal in some keys, lie beyond a value of the next one, and are ordered by the rest."""

    equal: tuple[tuple[_Key, Sequence[Value]], ...]
    keys: tuple[_Key, ...]
    beyond: Sequence[Value] | None = None
    """The value of the first of `keys`."""
    nulls: bool | None = None
    """Whether that key is null: None where it cannot be."""

    def conditions(self, bind: Bind) -> list[str]:
        conditions = [
            f"{key.sql} IS NULL" if values[0] is None else key.compared("=", values, bind) for key, values in self.equal
        ]
        if self.beyond is not None:
            conditions.append(self.keys[0].compared("<" if self.keys[0].descending else ">", self.beyond, bind))
        elif self.nulls is not None:
            conditions.append(f"{self.keys[0].sql} IS {'NULL' if self.nulls else 'NOT NULL'}")
        return conditions

    @property
    def order_by(self) -> str:
        if self.nulls:
            return ", ".join(key.order_by(nulls=True) for key in self.keys[1:])
        return ", ".join(key.order_by(nulls=position > 0) for position, key in enumerate(self.keys))


@dataclass(frozen=True)
class Order:
    keys: tuple[_Key, ...]

    @property
    def columns(self) -> tuple[Column, ...]:
        """Their values are the position of a row in the order."""
        return tuple(column for key in self.keys for column in key.columns)

    @property
    def order_by(self) -> str:
        return ", ".join(key.order_by(nulls=True) for key in self.keys)

    def segments(self, after: Sequence[Value] | None) -> Iterator[Segment]:
        """The stretches, in order, of all rows, or of those after the row with these values of `columns`."""
        if after is None:
            yield from _both_sides(self.keys)
            return
        values = list(self._by_key(after))
        for position in reversed(range(len(self.keys))):
            equal, rest = tuple(zip(self.keys, values, strict=True))[:position], self.keys[position:]
            if values[position][0] is not None:  # beyond null there is nothing
                yield Segment(equal, rest, beyond=values[position])
                if rest[0].nullable:
                    yield Segment(equal, rest, nulls=True)

    def after(self, values: Sequence[Value] | None, bind: Bind) -> list[str]:
        """The condition of all rows after that one, in one: for rows that no index is read along anyway."""
        if values is None:
            return []
        segments = [" AND ".join(segment.conditions(bind)) for segment in self.segments(values)]
        return [f"({' OR '.join(segments)})"]

    def _by_key(self, values: Sequence[Value]) -> Iterator[Sequence[Value]]:
        position = 0
        for key in self.keys:
            yield values[position : position + len(key.columns)]
            position += len(key.columns)

    def __str__(self) -> str:
        return ",".join(f"{'-' * key.descending}{column.sql}" for key in self.keys for column in key.columns)


def _both_sides(keys: tuple[_Key, ...]) -> Iterator[Segment]:
    if keys[0].nullable:
        yield Segment((), keys, nulls=False)
        yield Segment((), keys, nulls=True)
    else:
        yield Segment((), keys)


def parse(
    text: str, known: Mapping[str, Column], *, then: Sequence[str] = (), tie: Sequence[Column] = IDENTITY
) -> Order:
    """Read `sort`. What it leaves open is decided by the columns of `then`, and in the end by those of `tie`, which are
    unique together.

    Raises ValueError with a sentence for an unknown or repeated name.
    """
    wanted: dict[str, bool] = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name = part.removeprefix("-")
        if name not in known:
            raise ValueError(f"there is no order by {name!r}; known are {', '.join(known)}")
        if name in wanted:
            raise ValueError(f"{name!r} is named twice")
        wanted[name] = part.startswith("-")
    for name in then:
        wanted.setdefault(name, False)
    columns: list[tuple[Column, bool]] = []
    descending = False
    for name, descending in wanted.items():
        if known[name] == tie[0]:  # what follows decides nothing
            break
        columns.append((known[name], descending))
    return Order(tuple(_keys([*columns, *((column, descending) for column in tie)])))


def _keys(columns: Sequence[tuple[Column, bool]]) -> Iterator[_Key]:
    run: list[Column] = []
    for position, (column, descending) in enumerate(columns):
        run.append(column)
        following = columns[position + 1] if position + 1 < len(columns) else None
        if following is None or column.nullable or following[0].nullable or following[1] != descending:
            yield _Key(tuple(run), descending)
            run = []
