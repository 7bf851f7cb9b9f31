"""One page of a list: read segment by segment until it is full, and where the next one begins."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from summit_api.query.arguments import Arguments, Bind, where
from summit_api.query.order import Order, Value
from summit_api.query.read_transaction import ReadTransaction


class Statement(NamedTuple):
    sql: str
    arguments: Arguments


class Listing(NamedTuple):
    """Rows of one table that meet conditions, in an order."""

    select: str
    """Up to FROM and the table."""
    conditions: Callable[[Bind], list[str]]
    order: Order
    before: Callable[[Bind], str] = lambda _: ""
    """What the statement begins with: a WITH clause."""

    def statement(self, conditions: Callable[[Bind], list[str]], order_by: str, limit: int | None) -> Statement:
        arguments = Arguments()
        before = self.before(arguments.bind)
        clause = where([*self.conditions(arguments.bind), *conditions(arguments.bind)])
        most = "" if limit is None else f" LIMIT {arguments.bind(limit)}"
        return Statement(f"{before}{self.select} {clause} ORDER BY {order_by}{most}", arguments)


class Page(NamedTuple):
    rows: list[Sequence[Any]]
    last: Sequence[Value] | None
    """The position of the last row, if more rows follow."""


def selected(select: str, order: Order) -> str:
    """Columns to select, followed by those of the order, which are the position of a row."""
    return ", ".join([select, *(column.sql for column in order.columns)])


async def read(transaction: ReadTransaction, listing: Listing, after: Sequence[Value] | None, limit: int) -> Page:
    """The first `limit` rows after a place in the order. The columns of `select` must end with those of the order."""
    rows: list[Sequence[Any]] = []
    for segment in listing.order.segments(after):
        statement = listing.statement(segment.conditions, segment.order_by, limit + 1 - len(rows))
        rows += await transaction.fetch(statement.sql, *statement.arguments)
        if len(rows) > limit:
            break
    return _page(rows, listing.order, limit)


async def read_all(transaction: ReadTransaction, listing: Listing) -> list[Sequence[Any]]:
    """Every row, in order."""
    statement = listing.statement(lambda _: [], listing.order.order_by, None)
    rows = await transaction.fetch(statement.sql, *statement.arguments)
    return _page(list(rows), listing.order, len(rows)).rows


async def read_at_once(
    transaction: ReadTransaction, listing: Listing, after: Sequence[Value] | None, limit: int
) -> Page:
    """The same by one statement: for rows that are computed first and cannot be read along an index."""

    def beyond(bind: Bind) -> list[str]:
        return [] if after is None else [listing.order.after(after, bind)]

    statement = listing.statement(beyond, listing.order.order_by, limit + 1)
    return _page(list(await transaction.fetch(statement.sql, *statement.arguments)), listing.order, limit)


def _page(rows: list[Sequence[Any]], order: Order, limit: int) -> Page:
    width = len(order.columns)
    last = rows[limit - 1][-width:] if len(rows) > limit else None
    return Page([row[:-width] for row in rows[:limit]], last)
