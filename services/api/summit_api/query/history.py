"""The history of one object, newest first: each of its events that was applied, also after its end."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from pydantic.alias_generators import to_camel

from summit_api.access.principal import Scope
from summit_api.query import paging
from summit_api.query.arguments import Arguments, Bind, where
from summit_api.query.order import Column, Order, parse
from summit_api.query.paging import Listing
from summit_api.query.parameters import HistoryQuery
from summit_api.query.read_transaction import ReadTransaction
from summit_models.contract import Revision

_BY_TIME = Column("time", datetime, nullable=False)
_NEWEST_FIRST: Order = parse("-time", {"time": _BY_TIME}, tie=Column("revision", int, nullable=False))

# Index events_by_key.
_STATE_BEFORE = """(
    SELECT before.data::text FROM events AS before
    WHERE before.key = events.key AND before.collection = events.collection
        AND (before.time, before.revision) < (events.time, events.revision)
        AND before.data ->> 'datacenter' = events.data ->> 'datacenter'
    ORDER BY before.time DESC, before.revision DESC LIMIT 1
)"""


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Where an object is found, and which members of its state decide who may see it."""

    table: str
    key: str = "id"
    datacenter: str = "datacenter"
    """A column; its member in events is the same in camelCase."""
    namespace: str | None = "namespace"
    compared: Sequence[str] = ()
    """Members to compare with the state before, where events carry no `changes`."""

    def visible_events(self, scope: Scope, bind: Bind) -> list[str]:
        """An object that was moved is visible for as long as it was in the scope."""
        namespace = self.namespace and f"data ->> '{self.namespace}'"
        return scope.conditions(bind, datacenter=f"data ->> '{to_camel(self.datacenter)}'", namespace=namespace)


VMS = Collection(table="vms")
MIGRATIONS = Collection(table="migrations", datacenter="datacenter_id")
CLUSTERS = Collection(
    table="clusters",
    key="name",
    namespace=None,
    compared=("state", "reason", "serverVersion", "kubevirtVersion", "identity"),
)


class HistoryEvent(msgspec.Struct, rename="camel"):
    """The members of HistoryItem."""

    revision: Revision
    observed_at: datetime
    type: str
    changes: list[dict[str, Any]]


class HistoryPage(NamedTuple):
    events: list[HistoryEvent]
    next: str | None


async def page(
    transaction: ReadTransaction, collection: Collection, key: str, query: HistoryQuery, scope: Scope
) -> HistoryPage | None:
    """One page of an object's history; None when the object never existed or may not be seen."""
    belongs = ("events", collection.table, key)
    rows, following = await paging.read(
        transaction, listing(collection, key, scope), query.cursor, query.limit, belongs=belongs
    )
    if not rows and query.cursor is None and not await _is_known(transaction, collection, key, scope):
        return None
    return HistoryPage([_event(collection, row) for row in rows], following)


def listing(collection: Collection, key: str, scope: Scope) -> Listing:
    """Index events_by_key."""
    before = _STATE_BEFORE if collection.compared else "NULL"
    selected = paging.selected(f"revision, time, type, data::text, {before}", _NEWEST_FIRST)

    def conditions(bind: Bind) -> list[str]:
        table = f"collection = '{collection.table}'"
        return [f"key = {bind(key)}", table, *collection.visible_events(scope, bind)]

    return Listing(f"SELECT {selected} FROM events", conditions, _NEWEST_FIRST)  # noqa: S608  names are our own


def _event(collection: Collection, row: Sequence[Any]) -> HistoryEvent:
    revision, time, type_, data, before = row
    state = msgspec.json.decode(data)
    old = state.get("changes") or {}
    if before is not None:
        known = msgspec.json.decode(before)
        old = {name: known.get(name) for name in collection.compared if known.get(name) != state.get(name)}
    changes = [{"field": name, "from": value, "to": state.get(name)} for name, value in sorted(old.items())]
    return HistoryEvent(revision, time, type_, changes)


async def _is_known(transaction: ReadTransaction, collection: Collection, key: str, scope: Scope) -> bool:
    """Whether there is a row, living or deleted: its history may be older than what is kept."""
    arguments = Arguments()
    one = f"{collection.key} = {arguments.bind(key)}"
    in_scope = scope.conditions(arguments.bind, datacenter=collection.datacenter, namespace=collection.namespace)
    visible = where([one, *in_scope])
    return bool(await transaction.fetch(f"SELECT FROM {collection.table} {visible}", *arguments))
