"""Our own answers: lists with revision and time, items with age and staleness."""

from collections.abc import Collection, Iterable

import msgspec

from summit_api.query.history import HistoryPage
from summit_api.query.operations import OperationPage, Step
from summit_api.query.transaction.read_transaction import ReadTransaction
from summit_api.query.vms import VmPage, VmRow
from summit_api.render.moment import Moment
from summit_api.shapes.inventory import OperationItem, VmItem
from summit_models.contract import Contract


def vm_item(row: VmRow, moment: Moment, members: Collection[str] = VmItem.model_fields) -> str:
    """The object that Postgres built, with the wanted ones of `age` and `stale` before its closing brace."""
    wanted: dict[str, str | bool | None] = {}
    if "age" in members:
        wanted["age"] = moment.age(row.created_at)
    if "stale" in members:
        wanted["stale"] = moment.is_stale(row.cluster, managed=row.managed)
    return f"{row.json[:-1]},{_encode(wanted).decode()[1:]}" if wanted else row.json


def vm_answer(row: VmRow, moment: Moment, operation: str | None) -> bytes:
    """One VM, with the operation on it, which is a JSON object already."""
    return f'{vm_item(row, moment)[:-1]},"operation":{operation or "null"}}}'.encode()


def step(step: Step) -> bytes:
    """An operation as GET /api/v1/operations/{id} shows it."""
    item = OperationItem(**dict(step.operation), observed_at=step.observed_at, revision=step.revision)
    return item.model_dump_json().encode()


def vm_page(page: VmPage, transaction: ReadTransaction, moment: Moment, members: Collection[str]) -> bytes:
    items = ",".join(vm_item(row, moment, members) for row in page.rows)
    return listed(items, transaction, next=page.next, **({} if page.total is None else {"count": page.total}))


def operation_page(page: OperationPage, transaction: ReadTransaction) -> bytes:
    return listed(",".join(page.rows), transaction, next=page.next)


def history(page: HistoryPage, transaction: ReadTransaction) -> bytes:
    return listed(_encode(page.events).decode()[1:-1], transaction, next=page.next)


def models(items: Iterable[Contract], transaction: ReadTransaction) -> bytes:
    """A list of all that there are, without pages."""
    return listed(",".join(item.model_dump_json() for item in items), transaction)


def listed(items: str, transaction: ReadTransaction, **members: str | int | None) -> bytes:
    freshness = {"revision": transaction.revision, "position": str(transaction.position), "asOf": transaction.as_of}
    rest = msgspec.json.encode({**members, **freshness}).decode()
    return f'{{"items":[{items}],{rest[1:]}'.encode()


_encode = msgspec.json.Encoder().encode
