"""GET /api/v1/migrations: filtered, sorted, and in pages that the header Link leads through."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from support.api_stack import NOW, Stack, api_stack
from support.published import migration_event

from summit_models.event import MigrationEvent, MigrationEventType
from summit_models.migration import MigrationDirection

HOUR = timedelta(hours=1)


def migration(name: str, hours_ago: int | None, **state: Any) -> MigrationEvent:
    created_at = None if hours_ago is None else NOW - hours_ago * HOUR
    return migration_event(name, created_at=created_at, **state)


@pytest.fixture
async def stack(database_url: str) -> AsyncIterator[Stack]:
    async with api_stack(database_url) as stack:
        await stack.apply(
            migration("m1", 1, vm_name="a", phase="Running", start_time=NOW),
            migration("m2", 2, vm_name="b", phase="Failed", completed=True, direction=MigrationDirection.INCOMING),
            migration("m3", 3, vm_name="a", phase="Succeeded", completed=True, start_time=NOW - HOUR),
            migration("m4", 4, vm_name="b", phase="Running", type_=MigrationEventType.DELETED),
            migration("m5", None, vm_name="c", phase="Pending", stuck="Pending for more than 10 min: quota"),
        )
        yield stack


async def names(stack: Stack, query: str) -> list[str]:
    return [item["name"] for item in await stack.get(f"/api/v1/migrations?{query}")]


async def test_filters_and_orders(stack: Stack) -> None:
    """A repeated parameter is "or", different ones are "and"; unknown comes last in either direction."""
    expected = {
        "": ["m1", "m2", "m3", "m4", "m5"],
        "sort=createdAt": ["m4", "m3", "m2", "m1", "m5"],
        "sort=-startTime,createdAt": ["m1", "m3", "m4", "m2", "m5"],
        "sort=vmName,-createdAt": ["m1", "m3", "m2", "m4", "m5"],
        "vm=a&vm=c": ["m1", "m3", "m5"],
        "phase=Running": ["m1", "m4"],
        "phase=Running&completed=false": ["m1"],
        "completed=true": ["m2", "m3", "m4"],
        "direction=incoming": ["m2"],
        "stuck=true": ["m5"],
        "stuck=false": ["m1", "m2", "m3", "m4"],
        "datacenter=dc-solna&cluster=vulcan&namespace=prod&limit=1": ["m1"],
        "namespace=elsewhere": [],
    }
    assert {query: await names(stack, query) for query in expected} == expected
    ended = [item["completed"] for item in await stack.get("/api/v1/migrations")]
    assert ended == [False, True, True, True, False]  # the fourth has lost its object
    (stuck,) = await stack.get("/api/v1/migrations?stuck=true")
    assert stuck["stuck"] == "Pending for more than 10 min: quota"


@pytest.mark.parametrize("sort", ["", "createdAt", "-startTime", "vmName,-phase"])
@pytest.mark.parametrize("limit", [1, 2, 3, 5])
async def test_link_leads_through_all_pages(stack: Stack, sort: str, limit: int) -> None:
    """Each page names the next, with the same parameters, and the last one none."""
    whole, seen = await names(stack, f"sort={sort}"), []
    address = f"/api/v1/migrations?sort={sort}&limit={limit}&direction="
    while address:
        answer = await stack.http.get(address)
        seen += [item["name"] for item in answer.json()]
        link = re.fullmatch(r'<(.+)>; rel="next"', answer.headers.get("Link", ""))
        address = link[1] if link else ""
    assert seen == whole
