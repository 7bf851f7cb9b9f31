"""The history of one object, newest first: each of its events that was applied, also after its end."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from pydantic.alias_generators import to_camel

from summit_api.access.principal import Limit, Scope
from summit_api.query import identity
from summit_api.query.pages import paging
from summit_api.query.pages.order import Column, Order, parse
from summit_api.query.pages.paging import Listing
from summit_api.query.parameters import HistoryQuery
from summit_api.query.times import ALWAYS, Window
from summit_api.query.transaction.arguments import Arguments, Bind, where
from summit_api.query.transaction.read_transaction import ReadTransaction
from summit_models.bulk_operation import BulkSummary
from summit_models.cluster import is_about_declarations
from summit_models.codec import default_of
from summit_models.contract import ClusterName, Contract, Revision
from summit_models.migration import Migration
from summit_models.operation import Operation
from summit_models.tables import ENTRY_SHOWN_BY
from summit_models.vm import Vm

_BY_TIME = Column("time", datetime, nullable=False)
_NEWEST_FIRST: Order = parse("-time", {"time": _BY_TIME}, tie=[Column("revision", int, nullable=False)])

# Index events_by_key.
_STATE_BEFORE = """(
    SELECT before.data::text FROM events AS before
    WHERE before.key = events.key AND before.collection = events.collection
        AND (before.time, before.revision) < (events.time, events.revision)
        AND before.data ->> 'datacenter' IS NOT DISTINCT FROM events.data ->> 'datacenter'
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
    several_places: bool = False
    """It is about the `datacenters` and `namespaces` that its state lists, and visible to those who see all of them."""
    shown_by: str | None = None
    """The column with the cluster that shows the object, if several may show one id."""
    compared: Sequence[str] = ()
    """Members to compare with the state before, where events carry no `changes`."""
    members: Mapping[str, Any]
    """The members of its state that the first event shows, with their defaults."""
    hidden: Callable[[Limit, Sequence[Mapping[str, Any]]], AbstractSet[str]] = lambda _limit, _states: frozenset()
    """Members that a principal with this limit may not see, in an event with these states after and before it."""

    def visible_events(self, scope: Scope, bind: Bind) -> list[str]:
        """An object that was moved is visible for as long as it was in the scope."""
        if self.several_places:
            return scope.covering(bind, "(data -> '{}')")
        namespace = self.namespace and f"data ->> '{self.namespace}'"
        return scope.conditions(bind, datacenter=f"data ->> '{to_camel(self.datacenter)}'", namespace=namespace)

    def visible_rows(self, scope: Scope, bind: Bind) -> list[str]:
        if self.several_places:
            return scope.covering(bind)
        return scope.conditions(bind, datacenter=self.datacenter, namespace=self.namespace)

    def shows(self, state: Mapping[str, Any], scope: Scope) -> bool:
        """Whether a principal may see an object of this state."""
        if self.several_places:
            return scope.allows_all(state["datacenters"], state["namespaces"])
        datacenter = state[to_camel(self.datacenter)]
        if self.namespace is None:
            return scope.allows_datacenter(datacenter)
        return scope.allows(datacenter, state.get(self.namespace))


def _members(model: type[Contract]) -> Mapping[str, Any]:
    return {field.alias or name: default_of(field) for name, field in model.model_fields.items()}


def _hidden_of_a_cluster(limit: Limit, states: Sequence[Mapping[str, Any]]) -> AbstractSet[str]:
    if limit is Limit.NAMESPACES:
        return {"reason", "watcher", "identity", "duplicateOf"}
    connections = [part["state"] for state in states for part in (state, *state.get("resources", ()))]
    return {"reason", "duplicateOf"} if is_about_declarations(connections) else {"duplicateOf"}


_COMPARED = ("state", "reason", "watcher", "serverVersion", "kubevirtVersion", "identity", "duplicateOf")
VMS = Collection(table="vms", shown_by="shown_by", members=_members(Vm))
MIGRATIONS = Collection(table="migrations", datacenter="datacenter_id", shown_by="cluster", members=_members(Migration))
OPERATIONS = Collection(
    table="operations",
    compared=("state", "progress", "message", "accepted", "executor"),
    members=_members(Operation),
)
BULK_OPERATIONS = Collection(
    table="bulk_operations",
    several_places=True,
    compared=("state", "message"),
    members=_members(BulkSummary),
)
CLUSTERS = Collection(
    table="clusters",
    key="name",
    namespace=None,
    compared=_COMPARED,
    members=dict.fromkeys(("name", "datacenter", "since", *_COMPARED)),
    hidden=_hidden_of_a_cluster,
)


class HistoryEvent(msgspec.Struct, rename="camel"):
    """The members of HistoryItem."""

    revision: Revision
    observed_at: datetime
    type: str
    cluster: str | None
    by: str | None
    changes: list[dict[str, Any]]
    state: dict[str, Any] | None


class HistoryPage(NamedTuple):
    events: list[HistoryEvent]
    next: str | None


async def page(
    transaction: ReadTransaction,
    collection: Collection,
    key: str,
    query: HistoryQuery,
    scope: Scope,
    *,
    now: datetime,
    cluster: Sequence[ClusterName] = (),
) -> HistoryPage | None:
    """One page of an object's history; None when the object never existed or may not be seen.

    Without a cluster it is the history of the id in all clusters: one that is declared under another name goes on.
    Raises AmbiguousIdError when several clusters show the id now, and InvalidValueError for an impossible window.
    """
    belongs = ("events", collection.table, key, *cluster, query.since, query.until)
    shown_by = await _shown_by(transaction, collection, key, scope, cluster)
    window = query.window(now)
    wanted = listing(collection, key, scope, shown_by, window)
    listings = [wanted, *([operations_on(key, scope, shown_by, window)] if collection is VMS else [])]
    rows, following = await paging.read_newest(transaction, listings, query.cursor, query.limit, belongs=belongs)
    earlier = listing(collection, key, scope, shown_by, Window(None, window.since))
    has_earlier = following or (window.since and await _has_events(transaction, earlier))
    if not (rows or has_earlier or query.cursor) and not await _is_known(transaction, collection, key, scope, shown_by):
        return None
    own = [number for number, row in enumerate(rows) if not _is_step(row, collection)]
    oldest = own[-1] if own and not has_earlier else None
    events = [
        _step(row) if _is_step(row, collection) else _event(collection, row, scope, is_first=number == oldest)
        for number, row in enumerate(rows)
    ]
    return HistoryPage(events, following)


_STEP = "summit.operation."
# Where it is, and that Kubernetes has accepted it, is in the operation's own history.
_TURNS = f"(type <> '{_STEP}running' OR data ->> 'accepted' = 'false' AND data ->> 'progress' IS NULL)"


def operations_on(key: str, scope: Scope, shown_by: Sequence[str] = (), window: Window = ALWAYS) -> Listing:
    """What was done to a VM: the steps at which an operation got another state. A dry run does nothing.

    Indexes operations_by_vm and events_by_key.
    """
    selected = paging.selected("revision, time, type, data::text, NULL", _NEWEST_FIRST)

    def conditions(bind: Bind) -> list[str]:
        acted = where([f"vm_id = {bind(key)}", "NOT dry_run", *(f"cluster = {bind(name)}" for name in shown_by)])
        of_them = f"key IN (SELECT id FROM operations {acted})"  # noqa: S608  names are our own
        visible = OPERATIONS.visible_events(scope, bind)
        return [of_them, "collection = 'operations'", _TURNS, *window.conditions(bind), *visible]

    return Listing(f"SELECT {selected} FROM events", conditions, _NEWEST_FIRST)  # noqa: S608  names are our own


def _is_step(row: Sequence[Any], collection: Collection) -> bool:
    return collection is not OPERATIONS and str(row[2]).startswith(_STEP)


def _step(row: Sequence[Any]) -> HistoryEvent:
    """A step with the whole operation: who, what, and how it goes."""
    revision, time, type_, data, _ = row
    state = msgspec.json.decode(data)
    members = {name: state.get(name, default) for name, default in OPERATIONS.members.items()}
    return HistoryEvent(revision, time, type_, state["cluster"], state.get("by"), [], members)


def listing(
    collection: Collection, key: str, scope: Scope, shown_by: Sequence[str] = (), window: Window = ALWAYS
) -> Listing:
    """Index events_by_key. `shown_by` has the cluster, if only its events are wanted."""
    before = _STATE_BEFORE if collection.compared else "NULL"
    selected = paging.selected(f"revision, time, type, data::text, {before}", _NEWEST_FIRST)

    def conditions(bind: Bind) -> list[str]:
        table = f"collection = '{collection.table}'"
        same = [f"{ENTRY_SHOWN_BY.format('')} = {bind(name)}" for name in shown_by]
        return [f"key = {bind(key)}", table, *same, *window.conditions(bind), *collection.visible_events(scope, bind)]

    return Listing(f"SELECT {selected} FROM events", conditions, _NEWEST_FIRST)  # noqa: S608  names are our own


async def _has_events(transaction: ReadTransaction, found: Listing) -> bool:
    statement = found.statement(lambda _: [], _NEWEST_FIRST.order_by, 1)
    return bool(await transaction.fetch(statement.sql, *statement.arguments))


def _event(collection: Collection, row: Sequence[Any], scope: Scope, *, is_first: bool) -> HistoryEvent:
    """`is_first` when no earlier event is known. A VM that is created again has another first one."""
    revision, time, type_, data, before = row
    state = msgspec.json.decode(data)
    old = state.get("changes") or {}
    known = {} if before is None else msgspec.json.decode(before)
    if known:
        old = {name: known.get(name) for name in collection.compared if known.get(name) != state.get(name)}
    if not collection.shows({**state, **old}, scope):  # it came from where the principal sees nothing
        old = {}
    hidden = collection.hidden(scope.limit, [s for s in (state, known) if s]) if scope.limit else frozenset[str]()
    changes = [{"field": n, "from": value, "to": state.get(n)} for n, value in sorted(old.items()) if n not in hidden]
    begins = is_first or type_.endswith(".created")
    members = {name: state.get(name, default) for name, default in collection.members.items() if name not in hidden}
    return HistoryEvent(
        revision, time, type_, state.get("cluster"), state.get("by"), changes, members if begins else None
    )


async def _shown_by(
    transaction: ReadTransaction, collection: Collection, key: str, scope: Scope, cluster: Sequence[ClusterName]
) -> list[str]:
    """The cluster whose events are wanted; none for those of all clusters."""
    if collection.shown_by is None:
        return []
    arguments = Arguments()
    conditions = [
        f"{collection.key} = {arguments.bind(key)}",
        *(identity.in_cluster(cluster, arguments.bind) or ["deleted_at IS NULL"]),
        *collection.visible_rows(scope, arguments.bind),
    ]
    statement = f"SELECT {collection.shown_by} FROM {collection.table} {where(conditions)}"  # noqa: S608
    rows = [name for (name,) in await transaction.fetch(statement, *arguments)]
    shown_by = identity.only(key, rows, str, named=bool(cluster))
    return [] if not cluster else [cluster[0] if shown_by is None else shown_by]


async def _is_known(
    transaction: ReadTransaction, collection: Collection, key: str, scope: Scope, shown_by: Sequence[str]
) -> bool:
    """Whether there is a row, living or deleted: its history may be older than what is kept."""
    arguments = Arguments()
    one = f"{collection.key} = {arguments.bind(key)}"
    same = [f"{collection.shown_by} = {arguments.bind(name)}" for name in shown_by]
    visible = where([one, *same, *collection.visible_rows(scope, arguments.bind)])
    return bool(await transaction.fetch(f"SELECT FROM {collection.table} {visible}", *arguments))
