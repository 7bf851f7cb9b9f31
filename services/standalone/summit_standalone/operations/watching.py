"""Every step of the operations in a list, as it happens."""

from collections.abc import Callable
from contextlib import aclosing

from summit_standalone.operating.act import has_ended
from summit_standalone.operations.listing import Filters, page
from summit_standalone.remote.client import ApiClient, Json, Query
from summit_standalone.remote.feed import RESET, messages


async def watch(
    client: ApiClient, filters: Filters, limit: int, show: Callable[[Json], None], notify: Callable[[str], None]
) -> None:
    """Show these operations, then each step of one that was shown or that the list would have, until interrupted."""
    items, position = await page(client, filters, limit)
    for operation in reversed(items):
        show(operation)
    revisions = {operation["id"]: operation["revision"] for operation in items}
    async with aclosing(messages(client, position, _feed_query(filters), notify)) as feed:
        async for type_, payload in feed:
            changed = (await page(client, filters, limit))[0] if type_ == RESET else [payload.get("operation", {})]
            for operation in reversed(changed):
                id_ = operation.get("id")
                if (id_ in revisions or selects(filters, operation)) and operation["revision"] > revisions.get(id_, 0):
                    revisions[id_] = operation["revision"]
                    show(operation)


def _feed_query(filters: Filters) -> Query:
    places = ("datacenter", "cluster", "namespace")
    return [("types", "operation"), *((name, value) for name in places for value in filters.get(name, ()))]


def selects(filters: Filters, operation: Json) -> bool:
    """Whether the list with these filters has the operation. The feed knows only some of them."""
    if "id" not in operation:
        return False
    given = {"vm": operation["vmId"], "ended": str(has_ended(operation)).lower()}
    return all(
        given.get(name, operation.get(name)) in values for name, values in filters.items() if values and name != "since"
    )
