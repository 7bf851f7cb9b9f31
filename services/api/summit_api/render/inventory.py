"""Our own answers: lists with revision and time, items with age and staleness."""

from collections.abc import Collection, Iterable

import msgspec

from summit_api.access.principal import Scope
from summit_api.query.history import HistoryPage
from summit_api.query.transaction.read_transaction import ReadTransaction
from summit_api.query.vms import VmPage, VmRow
from summit_api.render.moment import Moment
from summit_api.shapes.inventory import ClusterItem, VmItem
from summit_models.cluster import ClusterHealth, ConnectionState, ResourceHealth


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
    declared: Iterable[ClusterHealth],
    reported: Iterable[ClusterHealth],
    transaction: ReadTransaction,
    moment: Moment,
    scope: Scope,
) -> bytes:
    items = cluster_items(declared, reported, moment)
    shown = items if scope.namespaces is None else map(limited_to_namespaces, items)
    return _list(",".join(item.model_dump_json() for item in shown), transaction)


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


def limited_to_namespaces(item: ClusterItem) -> ClusterItem:
    """The item for a principal who sees only some namespaces: how the connection is.

    The rest counts or names what is in all namespaces: known objects, resourceVersions, the uid of kube-system, and
    reasons, which are any text of the cluster. A new member is hidden until it is listed below.
    """
    resources = [resource.model_copy(update=_HIDDEN_OF_A_RESOURCE) for resource in item.resources]
    return item.model_copy(update={**_HIDDEN_OF_A_CLUSTER, "resources": resources})


_HIDDEN_OF_A_CLUSTER = dict.fromkeys(
    ClusterItem.model_fields.keys()
    - {"name", "datacenter", "state", "since", "server_version", "kubevirt_version", "last_contact"}
    - {"resources", "stale", "lag_seconds"}
)
_HIDDEN_OF_A_RESOURCE = dict.fromkeys(
    ResourceHealth.model_fields.keys() - {"resource", "state", "since", "last_contact", "last_sync"}
)


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
