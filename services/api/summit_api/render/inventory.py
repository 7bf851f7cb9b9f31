"""Our own answers: lists with revision and time, items with age and staleness."""

from collections.abc import Collection, Iterable

import msgspec

from summit_api.query.history import HistoryPage
from summit_api.query.transaction.read_transaction import ReadTransaction
from summit_api.query.vms import VmPage, VmRow
from summit_api.render.moment import Moment
from summit_api.shapes.inventory import ClusterItem, VmItem
from summit_models.cluster import ClusterHealth, ConnectionState


def vm_item(row: VmRow, moment: Moment, members: Collection[str] = VmItem.model_fields) -> str:
    """The object that Postgres built, with the wanted ones of `age` and `stale` before its closing brace."""
    wanted: dict[str, str | bool | None] = {}
    if "age" in members:
        wanted["age"] = moment.age(row.created_at)
    if "stale" in members:
        wanted["stale"] = moment.is_stale(row.cluster, managed=row.managed)
    return f"{row.json[:-1]},{_encode(wanted).decode()[1:]}" if wanted else row.json


def vm_page(page: VmPage, transaction: ReadTransaction, moment: Moment, members: Collection[str]) -> bytes:
    items = ",".join(vm_item(row, moment, members) for row in page.rows)
    return _list(items, transaction, next=page.next, **({} if page.total is None else {"count": page.total}))


def history(page: HistoryPage, transaction: ReadTransaction) -> bytes:
    return _list(_encode(page.events).decode()[1:-1], transaction, next=page.next)


def clusters(
    declared: Iterable[ClusterHealth], reported: Iterable[ClusterHealth], transaction: ReadTransaction, moment: Moment
) -> bytes:
    items = [item.model_dump_json() for item in cluster_items(declared, reported, moment)]
    return _list(",".join(items), transaction)


def cluster_items(
    declared: Iterable[ClusterHealth], reported: Iterable[ClusterHealth], moment: Moment
) -> list[ClusterItem]:
    """Each cluster's newest known health: the watcher's last report, or the row if it is newer.

    Retired clusters are not shown. Their rows stay, so that an old report does not bring them back.
    """
    newest = {health.name: health for health in declared}
    for health in reported:
        known = newest.get(health.name)
        newest[health.name] = health if known is None else _newer(health, known)
    return [
        ClusterItem(**dict(health), stale=moment.is_stale(name), lag_seconds=moment.seconds_since(health.last_contact))
        for name, health in sorted(newest.items())
        if health.state is not ConnectionState.RETIRED
    ]


def _newer(reported: ClusterHealth, known: ClusterHealth) -> ClusterHealth:
    """The health with the newer state: a change of state reaches the tables before the next regular report."""
    if reported.since >= known.since:
        return reported
    return known.model_copy(update={"last_contact": reported.last_contact})


def _list(items: str, transaction: ReadTransaction, **members: str | int | None) -> bytes:
    freshness = {"revision": transaction.revision, "position": str(transaction.position), "asOf": transaction.as_of}
    rest = msgspec.json.encode({**members, **freshness}).decode()
    return f'{{"items":[{items}],{rest[1:]}'.encode()


_encode = msgspec.json.Encoder().encode
