"""Pages add up to the list: for every order, filter and size, whatever else changes in between."""

import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import anyio.from_thread
import anyio.to_thread
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.api_stack import NOW, Stack, api_stack, placed_vm

from summit_api.query.vms import COLUMNS
from summit_models.event import VmEvent, VmEventType
from summit_models.vm import VmStatus

CLUSTERS = {"vulcan": "dc-solna", "romulus": "dc-uppsala"}
SIZES = (None, 1, 2, 2)
CREATED = (None, NOW - timedelta(days=1), NOW - timedelta(days=1, microseconds=1))
CHAOS = random.Random(4)  # noqa: S311  reproducible on purpose


def vm(name: str, n: int, **more: Any) -> VmEvent:
    """Values that repeat, and are unknown, in each member one can sort by."""
    cluster, datacenter = list(CLUSTERS.items())[n % 2]
    return placed_vm(
        name,
        cluster=cluster,
        datacenter=datacenter,
        namespace=("prod", "test", "Å\"'\\%_")[n % 3],
        status=(VmStatus.RUNNING, VmStatus.STOPPED)[n % 2],
        node_name=(None, "worker-1", "worker-2")[n % 3],
        cpu=SIZES[n % 4],
        memory=SIZES[n // 2 % 4],
        disk=SIZES[n // 3 % 4],
        created_at=CREATED[n // 2 % 3],
        **more,
    )


def steady() -> list[VmEvent]:
    """VMs that stay as they are; two of each name."""
    return [vm(f"vm-{n % 12}", n) for n in range(24)]


class Restless:
    """VMs beside them that come, change and go."""

    def __init__(self) -> None:
        self._version = 1

    def some(self) -> Iterable[VmEvent]:
        self._version += 1
        for name in CHAOS.sample(("a", "vm-3x", "vm-7x", "z"), 2):
            yield vm(name, CHAOS.randrange(24), versions=(self._version, 0), type_=CHAOS.choice(list(VmEventType)))


NAMES = st.lists(st.sampled_from(list(COLUMNS)), min_size=0, max_size=3, unique=True)
SORTS = NAMES.flatmap(lambda names: st.tuples(*(st.sampled_from([name, f"-{name}"]) for name in names))).map(",".join)
FILTERS = st.sampled_from([{}, {"status": "running"}, {"cluster": "vulcan", "node": "worker-1"}, {"q": "vm"}])


def sorted_as_documented(items: list[dict[str, Any]], sort: str) -> list[dict[str, Any]]:
    """As the documentation describes it: unknown last, equals by name and id, the id as the key before it."""
    keys = [key for key in sort.split(",") if key]
    if not {"name", "-name"} & set(keys):
        keys.append("name")
    if not {"id", "-id"} & set(keys):
        keys.append("-id" if keys[-1].startswith("-") else "id")
    for key in reversed(keys):
        member, descending = key.removeprefix("-"), key.startswith("-")
        known = [item for item in items if item[member] is not None]
        unknown = [item for item in items if item[member] is None]
        items = sorted(known, key=lambda item: item[member], reverse=descending) + unknown
    return items


async def pages(stack: Stack, restless: Restless | None, limit: int, **parameters: str) -> list[dict[str, Any]]:
    """All pages, with changes between any two of them."""
    items: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = await stack.get("/api/v1/vms", limit=limit, **parameters, **cursor)
        assert len(page["items"]) == limit or page["next"] is None
        items += page["items"]
        if page["next"] is None:
            return items
        cursor = {"cursor": page["next"]}
        if restless:
            await stack.apply(*restless.some())


def steady_ones(items: Iterable[dict[str, Any]]) -> list[str]:
    ids = {event.data.id for event in steady()}
    return [item["id"] for item in items if item["id"] in ids]


@pytest.mark.slow
async def test_pages_add_up_to_the_list(database_url: str) -> None:
    """VMs that keep their place are neither skipped nor repeated, for any sort, filter and limit, in order."""
    async with api_stack(database_url) as stack:
        await stack.apply(*steady())
        restless = Restless()

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        @given(SORTS, FILTERS, st.sampled_from([1, 2, 3, 7, 23, 24, 500]))
        def holds(sort: str, filters: dict[str, str], limit: int) -> None:
            parameters = {"sort": sort, **filters}
            whole = anyio.from_thread.run(partial(stack.get, "/api/v1/vms", limit=500, **parameters))["items"]
            assert [item["id"] for item in whole] == [item["id"] for item in sorted_as_documented(whole, sort)]
            paged = anyio.from_thread.run(partial(pages, stack, restless, limit, **parameters))
            assert steady_ones(paged) == steady_ones(whole)

        await anyio.to_thread.run_sync(holds)


async def test_pages_of_the_past_add_up_to_the_list(database_url: str) -> None:
    """The same as of a time, though all has changed since."""
    async with api_stack(database_url) as stack:
        await stack.apply(*steady())
        later = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
        await stack.apply(*(vm(f"vm-{n % 12}", n, versions=(2, 0), time=later, ready=True) for n in range(0, 24, 2)))

        @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
        @given(SORTS, FILTERS, st.sampled_from([1, 5, 23]))
        def holds(sort: str, filters: dict[str, str], limit: int) -> None:
            parameters = {"sort": sort, "at": "2026-11-23T07:30:00Z", **filters}
            whole = anyio.from_thread.run(partial(pages, stack, None, 500, **parameters))
            assert [item["id"] for item in whole] == [item["id"] for item in sorted_as_documented(whole, sort)]
            assert all(item["ready"] is None for item in whole)
            assert anyio.from_thread.run(partial(pages, stack, None, limit, **parameters)) == whole

        await anyio.to_thread.run_sync(holds)


async def test_cursor_with_another_sort_or_filter_is_refused(database_url: str) -> None:
    """It would skip and repeat; the limit and the members may change from page to page, and so may what is equal."""
    async with api_stack(database_url) as stack:
        await stack.apply(*steady())
        first = await stack.get("/api/v1/vms", sort="-memory", limit=2, status=["running", "stopped"])
        same = {"sort": "-memory,name", "status": ["stopped", "running"], "cursor": first["next"]}
        assert len((await stack.get("/api/v1/vms", **same, limit=3, fields="name"))["items"]) == 3
        for other in ({"sort": "memory"}, {"status": "running"}, {"q": "vm"}, {"at": "2026-11-23T08:00:00Z"}):
            answer = await stack.http.get("/api/v1/vms", params=same | other)
            assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "cursor")
            assert "belongs to another list" in answer.json()["errors"][0]["detail"]
