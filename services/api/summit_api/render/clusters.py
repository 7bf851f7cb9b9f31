"""The clusters as they are now: in the state that their watcher reported last, unless nobody reports any longer.

Events and tables have what a watcher published, and a watcher that is killed publishes nothing. So a cluster of which
no report arrives is `stale` here, whatever its last state was, and `reason` says since when. Nobody publishes that: it
is true by time alone. A cluster that is well is `stale`, too, while the tables do not follow the log.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from summit_api.access.principal import Limit
from summit_api.freshness import STALE_AFTER, Report
from summit_api.render.moment import Behind, Moment
from summit_api.shapes.inventory import ClusterItem
from summit_models.cluster import ClusterHealth, ConnectionState, ResourceHealth, is_about_declarations
from summit_models.contract import ClusterName
from summit_models.watcher import Place

SILENT_AFTER = timedelta(seconds=30)
"""Three missed heartbeats: what nobody looks at is not the cluster's fault."""
_SEEN = frozenset({ConnectionState.SYNCED, ConnectionState.LISTING, ConnectionState.STARTING})
"""States of a list-watch that nobody is in any longer when nobody watches."""


def cluster_items(declared: Iterable[ClusterHealth], reports: Iterable[Report], moment: Moment) -> list[ClusterItem]:
    """Each cluster by name: the watcher's last report, or the row if it is newer, as of this moment.

    Retired clusters are not shown. Their rows stay, so that an old report does not bring them back.
    """
    newest: dict[ClusterName, tuple[ClusterHealth, datetime | None]]
    newest = {health.name: (health, None) for health in declared}
    for health, reported_at in reports:
        known, _ = newest.get(health.name, (health, None))
        newest[health.name] = _newer(health, known), reported_at
    return [
        _item(health, reported_at, moment)
        for _, (health, reported_at) in sorted(newest.items())
        if health.state is not ConnectionState.RETIRED
    ]


def shown_within(limit: Limit | None, item: ClusterItem) -> ClusterItem:
    """The item as a principal with this limit sees it."""
    match limit:
        case Limit.NAMESPACES:
            return _limited_to_namespaces(item)
        case Limit.DATACENTERS:
            return _limited_to_datacenters(item)
    return item


def _limited_to_datacenters(item: ClusterItem) -> ClusterItem:
    """Everything but which other cluster is the same one: that may be in another datacenter."""
    if not is_about_declarations([item.state, *(resource.state for resource in item.resources)]):
        return item.model_copy(update={"duplicate_of": None})
    resources = [
        resource.model_copy(update={"reason": None}) if is_about_declarations([resource.state]) else resource
        for resource in item.resources
    ]
    return item.model_copy(update={"duplicate_of": None, "reason": None, "resources": resources})


def _limited_to_namespaces(item: ClusterItem) -> ClusterItem:
    """How the connection is, and which actions it allows: that names nothing of any namespace.

    The rest counts or names what is in all namespaces: known objects, resourceVersions, the uid of kube-system, and
    reasons, which are any text of the cluster. A new member is hidden until it is listed below.
    """
    resources = [resource.model_copy(update=_HIDDEN_OF_A_RESOURCE) for resource in item.resources]
    return item.model_copy(update={**_HIDDEN_OF_A_CLUSTER, "resources": resources})


_HIDDEN_OF_A_CLUSTER = dict.fromkeys(
    ClusterItem.model_fields.keys()
    - {"name", "datacenter", "state", "since", "server_version", "kubevirt_version", "last_contact"}
    - {"resources", "may", "stale", "lag_seconds", "reported_at"}
)
_HIDDEN_OF_A_RESOURCE = dict.fromkeys(
    ResourceHealth.model_fields.keys() - {"resource", "state", "since", "last_contact", "last_sync"}
)


def _newer(reported: ClusterHealth, known: ClusterHealth) -> ClusterHealth:
    """The health with the newer state: a change of state reaches the tables before the next regular report."""
    if reported.since >= known.since:
        return reported
    return known.model_copy(update={"last_contact": reported.last_contact})


def _item(health: ClusterHealth, reported_at: datetime | None, moment: Moment) -> ClusterItem:
    present = dict(_present(health, reported_at, moment))
    lease = moment.lease_of(Place(health.datacenter, health.name))
    if lease:
        present["watcher"] = lease.watcher
    return ClusterItem(
        **present,
        watched_since=lease and lease.since,
        stale=moment.is_stale(health.name),
        lag_seconds=moment.seconds_since(health.last_contact),
        reported_at=reported_at,
    )


def _present(health: ClusterHealth, reported_at: datetime | None, moment: Moment) -> ClusterHealth:
    """The health with the state that is true now."""
    is_possible = reported_at is not None and reported_at <= moment.now + STALE_AFTER  # see `fresh_clusters`
    signs = [reported_at if is_possible else None, health.since if health.since <= moment.now else None]
    sign = max(filter(None, signs), default=health.since)
    contact = health.last_contact or sign - STALE_AFTER
    unwatched_since = min(sign + STALE_AFTER, max(sign + SILENT_AFTER, contact + STALE_AFTER))
    if moment.now > unwatched_since:
        stale = {
            "state": ConnectionState.STALE,
            "since": unwatched_since,
            "reason": _unwatched(health, reported_at, moment),
        }
        resources = [r.model_copy(update=stale) if r.state in _SEEN else r for r in health.resources]
        return health.model_copy(update={**stale, "resources": resources})
    if moment.behind:
        return _behind(health, moment.behind)
    if health.state is ConnectionState.SYNCED and health.last_contact and moment.is_stale(health.name):
        reason = f"nothing has been received from the cluster since {moment.clock_time(contact)}"
        stale = {"state": ConnectionState.STALE, "since": contact + STALE_AFTER, "reason": reason}
        return health.model_copy(update=stale)
    return health


def _behind(health: ClusterHealth, behind: Behind) -> ClusterHealth:
    """The health while the tables do not follow: a cluster that is not well keeps its own state and reason."""
    since, reason = behind
    if health.state is not ConnectionState.SYNCED:
        return health.model_copy(update={"reason": f"{health.reason}; {reason}" if health.reason else reason})
    stale = {"state": ConnectionState.STALE, "since": max(since, health.since), "reason": reason}
    return health.model_copy(update=stale)


def _unwatched(health: ClusterHealth, reported_at: datetime | None, moment: Moment) -> str:
    """Why the state is not known, and what it was."""
    if reported_at is None:
        silent = f"no watcher reports; the last change of state is of {moment.clock_time(health.since)}"
    elif moment.is_connected:
        silent = f"no watcher has reported since {moment.clock_time(reported_at)}"
        silent += f" (the last one was {health.watcher})" if health.watcher else ""
    else:
        silent = f"no report of a watcher has arrived since {moment.clock_time(reported_at)}"
    if not moment.is_connected:
        silent = f"this api is not connected to NATS: {silent}"
    if health.state is ConnectionState.SYNCED:
        return silent
    return f"{silent}; until then: {health.state}" + (f", {health.reason}" if health.reason else "")
