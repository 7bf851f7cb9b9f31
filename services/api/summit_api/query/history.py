"""What happened to one VM, newest first: each event of it that was applied, also after its end."""

from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from summit_api.access.scope import Scope
from summit_api.query import cursor, paging
from summit_api.query.arguments import Arguments, Bind, where
from summit_api.query.order import Column, Order, parse
from summit_api.query.paging import Listing
from summit_api.query.parameters import HistoryQuery
from summit_api.query.read_transaction import ReadTransaction
from summit_models.contract import Revision

_BY_TIME = Column("time", datetime, nullable=False)
_NEWEST_FIRST: Order = parse("-time", {"time": _BY_TIME}, tie=Column("revision", int, nullable=False))

_SELECT = f"SELECT {paging.selected('revision, time, type, data::text', _NEWEST_FIRST)} FROM events"  # noqa: S608


class VmEventRow(NamedTuple):
    revision: Revision
    observed_at: datetime
    type: str
    data: dict[str, Any]
    """The state after the event, and `changes`: members that changed, with what they were before."""


class HistoryPage(NamedTuple):
    rows: list[VmEventRow]
    next: str | None


async def page(transaction: ReadTransaction, vm_id: str, query: HistoryQuery, scope: Scope) -> HistoryPage | None:
    """One page of a VM's history; None when there is no such VM and never was, as far as one may know."""
    belongs = cursor.digest("events", vm_id)
    columns = _NEWEST_FIRST.columns
    after = None if query.cursor is None else cursor.decode(query.cursor, belongs, columns)
    rows, last = await paging.read(transaction, _listing(vm_id, scope), after, query.limit)
    if not rows and after is None and not await _is_known(transaction, vm_id, scope):
        return None
    events = [VmEventRow(revision, time, type_, msgspec.json.decode(data)) for revision, time, type_, data in rows]
    return HistoryPage(events, None if last is None else cursor.encode(belongs, last))


def _listing(vm_id: str, scope: Scope) -> Listing:
    """Index events_by_key. A VM that was moved is visible as far as it was in sight."""

    def conditions(bind: Bind) -> list[str]:
        visible = scope.conditions(bind, datacenter="data ->> 'datacenter'", namespace="data ->> 'namespace'")
        return [f"key = {bind(vm_id)} AND collection = 'vms'", *visible]

    return Listing(_SELECT, conditions, _NEWEST_FIRST)


async def _is_known(transaction: ReadTransaction, vm_id: str, scope: Scope) -> bool:
    """Whether there is a row of the VM, dead or alive: its history may be older than what is kept."""
    arguments = Arguments()
    visible = where([f"id = {arguments.bind(vm_id)}", *scope.conditions(arguments.bind)])
    return bool(await transaction.fetch(f"SELECT FROM vms {visible}", *arguments))
