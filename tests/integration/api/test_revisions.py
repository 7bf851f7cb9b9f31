"""?revision=N: a client that has written reads what it wrote, or is answered that it is not there yet."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr
from support.api_stack import Stack, api_over, api_stack, placed_vm
from support.waiting import until

from summit_api import revisions
from summit_api.revisions import Revisions
from summit_api.settings import ApiTimes
from summit_projector import migrate
from summit_runtime.waiting import end

READS = ["/datacenters", "/status", "/vms", "/clusters", "/migrations", "/migrations/active", "/vms/none"]


@pytest.fixture
async def stack(database_url: str) -> AsyncIterator[Stack]:
    async with api_stack(database_url) as stack:
        yield stack


async def test_read_waits_for_the_revision_and_sees_it(stack: Stack) -> None:
    """Asked for before it was applied, answered as soon as it is."""
    asking = asyncio.create_task(stack.get("/api/v1/vms", revision=2))
    await stack.apply(placed_vm("a"))
    assert not asking.done()
    await stack.apply(placed_vm("b"))
    answer = await asking
    assert ([item["name"] for item in answer["items"]], answer["revision"]) == (["a", "b"], 2)


async def test_revision_that_is_there_costs_nothing(stack: Stack) -> None:
    """Every read takes the parameter, and an older revision is contained in a newer one."""
    await stack.apply(placed_vm("a"), placed_vm("b"))
    for path in READS[:-1]:
        assert (await stack.http.get(f"/api/v1{path}?revision=1")).status_code == 200


async def test_revision_that_does_not_come_is_a_409(database_url: str) -> None:
    """Within the time; the problem says how far the tables are."""
    async with api_stack(database_url, times=ApiTimes(applied_seconds=0.05)) as stack:
        await stack.apply(placed_vm("a"))
        for path in READS:
            answer = await stack.http.get(f"/api/v1{path}?revision=2")
            assert (answer.status_code, answer.json()["title"]) == (409, "Revision not applied")
            assert "they are at 1" in answer.json()["detail"]


async def test_many_wait_without_keeping_others_from_reading(stack: Stack) -> None:
    """A waiting request holds no connection."""
    waiting = [asyncio.create_task(stack.get("/api/v1/status", revision=1)) for _ in range(30)]
    await asyncio.sleep(0)
    assert (await stack.get("/api/v1/status"))["revision"] == 0
    await stack.apply(placed_vm("a"))
    assert {answer["revision"] for answer in await asyncio.gather(*waiting)} == {1}


@pytest.fixture
async def known(database_url: str) -> AsyncIterator[Revisions]:
    """The revisions that a process knows."""
    known = Revisions()
    following = asyncio.create_task(revisions.follow(SecretStr(database_url), known, ApiTimes()))
    yield known
    await end(following)


async def test_revisions_are_followed_again_after_the_connection_was_lost(stack: Stack, known: Revisions) -> None:
    """This includes those that were committed meanwhile."""
    await stack.apply(placed_vm("a"))
    assert await known.wait_for(1, 30)
    async with stack.database() as database:
        await database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'summit-api-revisions'"
        )
    await stack.apply(placed_vm("b"))
    assert await known.wait_for(2, 30)


async def test_revisions_begin_when_the_tables_do(empty_database_url: str) -> None:
    """An api that started before the first projector."""
    async with api_over(empty_database_url) as (http, *_):
        await migrate.upgrade(SecretStr(empty_database_url))

        async def status() -> int:
            return (await http.get("/api/v1/vms?revision=0")).status_code

        await until(status, lambda code: code == 200)


async def test_replaced_log_takes_revisions_back(stack: Stack, known: Revisions) -> None:
    """Revisions of another log do not count."""
    await stack.apply(placed_vm("a"), placed_vm("b"))
    assert await known.wait_for(2, 30)
    await stack.replace_stream()

    async def current() -> int:
        return known.current

    await until(current, lambda revision: revision == 0)
