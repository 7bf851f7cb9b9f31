"""Lists in pages: one consistent snapshot, asked for 500 objects at a time."""

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import TypeVar

from summit_watcher.kube.connection import ClusterConnection
from summit_watcher.kube.manifests import Manifest
from summit_watcher.kube.resources import Page, Resource
from summit_watcher.kube.transport import Timeouts

T = TypeVar("T", bound=Manifest)


async def list_once(
    connection: ClusterConnection,
    resource: Resource[T],
    params: Mapping[str, str | int],
    *,
    timeouts: Timeouts,
    on_contact: Callable[[], None],
) -> Page[T]:
    """One LIST request: the newest, consistent state, as no resourceVersion is asked for.

    Raises what `ClusterConnection.get` raises, and UndecodableLine for an answer that is no list.
    """
    async with connection.get(resource.path, params, timeouts=timeouts) as reply:
        on_contact()
        body = await reply.body()
    on_contact()
    return resource.decode_page(body)


async def pages(
    connection: ClusterConnection,
    resource: Resource[T],
    page_size: int | None,
    *,
    at: str | None = None,
    timeouts: Timeouts,
    on_contact: Callable[[], None],
) -> AsyncGenerator[Page[T]]:
    """The pages of one snapshot: the newest, or the one at a resourceVersion. `page_size` None asks for all in one.

    Raises as `list_once`.
    """
    limit: dict[str, str | int] = {"limit": page_size} if page_size else {}
    which: dict[str, str | int] = {"resourceVersion": at, "resourceVersionMatch": "Exact"} if at else {}
    while True:
        page = await list_once(connection, resource, limit | which, timeouts=timeouts, on_contact=on_contact)
        yield page
        if not page.continue_token:
            return
        # The token goes without a resourceVersion: together they are refused (400).
        which = {"continue": page.continue_token}
