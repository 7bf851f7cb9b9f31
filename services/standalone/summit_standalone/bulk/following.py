"""Follow a bulk operation to its end: its own steps, and those of the operation on each VM, by one feed."""

from collections.abc import Callable
from contextlib import aclosing

from summit_standalone.bulk.course import Course
from summit_standalone.operating.screen import Screen
from summit_standalone.remote.client import ApiClient, Query
from summit_standalone.remote.feed import RESET, messages

PATH = "/api/v1/bulk-operations"
_PAGE = 1000
_TOPICS: Query = [("types", "bulk-operation"), ("types", "operation")]


async def to_its_end(client: ApiClient, course: Course, position: str, screen: Screen) -> None:
    """From `position`, which is before its newest steps. Raises ApiError when the api is away for too long."""
    if course.has_ended:
        return
    async with aclosing(messages(client, position, _TOPICS, screen.notify)) as feed:
        async for type_, payload in feed:
            if type_ == RESET:
                await reread(client, course, screen)
            elif (operation := payload.get("operation")) and operation.get("parent") == course.id:
                if act := course.take_part(operation):
                    screen.show(act)
            elif (bulk := payload.get("bulkOperation")) and bulk["id"] == course.id and course.take(bulk):
                _show_state(course, screen.notify)
            if course.has_ended:
                return


async def reread(client: ApiClient, course: Course, screen: Screen) -> str:
    """Read what it is now, and every part of it, and return where a feed continues."""
    bulk, position = await client.get(f"{PATH}/{course.id}")
    await read_parts(client, course, screen)
    if course.take(bulk):
        _show_state(course, screen.notify)
    return position


async def read_parts(client: ApiClient, course: Course, screen: Screen) -> None:
    cursor: Query = []
    while True:
        query = [("parent", course.id), ("limit", str(_PAGE)), *cursor]
        page, _ = await client.get("/api/v1/operations", query)
        for operation in reversed(page["items"]):
            if act := course.take_part(operation):
                screen.show(act)
        if not page["next"]:
            return
        cursor = [("cursor", page["next"])]


def _show_state(course: Course, notify: Callable[[str], None]) -> None:
    """The end has a line of its own."""
    if not course.has_ended:
        notify(course.text)
