"""One page of a list: read segment by segment until it is full, and where the next one begins."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from summit_api.query.pages import cursor
from summit_api.query.pages.order import Order, Value
from summit_api.query.transaction.arguments import Arguments, Bind, where
from summit_api.query.transaction.read_transaction import ReadTransaction

Conditions = Callable[[Bind], list[str]]


class Statement(NamedTuple):
    sql: str
    arguments: Arguments


class Listing(NamedTuple):
    """Rows of one table that meet conditions, in an order."""

    select: str
    """Up to FROM and the table. Its columns end with those of the order (`selected`)."""
    conditions: Conditions
    order: Order
    before: Callable[[Bind], str] | None = None
    """A WITH clause that computes the rows first. Then no index can be read along the order."""

    def statement(self, conditions: Conditions, order_by: str, limit: int | None) -> Statement:
        arguments = Arguments()
        before = self.before(arguments.bind) if self.before else ""
        clause = where([*self.conditions(arguments.bind), *conditions(arguments.bind)])
        most = "" if limit is None else f" LIMIT {arguments.bind(limit)}"
        return Statement(f"{before}{self.select} {clause} ORDER BY {order_by}{most}", arguments)

    def after(self, place: Sequence[Value] | None) -> Iterator[tuple[Conditions, str]]:
        """Conditions and order of the statements that read on after a place in the order."""
        if self.before is None:
            return ((segment.conditions, segment.order_by) for segment in self.order.segments(place))
        return iter([(lambda bind: self.order.after(place, bind), self.order.order_by)])


class Page(NamedTuple):
    rows: list[Sequence[Any]]
    next: str | None
    """The cursor of the next page, if more rows follow."""


def selected(select: str, order: Order) -> str:
    """Columns to select, followed by those of the order, which are the position of a row."""
    return ", ".join([select, *(column.sql for column in order.columns)])


async def read(
    transaction: ReadTransaction, listing: Listing, after: str | None, limit: int, *, belongs: Sequence[object]
) -> Page:
    """The first `limit` rows after a cursor. It belongs to a list: to what that depends on beside its rows."""
    return await read_newest(transaction, [listing], after, limit, belongs=belongs)


async def read_newest(
    transaction: ReadTransaction,
    listings: Sequence[Listing],
    after: str | None,
    limit: int,
    *,
    belongs: Sequence[object],
) -> Page:
    """The same of several listings together, all in one order, which is descending and without nulls.

    One statement for each, since over all of them together no index could be read along the order.
    """
    order = listings[0].order
    list_digest = cursor.digest(*belongs)
    place = None if after is None else cursor.decode(after, list_digest, order.columns)
    width = len(order.columns)
    rows = [row for listing in listings for row in await _read(transaction, listing, place, limit + 1)]
    if len(listings) > 1:
        rows.sort(key=lambda row: tuple(row[-width:]), reverse=True)
    last = rows[limit - 1][-width:] if len(rows) > limit else None
    return Page([row[:-width] for row in rows[:limit]], None if last is None else cursor.encode(list_digest, last))


async def _read(
    transaction: ReadTransaction, listing: Listing, place: Sequence[Value] | None, limit: int
) -> list[Sequence[Any]]:
    rows: list[Sequence[Any]] = []
    for conditions, order_by in listing.after(place):
        statement = listing.statement(conditions, order_by, limit - len(rows))
        rows += await transaction.fetch(statement.sql, *statement.arguments)
        if len(rows) >= limit:
            break
    return rows


async def read_all(transaction: ReadTransaction, listing: Listing) -> list[Sequence[Any]]:
    """Every row, in order."""
    statement = listing.statement(lambda _: [], listing.order.order_by, None)
    width = len(listing.order.columns)
    return [row[:-width] for row in await transaction.fetch(statement.sql, *statement.arguments)]
