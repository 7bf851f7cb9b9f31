"""Beside `vms` two tables are kept to find VMs by: cheaply, and never behind."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from support.api_stack import Stack, api_stack, placed_vm
from support.waiting import until

from summit_models.event import VmEventType

FOUND = "SELECT vms.name, vm_labels.labels, text FROM vms JOIN vm_labels USING (id) JOIN vm_words USING (id)"


@pytest.fixture
async def stack(database_url: str) -> AsyncIterator[Stack]:
    async with api_stack(database_url) as stack:
        yield stack


@pytest.fixture
async def database(stack: Stack) -> AsyncIterator[asyncpg.Connection]:
    async with stack.database() as database:
        yield database


async def found(database: asyncpg.Connection) -> dict[str, tuple[list[str], str]]:
    return {name: (sorted(labels), text) for name, labels, text in await database.fetch(FOUND)}


async def test_they_follow_each_change(stack: Stack, database: asyncpg.Connection) -> None:
    """They follow one event and many in a batch alike; a deleted VM stays as long as its row does."""
    many = [placed_vm(f"vm-{number:02}") for number in range(60)]
    await stack.apply(*many, placed_vm("a", labels={"app": "web"}, ip="10.0.0.7", ips=["10.0.0.7", "fe80::1"]))
    assert len(await found(database)) == 61
    assert (await found(database))["a"] == (["app", "app=web"], "a prod 10.0.0.7 10.0.0.7 fe80::1")
    await stack.apply(placed_vm("a", versions=(2, 0), labels={}, node_name="Worker-1", guest_os="Fedora 43"))
    assert (await found(database))["a"] == ([], "a prod worker-1 fedora 43")
    await stack.apply(placed_vm("a", type_=VmEventType.DELETED, versions=(3, 0), labels={"app": "web"}))
    assert (await found(database))["a"] == (["app", "app=web"], "a prod")
    await database.execute("DELETE FROM vms WHERE name = 'a'")
    assert await database.fetchval("SELECT count(*) FROM vm_labels JOIN vm_words USING (id)") == 60


async def test_no_value_is_too_long_to_be_found_by(stack: Stack, database: asyncpg.Connection) -> None:
    """An index entry has a limit, and so has a word of a text: no event fails because of it."""
    await stack.apply(placed_vm("a", labels={"k" * 3000: "v" * 3000}, guest_os="é" * 30_000, node_name="n" * 3000))
    labels, text = (await found(database))["a"]
    assert ([len(label) for label in labels], len(text) > 30_000) == ([400, 400], True)


async def test_changes_that_move_no_index_entry_stay_on_their_page(stack: Stack, database: asyncpg.Connection) -> None:
    """Versions, times and labels change often: an index of theirs would cost each update an entry in all the others."""
    await stack.apply(*(placed_vm(f"vm-{number}", labels={"n": "0"}) for number in range(100)))
    before = await updates(database)
    assert before == (0, 0)
    await stack.apply(
        *(placed_vm(f"vm-{n}", versions=(2, 2), labels={"n": "1"}, agent_connected=True) for n in range(100))
    )
    await database.execute(END_PROJECTOR)
    assert await until(lambda: updates(database), lambda counted: counted[0] == 100) == (100, 100)


END_PROJECTOR = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'summit-projector'"
"""A server process reports its statistics when it ends, or after ten idle seconds."""


async def updates(database: asyncpg.Connection) -> tuple[int, int]:
    """Updates of `vms`, and those of them that were HOT, as far as the server's statistics have come."""
    row = await database.fetchrow(
        "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables"
        " WHERE relname = 'vms' AND schemaname = current_schema()"
    )
    return row["n_tup_upd"], row["n_tup_hot_upd"]
