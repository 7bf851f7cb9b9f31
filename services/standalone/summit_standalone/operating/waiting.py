"""Wait until operations have ended, by the live feed: each step arrives as soon as the lists show it."""

from collections.abc import Callable, Sequence
from contextlib import aclosing

from summit_standalone.operating.act import Act
from summit_standalone.remote.client import ApiClient, Query
from summit_standalone.remote.feed import RESET, messages

_MAX_VALUES = 100
"""Of one parameter, in the api."""


async def wait(
    client: ApiClient,
    acts: Sequence[Act],
    position: str,
    show: Callable[[Act], None],
    notify: Callable[[str], None],
) -> None:
    """Follow the operations of these acts from `position`, which is before their newest steps, to their end.

    Raises ApiError when the api is away for too long, or does not accept the token any more.
    """
    waiting = {act.operation["id"]: act for act in acts if act.operation and not act.has_ended}
    if not waiting:
        return
    async with aclosing(messages(client, position, _query(list(waiting.values())), notify)) as feed:
        async for type_, payload in feed:
            if type_ == RESET:
                await reread(client, list(waiting.values()), show)
            elif act := waiting.get(payload.get("operation", {}).get("id")):
                _take(act, payload["operation"], show)
            waiting = {id_: act for id_, act in waiting.items() if not act.has_ended}
            if not waiting:
                return


async def reread(client: ApiClient, acts: Sequence[Act], show: Callable[[Act], None]) -> None:
    """Ask for the present state of each operation."""
    for act in acts:
        if act.operation:
            operation, _ = await client.get(f"/api/v1/operations/{act.operation['id']}")
            _take(act, operation, show)


def _take(act: Act, operation: object, show: Callable[[Act], None]) -> None:
    if isinstance(operation, dict) and act.update(operation):
        show(act)


def _query(acts: Sequence[Act]) -> Query:
    """Only the operations of these clusters, where they can be named."""
    clusters = sorted({act.vm["cluster"] for act in acts})
    return [("types", "operation"), *(("cluster", name) for name in clusters if len(clusters) <= _MAX_VALUES)]
