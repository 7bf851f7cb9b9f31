"""GET /api/v1/watchers: which watchers run, and which clusters each of them has."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Response

from summit_api.access.principal import Scope
from summit_api.openapi.responses import reads
from summit_api.query.parameters import Parameters
from summit_api.render import inventory
from summit_api.requests.reading import ReadingDep
from summit_api.shapes.inventory import WatcherItem, WatcherList
from summit_models.watcher import Member
from summit_runtime.nats.streams.leases import LeaseTable

router = APIRouter(responses=reads())


@router.get("/watchers", tags=["clusters"], response_model=WatcherList)
async def list_watchers(reading: ReadingDep, _: Annotated[Parameters, Query()]) -> Response:
    """The watchers that run and the clusters that each has, oldest first. They share the clusters evenly.

    The list is empty while no watcher runs, while this api is not connected to NATS, and for who is limited to
    namespaces. With a limit to datacenters it has their watchers and clusters.
    """
    items = _items(reading.freshness.leases, reading.scope)
    return reading.answer(inventory.models(items, reading.transaction), reading.tag(counts=items))


def _items(leases: LeaseTable, scope: Scope) -> Sequence[WatcherItem]:
    if scope.namespaces is not None:
        return []
    held = [(place, lease.run) for place, lease in leases.leases().items() if scope.allows_datacenter(place.datacenter)]
    return [
        WatcherItem(
            id=member.watcher,
            datacenters=[datacenter for datacenter in member.datacenters if scope.allows_datacenter(datacenter)],
            clusters=sorted(place.cluster for place, run in held if run == member.run),
            since=member.since,
            version=member.version,
        )
        for member in leases.members()
        if _is_shown(member, scope)
    ]


def _is_shown(member: Member, scope: Scope) -> bool:
    """Whether the watcher may have a cluster that the scope shows."""
    return not member.datacenters or any(map(scope.allows_datacenter, member.datacenters))
