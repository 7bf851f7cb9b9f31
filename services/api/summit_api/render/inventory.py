"""Our own answers: lists with revision and time, items with age and staleness."""

from collections.abc import Iterable

import msgspec

from summit_api.query.snapshot import Snapshot
from summit_api.query.vms import Page, VmRow
from summit_api.render.moment import Moment
from summit_api.shapes.inventory import ClusterItem
from summit_models.cluster import ClusterHealth


def vm_item(row: VmRow, moment: Moment) -> str:
    """The object Postgres built, with the members of the moment put before its closing brace."""
    age = moment.age(row.created_at)
    stale = moment.is_stale(row.cluster, managed=row.managed)
    return f'{row.json[:-1]},"age":{_quoted(age)},"stale":{_boolean(stale)}}}'


def vm_page(page: Page, snapshot: Snapshot, moment: Moment) -> bytes:
    items = ",".join(vm_item(row, moment) for row in page.rows)
    return _list(items, snapshot, next=page.next)


def clusters(
    declared: Iterable[ClusterHealth], heard: Iterable[ClusterHealth], snapshot: Snapshot, moment: Moment
) -> bytes:
    items = [item.model_dump_json() for item in cluster_items(declared, heard, moment)]
    return _list(",".join(items), snapshot)


def cluster_items(
    declared: Iterable[ClusterHealth], heard: Iterable[ClusterHealth], moment: Moment
) -> list[ClusterItem]:
    """Each cluster's newest known health: what its watcher says now, or what the tables know if that is newer."""
    newest = {health.name: health for health in declared}
    for health in heard:
        known = newest.get(health.name)
        newest[health.name] = health if known is None else _newer(health, known)
    return [ClusterItem(**dict(health), stale=moment.is_stale(name)) for name, health in sorted(newest.items())]


def _newer(heard: ClusterHealth, known: ClusterHealth) -> ClusterHealth:
    """The health whose state is newer; a change of state reaches the tables before the next regular word."""
    if heard.since >= known.since:
        return heard
    return known.model_copy(update={"last_contact": heard.last_contact})


def _list(items: str, snapshot: Snapshot, **members: str | None) -> bytes:
    rest = msgspec.json.encode({**members, "revision": snapshot.revision, "asOf": snapshot.as_of}).decode()
    return f'{{"items":[{items}],{rest[1:]}'.encode()


def _quoted(text: str | None) -> str:
    """An age as JSON; it has no character that needs escaping."""
    return "null" if text is None else f'"{text}"'


def _boolean(fact: bool) -> str:
    return "true" if fact else "false"
